"""Every table of a result as parquet."""

from pathlib import Path

from elicit.exports.errors import ExportError
from elicit.exports.material import Material
from elicit.exports.registry import Exported, Options
from elicit.results import disk_errors, table_bytes, write_atomic


def write(material: Material, target: Path, options: Options) -> Exported:
    """Write a folder with one file for each set of axes, of one result or of all.

    Raises:
        ElicitError: There is no such result, or the folder cannot be written.
    """
    names = [options.result] if options.result is not None else [*material.results]
    if not names:
        raise ExportError(f"{material.folder} has no result, so it has no tables.")
    written = []
    with disk_errors(target, ExportError):
        target.mkdir()
        for name in names:
            for axes, data in table_bytes(material.result(name)).items():
                path = target / f"{'-'.join((name, *axes))}.parquet"
                write_atomic(path, data)
                written.append(path)
    used = 'pandas.read_parquet(FILE), or datasets.load_dataset("parquet", data_files=FILE).'
    return Exported(paths=tuple(written), says=(used,))
