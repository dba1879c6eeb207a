"""A control vector for llama.cpp."""

from pathlib import Path

from elicit.exports.errors import ExportError, needs
from elicit.exports.material import Material
from elicit.exports.registry import Exported, Options
from elicit.exports.vectors import Vector, vector_of
from elicit.results import disk_errors


def write(material: Material, target: Path, options: Options) -> Exported:
    """Write `direction.N` for the layer whose output the vector is added to.

    Raises:
        ElicitError: There is no vector, llama.cpp has no place for it, or the file cannot be
            written.

    Source: llama.cpp `common_control_vector_load` and `llama_adapter_cvec`: architecture
        `controlvector`, one float32 tensor `direction.N` per layer, N counted as here but from 1,
        because the first layer has none.
    """
    made = vector_of(material, options)
    if made.layer == 0:
        raise ExportError(
            "the direction is at the output of layer 0, where llama.cpp adds nothing, so it would "
            "be left out. Export a direction of a later layer."
        )
    write_control_vector(made, target)
    used = (
        f"llama-cli -m MODEL.gguf --control-vector-scaled {target}:{made.scale:g} "
        f"--control-vector-layer-range {made.layer} {made.layer} -p PROMPT"
    )
    older = "Older versions of llama.cpp take a space in place of the colon before the scale."
    return Exported(paths=(target,), says=(used, older, *made.says))


def write_control_vector(made: Vector, target: Path) -> None:
    """Write one vector, not multiplied, as a GGUF file of control vectors.

    Args:
        made: The vector.
        target: File to write.

    Raises:
        ExportError: The package `gguf` is not installed, or the file cannot be written.
    """
    with needs("gguf", "gguf", "A control vector"):
        from gguf import GGUFWriter
    with disk_errors(target, ExportError):
        writer = GGUFWriter(str(target), "controlvector")
        try:
            writer.add_string("controlvector.model_hint", made.direction.model)
            writer.add_uint32("controlvector.layer_count", 1)
            writer.add_string("general.description", f"{made.direction.how}, by elicit")
            writer.add_string("elicit.site", str(made.direction.site))
            writer.add_string("elicit.model_digest", made.direction.model_digest)
            writer.add_float32("elicit.scale", made.scale)
            writer.add_tensor(f"direction.{made.layer}", made.values)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()
