"""An SAE as a folder of SAELens."""

import json
from pathlib import Path

from elicit.exports.errors import ExportError
from elicit.exports.material import Material
from elicit.exports.registry import Exported, Options
from elicit.results import disk_errors, read_file, write_atomic

FILES = ("sae_weights.safetensors", "cfg.json")
"""What SAELens reads; the configuration is written last."""


def write(material: Material, target: Path, options: Options) -> Exported:
    """Copy the files that SAELens reads, after loading the SAE from them.

    Raises:
        ElicitError: There is no SAE, it does not load, or the folder cannot be written.
    """
    folder, sae = material.sae(options.result)
    with disk_errors(target, ExportError):
        target.mkdir()
        for name in FILES:
            write_atomic(target / name, read_file(folder / name))
    config = json.loads(read_file(target / "cfg.json"))
    used = f"sae_lens.SAE.load_from_disk({str(target)!r})"
    told = (
        f"{sae.d_sae} features of {sae.site}, {config.get('architecture', sae.architecture)}; "
        f"weights {sae.digest[:12]}."
    )
    return Exported(paths=(target,), says=(used, told))
