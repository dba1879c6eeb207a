"""Export of directions for steering with lm-evaluation-harness."""

import io
from pathlib import Path

import torch
from torch import nn

from elicit.directions.errors import DirectionError
from elicit.directions.values import Direction
from elicit.edits import shape_of
from elicit.pair import hugging_face_model
from elicit.results import disk_errors, write_atomic


def export_lm_eval(
    direction: Direction, model: nn.Module, path: Path | str, *, scale: float
) -> Path:
    """Write a direction for `lm_eval --model steered --model_args steer_path=...`.

    The harness adds it at every token of prompt and text, which is `everywhere()` here: a direction
    validated at one token may act differently there, so validate it so first. The harness reads its
    `.csv` form from SAEs only, so this is its `.pt` form: tensors, numbers and strings, loaded
    without running code. `elicit` never reads the file back.

    Args:
        direction: Direction of the residual stream after some layer.
        model: A bridge of the steered architecture, for the name of its layer.
        path: File to write, ending in `.pt`; its folder exists.
        scale: Multiple of the vector that is added.

    Returns:
        The file.

    Raises:
        DirectionError: The harness does not support that site or file name, the model lacks the
            layer or width, or the file cannot be written.

    Source: EleutherAI/lm-evaluation-harness, `lm_eval/models/hf_steered.py`: one entry per
        hook point, keyed by its name (its docstring shows a list; its code reads a mapping). One
        direction per file: of several its closures keep only the last.
    """
    path = Path(path)
    if path.suffix != ".pt":
        raise DirectionError(
            f"the file is called {path.name!r}, but the harness decides the format by the ending "
            "and reads vectors from .pt. Use that ending."
        )
    data = lm_eval_bytes(direction, model, scale=scale)
    with disk_errors(path, DirectionError):
        write_atomic(path, data)
    return path


def lm_eval_bytes(direction: Direction, model: nn.Module, *, scale: float) -> bytes:
    """Bytes of the file that `export_lm_eval` writes.

    Args:
        direction: Direction of the residual stream after some layer.
        model: A bridge of the steered architecture, for the name of its layer.
        scale: Multiple of the vector that is added.

    Raises:
        DirectionError: The harness does not support that site, or the model lacks the layer or
            width.
    """
    site = direction.site
    # resid_pre of a layer is resid_post of the one before.
    layer = site.layer - 1 if site.kind == "resid_pre" else site.layer
    if site.kind not in ("resid_pre", "resid_post") or layer < 0:
        raise DirectionError(
            f"the direction is at {site}, but the harness adds to layer outputs only, so it would "
            "steer elsewhere. Export a direction of resid_post."
        )
    blocks = list(model.blocks)  # pyright: ignore[reportArgumentType]
    inner: nn.Module = getattr(hugging_face_model(model), "base_model", model)
    names = [
        name
        for name, module in inner.named_modules()
        if layer < len(blocks) and module is blocks[layer]
    ]
    width = shape_of(model).d_model
    if not names or width != len(direction.vector):
        raise DirectionError(
            f"the direction is at layer {layer} and {len(direction.vector)} wide, and the model "
            f"has {len(blocks)} layers of width {width}, so it does not fit. Pass a model of the "
            "architecture it was estimated on."
        )
    return lm_eval_file(direction, names[0], scale=scale)


def lm_eval_file(direction: Direction, module: str, *, scale: float) -> bytes:
    """Bytes of the file that the harness reads, for a module that is known by its name.

    Args:
        direction: What is added.
        module: Name of the layer inside the model's `base_model`, such as `layers.3`.
        scale: Multiple of the vector that is added.
    """
    held = io.BytesIO()
    entry = {
        "action": "add",
        "steering_coefficient": float(scale),
        "steering_vector": direction.vector.detach().cpu().clone(),
        "bias": None,
    }
    torch.save({module: entry}, held)
    return held.getvalue()
