"""A vector for lm-evaluation-harness, and the whole command."""

import shlex
from pathlib import Path

from elicit.directions import lm_eval_file
from elicit.exports.errors import ExportError
from elicit.exports.material import Material
from elicit.exports.registry import Exported, Options
from elicit.exports.vectors import vector_of
from elicit.pair import layer_names
from elicit.results import disk_errors, write_atomic


def write(material: Material, target: Path, options: Options) -> Exported:
    """Write the file that `lm_eval --model steered` reads.

    Raises:
        ElicitError: There is no vector, the harness has no place for it, or the file cannot be
            written.
    """
    made = vector_of(material, options)
    model = options.model or made.direction.model
    names = layer_names(model)
    if made.layer >= len(names):
        raise ExportError(
            f"the direction is at layer {made.layer} and {model} has {len(names)}, so it does not "
            "fit. Pass the model that it was estimated on."
        )
    data = lm_eval_file(made.direction, names[made.layer], scale=made.scale)
    with disk_errors(target, ExportError):
        write_atomic(target, data)
    notes = [lm_eval_command(model, target)]
    if model.startswith("organism:"):
        notes.append(
            f"DIR/base stands for {model}, as a pair with it is written by elicit organisms "
            "--export PAIR DIR."
        )
    return Exported(paths=(target,), says=(*notes, *made.says))


def lm_eval_command(model: str, file: Path | str) -> str:
    """The command that evaluates a steered model.

    Args:
        model: Hub id or directory of the model.
        file: What was exported.
    """
    model = "DIR/base" if model.startswith("organism:") else model
    arguments = f"pretrained={model},steer_path={file},dtype=float32"
    return f"lm_eval run --model steered --model_args {shlex.quote(arguments)} --tasks gsm8k"
