"""Do several ways of changing a model shift its activations alike?

Shown, never a criterion: a random reward shifts activations much as a real one does and elicits
nothing, and critiques elicit without the shift. In the trace the agreement says more than at the
answer position, and that of visited states follows the form of the texts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture import check_rows
from elicit.edits import shape_of
from elicit.pair import Side
from elicit.representations.errors import RepresentationError
from elicit.results import Estimate, Result
from elicit.runs import Execution
from elicit.stats import Inference, Jackknife
from elicit.texts import TokenRows, chunked, residual_states

_SPLITS = 20
"""Random splits for the split-half reliability."""
_LEAST = 4
"""Problems below which halves say nothing."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ShiftAgreement(Result):
    """Cosine between the mean activation shifts of several mechanisms, layer by layer."""

    mechanism: tuple[str, ...]
    """Name of each mechanism."""
    other: tuple[str, ...]
    """The same names, for the second axis."""
    layer: Int[Tensor, " layer"]
    """Layer that the state leaves; -1 is the embedding."""
    cosine: Annotated[Estimate, "mechanism other layer"]
    """Cosine of the two mean shifts, with pointwise intervals over problems; NaN where a shift is
    0."""
    reliability: Float[Tensor, "mechanism layer"]
    """Cosine between the mean shifts of two halves of the problems, mean over random splits; NaN
    where a shift is 0. Where it is low, no agreement could be seen."""
    norm: Float[Tensor, "mechanism layer"]
    """Norm of the mean shift."""
    n_problems: int
    """Problems."""
    where: str
    """Where the states were read, in words."""


def problem_states(
    side: Side, rows: TokenRows, *, n_layers: int, execution: Execution = Execution()
) -> Float[Tensor, "layer problem d_model"]:
    """Mean residual stream over the tokens of each problem that are read, by layer.

    Read a model once as it is and once under a mechanism, on the same rows, and subtract: that is
    the function shift. Read each on the texts that it wrote itself: visited states.

    Args:
        side: The model, alone or with edits or weights in force.
        rows: Token rows; where they are read.
        n_layers: Blocks of the model.
        execution: Tokens per forward pass, memory and progress; nothing is kept, because what is
            in force on the model is not known here.

    Returns:
        First what enters the first block, then what leaves each; problems in the order in which
        they first have a token. Float64.

    Raises:
        CaptureError: The model cannot read a row.
    """
    check_rows(rows.rows)
    named = dict.fromkeys(rows.problem[i] for i in rows.index[0].tolist())
    place = {name: at for at, name in enumerate(named)}
    width = shape_of(side.bridge).d_model
    # Every layer of a token is held in single and in double precision.
    most = max(1, min(execution.max_tokens, execution.memory // (12 * (n_layers + 1) * width)))
    sums = torch.zeros(n_layers + 1, len(place), width, dtype=torch.float64)
    counts = torch.zeros(len(place), dtype=torch.float64)
    execution.progress.start(len(rows), "reading states")
    try:
        for numbers, part in chunked(rows, most):
            states = residual_states(side, part, n_layers=n_layers).double().cpu()
            at = torch.tensor([place[part.problem[i]] for i in part.index[0].tolist()])
            sums.index_add_(1, at, states)
            counts += torch.bincount(at, minlength=len(place))
            execution.progress.advance(len(numbers))
    finally:
        execution.progress.stop()
    return sums / counts[:, None]


def shift_agreement(
    shifts: Mapping[str, Float[Tensor, "layer problem d_model"]],
    *,
    where: str,
    inference: Inference = Inference(),
) -> ShiftAgreement:
    """Cosines between mechanisms' mean shifts, with split-half reliability.

    Args:
        shifts: Each mechanism's shift of every layer's state on every problem, in one order;
            `problem_states` with it minus without it.
        where: Where the states were read, for readers.
        inference: Coverage, resamples and seed.

    Raises:
        RepresentationError: There are no two mechanisms, they have other layers or problems, or
            there are fewer than 4 problems.
    """
    names = tuple(shifts)
    shapes = {tuple(one.shape) for one in shifts.values()}
    if len(names) < 2 or len(shapes) > 1 or next(iter(shapes))[1] < _LEAST:
        raise RepresentationError(
            f"{len(names)} shifts of shapes {sorted(shapes)} (layers, problems, width) were given, "
            f"and agreement needs at least two of one shape with {_LEAST} problems or more. Read "
            "them on the same rows of the same model."
        )
    each = torch.stack([one.double() for one in shifts.values()])
    sums = each.sum(2)
    value = _cosine(*_products(sums, sums))
    parts = value.flatten()
    n = each.shape[2]
    without = torch.stack([_cosine(*_products(kept, kept)) for kept in _each_left_out(each, sums)])
    shift = (n - 1) * (without.mean(0) - without)
    # A rounding error in a cosine that no problem changes is no spread.
    shift[:, shift.abs().amax(0) <= 1e-12 * n] = 0.0
    ends = Jackknife(value=parts, by_problem=parts + shift.reshape(n, -1)).each(inference=inference)
    return ShiftAgreement(
        mechanism=names,
        other=names,
        layer=torch.arange(-1, each.shape[1] - 1),
        cosine=ends.map(lambda one: one.reshape(value.shape)),
        reliability=_reliability(each, inference.seed),
        norm=(sums / n).norm(dim=-1),
        n_problems=n,
        where=where,
    )


def _each_left_out(each: Tensor, sums: Tensor):
    """Sums over all problems but one, for each in turn."""
    return (sums - one for one in each.unbind(2))


def _products(
    a: Float[Tensor, "mechanism layer d_model"], b: Float[Tensor, "mechanism layer d_model"]
) -> list[Tensor]:
    """Inner products of every two mechanisms, and squared norms of both sides."""
    inner = torch.einsum("ald,bld->abl", a, b)
    squares = [one.square().sum(-1) for one in (a, b)]
    return [inner, squares[0][:, None], squares[1][None]]


def _cosine(inner: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Cosine, NaN where a norm is 0; exactly 1 of a vector and itself."""
    size = (first * second).sqrt()
    found = inner / torch.where(size > 0, size, torch.nan)
    own = torch.eye(len(inner), dtype=torch.bool)[..., None].expand_as(found)
    return torch.where(own & found.isfinite(), 1.0, found)


def _reliability(
    each: Float[Tensor, "mechanism layer problem d_model"], seed: int
) -> Float[Tensor, "mechanism layer"]:
    draw = torch.Generator().manual_seed(seed)
    n = each.shape[2]
    found = []
    for _ in range(_SPLITS):
        order = torch.randperm(n, generator=draw)
        halves = [each[:, :, part].sum(2) for part in (order[: n // 2], order[n // 2 :])]
        inner = (halves[0] * halves[1]).sum(-1)
        size = halves[0].norm(dim=-1) * halves[1].norm(dim=-1)
        found.append(inner / torch.where(size > 0, size, torch.nan))
    return torch.stack(found).mean(0)
