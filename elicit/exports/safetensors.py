"""A vector as one safetensors file."""

from pathlib import Path

from elicit.exports.errors import ExportError
from elicit.exports.material import Material
from elicit.exports.registry import Exported, Options
from elicit.exports.vectors import vector_of
from elicit.results import disk_errors, tensor_bytes, write_atomic


def write(material: Material, target: Path, options: Options) -> Exported:
    """Write `vector`, and under `elicit` in the header, as JSON, where and how it is added.

    Raises:
        ElicitError: There is no vector, or the file cannot be written.
    """
    made = vector_of(material, options)
    one = made.direction
    told = {
        "site": str(one.site),
        "hook": one.site.hook,
        "scale": made.scale,
        "model": one.model,
        "model_digest": one.model_digest,
        "how": one.how,
        "position": one.position,
        "where": made.where or None,
    }
    data = tensor_bytes({"vector": one.vector}, told)
    with disk_errors(target, ExportError):
        write_atomic(target, data)
    used = f"Add {made.scale:g} times `vector` at {one.site} ({one.site.hook})."
    return Exported(paths=(target,), says=(used,))
