"""Take attention away: scores of some tokens for some tokens set to minus infinity."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.edits.errors import EditError
from elicit.edits.values import MaskAttention


def masked_scores(
    scores: Float[Tensor, "batch head dest src"],
    dest: Bool[Tensor, "batch dest"],
    src: Bool[Tensor, "batch key"],
    edit: MaskAttention,
    layer: int,
) -> Float[Tensor, "batch head dest src"] | None:
    """Scores without those from `dest` to `src`; None if there is no attention to remove.

    `scores`: before the softmax, masked by causality and padding already.

    Raises:
        EditError: A token would be left without anything to attend to.
    """
    n_keys = scores.shape[-1]
    # A window keeps the last keys only; a cache of fixed size has empty ones after them.
    src = src[:, -n_keys:] if n_keys <= src.shape[1] else _padded(src, n_keys)
    heads = torch.ones(scores.shape[1], dtype=torch.bool, device=scores.device)
    if edit.heads is not None:
        heads = torch.zeros_like(heads)
        heads[list(edit.heads)] = True
    device = scores.device
    removed = (
        heads[None, :, None, None]
        & dest.to(device)[:, None, :, None]
        & src.to(device)[:, None, None, :]
    )
    allowed = scores > torch.finfo(scores.dtype).min / 2
    gone = (removed & allowed).any(-1)
    if not bool(gone.any()):
        return None
    empty = (gone & ~(allowed & ~removed).any(-1)).nonzero()
    if len(empty):
        row, head, column = empty[0].tolist()
        raise EditError(
            f"{edit} leaves nothing to attend to at row {row}, layer {layer}, head {head}, for the "
            f"token in column {column} of the call, and attention has to sum to 1. A prompt's "
            "first token sees only itself: leave tokens out of dest, for example with "
            "window(1), or keep one in src."
        )
    return scores.masked_fill(removed, -torch.inf)


def _padded(src: Bool[Tensor, "batch key"], n_keys: int) -> Bool[Tensor, "batch longer"]:
    """The mask with nothing beyond its end."""
    return torch.nn.functional.pad(src, (0, n_keys - src.shape[1]))
