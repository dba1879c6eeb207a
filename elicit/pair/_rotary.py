"""Rotary angles that depend on a text's length, chosen for each row by its own length.

transformers takes the longest row of a batch for the length of all (`longrope`), or keeps what an
earlier text left (`dynamic`). Then a row's numbers would depend on what else is read.
"""

from typing import Any

from torch import Tensor, nn


def lengths_by_row(model: nn.Module) -> None:
    """Let every row of a batch have the angles that it would have alone, in a fresh model.

    `model`: a Hugging Face model, plain or wrapped; angles that do not depend on the length of a
    text stay as they are.
    """
    for module in list(model.modules()):
        kinds = getattr(module, "rope_type", None)
        named = set(kinds.values()) if isinstance(kinds, dict) else {kinds}
        depends = any(_depends(kind) for kind in named)
        if depends and not any(hook is _by_row for hook in module._forward_hooks.values()):
            module.register_forward_hook(_by_row, with_kwargs=True)


def _depends(kind: object) -> bool:
    """Whether angles of a kind depend on the length of the text."""
    return isinstance(kind, str) and (kind == "longrope" or "dynamic" in kind)


def _by_row(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor] | None:
    """Angles of each row as if it were alone."""
    given = {**dict(zip(("x", "position_ids", "layer_type"), args, strict=False)), **kwargs}
    x, positions, layer_type = given["x"], given["position_ids"], given.get("layer_type")
    kind = module.rope_type if layer_type is None else module.rope_type[layer_type]
    if not _depends(kind):
        return None
    length = positions.amax(-1) + 1
    if kind == "longrope":  # one set of angles up to a length, and one beyond it
        parameters = module.config.rope_parameters
        parameters = parameters if layer_type is None else parameters[layer_type]
        length = (length > int(parameters["original_max_position_embeddings"])).long()
    else:  # another set for each length beyond the usual one
        length = length.clamp(min=int(module.original_max_seq_len))
    groups = length.unique().tolist()
    if len(groups) == 1 and kind == "longrope":
        return None
    cos, sin = output[0].clone(), output[1].clone()
    for each in groups:
        rows = length == each
        if kind != "longrope":
            _forget(module, layer_type)
        further = {} if layer_type is None else {"layer_type": layer_type}
        own = module.forward(x, positions[rows], **further)
        cos[rows], sin[rows] = own
    return cos, sin


# It changes values on purpose, for every caller alike.
_by_row.keeps_values = True  # pyright: ignore[reportFunctionMemberAccess]


def _forget(module: Any, layer_type: str | None) -> None:
    """Take back what an earlier, longer text left."""
    prefix = "" if layer_type is None else f"{layer_type}_"
    device = getattr(module, f"{prefix}inv_freq").device
    setattr(module, f"{prefix}inv_freq", getattr(module, f"{prefix}original_inv_freq").to(device))
    setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)
