"""Scores of queries and keys with the attention pattern recomputed, not linearised.

A saturated softmax has zero gradient, so queries and keys would get no score whatever the patch.
Here the pattern with the donor's query or key is computed exactly, and only what follows the
pattern is linearised.

Source: Kramár et al. 2024 (AtP*, arXiv:2403.00745), the Q/K fix. It recomputes one pattern per
key; the softmax with one score replaced has a closed form, so all keys cost as much as one pattern.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.capture import Heads, Layer

_ROOM = 1 << 24
"""Maximum number of attention probabilities in memory."""


def query_scores(
    layer: Layer,
    heads: Heads,
    q_donor: Float[Tensor, "row pos head d_head"],
    grad_z: Float[Tensor, "row pos head d_head"],
    allowed: Bool[Tensor, "mask_row dest src"],
    inside: Float[Tensor, "row column pos"],
) -> Float[Tensor, "row column head"]:
    """First-order effect of the pattern given by the donor's queries.

    `inside`: 1 at the positions of each column.
    """
    found = []
    for some in _row_parts(heads.q):
        q, k, mask = heads.q[some], heads.k[some], _mask_of(allowed, some)
        slope = _pattern_slope(grad_z[some], heads.v[some])
        moved = layer.pattern(q_donor[some], k, mask) - layer.pattern(q, k, mask)
        found.append((moved * slope).sum(-1, dtype=torch.float64))
    return torch.einsum("rcp,rhp->rch", inside, torch.cat(found))


def key_scores(
    layer: Layer,
    heads: Heads,
    k_donor: Float[Tensor, "row pos kv_head d_head"],
    grad_z: Float[Tensor, "row pos head d_head"],
    allowed: Bool[Tensor, "mask_row dest src"],
    inside: Float[Tensor, "row column pos"],
) -> Float[Tensor, "row column kv_head"]:
    """First-order effect of the pattern given by the donor's keys, by column.

    `inside`: 1 at the positions of each column; all keys of a column are replaced together.
    """
    alone = bool((inside.sum(-1) <= 1).all())
    found = []
    for some in _row_parts(heads.q):
        q, k, theirs, mask = heads.q[some], heads.k[some], k_donor[some], _mask_of(allowed, some)
        slope = _pattern_slope(grad_z[some], heads.v[some])
        if alone:
            each = one_key_scores(
                scores_of(layer, q, k, mask), scores_of(layer, q, theirs, mask), slope
            )
            by_head = torch.einsum("rcp,rhp->rch", inside[some], each)
        else:
            own = layer.pattern(q, k, mask)
            columns = []
            for column in inside[some].unbind(1):
                mixed = torch.where(column[:, :, None, None] > 0, theirs, k)
                moved = layer.pattern(q, mixed, mask) - own
                columns.append((moved * slope).sum((-1, -2), dtype=torch.float64))
            by_head = torch.stack(columns, dim=1)
        found.append(by_head.unflatten(-1, (k.shape[2], -1)).sum(-1))
    return torch.cat(found)


def one_key_scores(
    scores: Float[Tensor, "row head dest src"],
    changed: Float[Tensor, "row head dest src"],
    slope: Float[Tensor, "row head dest src"],
) -> Float[Tensor, "row head src"]:
    """Change of the pattern when one key alone is replaced, times the pattern's gradient.

    With probability A and score s of a position, and s' its score after the patch, its probability
    becomes A' = sigmoid(s' - logsumexp of the others), and the others keep their proportions. So
    the change is (A' - A) · (slope of the position - the others' mean slope).

    `changed`: scores of each position with its key replaced.
    """
    scores, changed, slope = scores.double(), changed.double(), slope.double()
    whole = scores.logsumexp(-1, keepdim=True)
    probs = (scores - whole).exp()
    # If one position has nearly all the weight, 1 - A cancels: the others are summed directly.
    top = scores.argmax(-1, keepdim=True)
    without = scores.scatter(-1, top, -torch.inf)
    rest = without.logsumexp(-1, keepdim=True)
    rest_mean = (without - rest).exp().nan_to_num(nan=0.0).mul(slope).sum(-1, keepdim=True)
    share = 1 - probs.scatter(-1, top, 0.0)
    others = (whole + share.log()).scatter(-1, top, rest)
    mean = (probs * slope).sum(-1, keepdim=True)
    others_mean = ((mean - probs * slope) / share).scatter(-1, top, rest_mean)
    new = torch.sigmoid(changed - others)
    moved = torch.where(scores == -torch.inf, 0.0, new - probs)
    return (moved * (slope - others_mean)).sum(-2)


def scores_of(
    layer: Layer,
    q: Float[Tensor, "row dest head d_head"],
    k: Float[Tensor, "row src kv_head d_head"],
    allowed: Bool[Tensor, "mask_row dest src"],
) -> Float[Tensor, "row head dest src"]:
    """Attention scores before the softmax; -inf where masked."""
    k = k.transpose(1, 2).repeat_interleave(q.shape[2] // k.shape[2], dim=1)
    found = (q.transpose(1, 2) @ k.transpose(-1, -2)) * layer.scaling
    if layer.softcap is not None:
        found = torch.tanh(found / layer.softcap) * layer.softcap
    return found.masked_fill(~allowed[:, None], -torch.inf)


def _pattern_slope(grad_z: Tensor, v: Tensor) -> Float[Tensor, "row head dest src"]:
    """Gradient of the metric at the pattern, where z = pattern @ v."""
    v = v.transpose(1, 2).repeat_interleave(grad_z.shape[2] // v.shape[2], dim=1)
    return grad_z.transpose(1, 2) @ v.transpose(-1, -2)


def _row_parts(q: Tensor) -> list[slice]:
    """Slices of rows whose patterns fit in memory."""
    n_rows, n_pos, n_heads = q.shape[:3]
    step = max(1, _ROOM // (n_heads * n_pos * n_pos))
    return [slice(start, start + step) for start in range(0, n_rows, step)]


def _mask_of(allowed: Tensor, some: slice) -> Tensor:
    return allowed if len(allowed) == 1 else allowed[some]
