"""A result as NetCDF, with its axes by name."""

from pathlib import Path

from elicit.exports.errors import ExportError, needs
from elicit.exports.material import Material
from elicit.exports.registry import Exported, Options
from elicit.results import disk_errors


def write(material: Material, target: Path, options: Options) -> Exported:
    """Write what `to_xarray` gives as a NetCDF file.

    Raises:
        ElicitError: There is no such result, or the file cannot be written.
    """
    result = material.result(options.result)
    with needs("xarray", "xarray", "NetCDF"):
        data = result.to_xarray()
    with disk_errors(target, ExportError):
        try:
            # SciPy's writer is always there; it has no 64-bit integers, which fit into 32 here.
            data.to_netcdf(target, engine="scipy")
        except ValueError as error:
            target.unlink(missing_ok=True)
            raise ExportError(
                f"the result does not fit into NetCDF ({error}). Use to_xarray() in Python, or "
                "export it to parquet."
            ) from error
    return Exported(
        paths=(target,), says=(f'xarray.open_dataset({str(target)!r}, engine="scipy")',)
    )
