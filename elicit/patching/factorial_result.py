"""Factorial of upstream × downstream × unembedding at every boundary: the result."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.patching._json import values_json
from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.patching.values import UNITS, check_metrics
from elicit.results import Estimate, Result
from elicit.stats import Inference, joint_tests, simultaneous_intervals

TERMS = (
    "wrote",
    "reader",
    "head",
    "wrote:reader",
    "wrote:head",
    "reader:head",
    "wrote:reader:head",
)
"""Main effects of upstream, downstream and unembedding, then their interactions."""
_ROUNDING = 1e-13
"""Contrasts below this share of a problem's largest cell are float64 rounding."""
_FACTORS = {"wrote": 0, "reader": 1, "head": 2}


@dataclass(frozen=True, eq=False, kw_only=True)
class Factorial(Result):
    """Main effects and interactions of upstream layers, downstream layers and unembedding.

    At boundary b the embedding and the layers below b are upstream, the layers from b on downstream
    (b = 0: only the embedding is upstream; b = n_layers: no layer is downstream); final norm and
    unembedding are the head. Each of the three is base's or post's: eight models. With y[u, d, h]
    the metric of one of them, an effect is

    - of one factor: its post minus its base, averaged over the four settings of the other two;
    - of two: the effect of one with the other post minus with the other base, averaged over the
      two settings of the third: y[1,1] - y[1,0] - y[0,1] + y[0,0]. Above 0: super-additive;
    - of three: that two-way interaction with the third post minus with it base.

    Post minus base is the sum of the main effects plus a quarter of the three-way interaction.
    """

    metric: str
    """Metric."""
    unit: str
    """Unit of all effects and cells."""
    n_problems: int
    """Number of problems, the unit of every interval."""
    level: float
    """Nominal coverage of the intervals."""
    boundary: Int[Tensor, " boundary"]
    """Boundaries; layers below and the embedding are upstream."""
    pos: tuple[str, ...]
    """Patched position; `all`: every position."""
    upstream: tuple[str, ...] = ("base", "post")
    """Model of the embedding and the layers below the boundary."""
    downstream: tuple[str, ...] = ("base", "post")
    """Model of the layers above it."""
    head: tuple[str, ...] = ("base", "post")
    """Model of the final norm and unembedding."""
    cell: Annotated[Estimate, "boundary pos upstream downstream head"]
    """Mean metric of each of the eight models; intervals are pointwise."""
    gap: Annotated[Estimate, "boundary pos"]
    """All three post minus all three base; equal at every boundary where `pos` is `all`.
    Intervals are simultaneous over boundaries and positions."""
    term: tuple[str, ...] = TERMS
    """`wrote` (upstream), `reader` (downstream), `head` (unembedding) and their interactions."""
    effect: Annotated[Estimate, "term boundary pos"]
    """Effect of each term; above 0 it raises the metric. Intervals are simultaneous over the
    boundaries and positions of a term."""
    p: Float[Tensor, "term boundary pos"]
    """Two-sided p-value, adjusted over boundaries and positions of a term: below 1 - level exactly
    where the interval excludes 0."""
    off_manifold: Float[Tensor, "boundary pos"]
    """Mean KL of the mixed models' outputs to the nearer of base and post, nats; large where mixing
    is off both models' distributions. NaN: not measured."""

    @property
    def wrote(self) -> Float[Tensor, "boundary pos"]:
        """Effect of the upstream layers: above 0, they write a signal that raises the metric."""
        return self._effect("wrote")

    @property
    def reader(self) -> Float[Tensor, "boundary pos"]:
        """Effect of the downstream layers: above 0, they extract more from the stream."""
        return self._effect("reader")

    @property
    def unembedding(self) -> Float[Tensor, "boundary pos"]:
        """Effect of the final norm and unembedding."""
        return self._effect("head")

    @property
    def interaction(self) -> Float[Tensor, "boundary pos"]:
        """Interaction of upstream and downstream: a new signal that needs a new reader."""
        return self._effect("wrote:reader")

    def reading(self, pos: str | None = None) -> tuple[str, ...]:
        """Terms distinguishable from 0 at each boundary, in words.

        Intervals are simultaneous over boundaries and positions, term by term. A term
        is named only if its p-value is below (1 - level) / 7, for seven terms.

        Raises:
            PatchError: There is no such position.
        """
        if pos is not None and pos not in self.pos:
            raise PatchError(
                f"there is no position {pos!r} in this result. Pass one of {', '.join(self.pos)}."
            )
        column = 0 if pos is None else self.pos.index(pos)
        sure = self.p < (1 - self.level) / len(self.term)
        return tuple(
            "+".join(name for name, yes in zip(self.term, rows, strict=True) if yes)
            or "not distinguishable"
            for rows in (self.effect.clear & sure)[:, :, column].T.tolist()
        )

    def summary(self) -> dict[str, object]:
        """Effects with intervals, readings and cells for JSON; NaN becomes null."""
        return {
            "metric": self.metric,
            "unit": self.unit,
            "n_problems": self.n_problems,
            "level": self.level,
            "axes": {
                "boundary": self.boundary.tolist(),
                **{name: list(getattr(self, name)) for name in ("pos", "term")},
            },
            **values_json(self, without=("boundary",)),
            "reading": {pos: list(self.reading(pos)) for pos in self.pos},
        }

    def _effect(self, term: str) -> Float[Tensor, "boundary pos"]:
        return self.effect.value[self.term.index(term)]


def conclude_factorial(
    values: Float[Tensor, "boundary pos upstream downstream head problem"],
    *,
    contrast: Contrast,
    metric: str,
    pos: tuple[str, ...],
    boundary: tuple[int, ...] | None = None,
    off_manifold: Float[Tensor, "boundary pos problem"] | None = None,
    resolution: float = 0.0,
    inference: Inference = Inference(),
) -> Factorial:
    """Cells, effects and interactions of a factorial, paired by problem.

    `values`: metric of each problem under each of the eight models; index 0 is base, 1 post.
    `boundary`: layers below each boundary; None counts from 0. `off_manifold`: KL of the mixed
    models' outputs to the nearer of base and post, mean over the mixed cells, nats. `resolution`:
    per-problem effects up to this are rounding and count as 0.

    Raises:
        PatchError: The axes disagree, there are fewer than two problems, or a value is NaN.
        ValueError: `level` or `n_resamples` is out of range.
    """
    boundary = tuple(range(len(values))) if boundary is None else boundary
    _refuse(values, contrast, metric, pos, boundary, off_manifold)
    values = values.double().cpu()
    n_boundaries, n_pos, n = len(boundary), len(pos), values.shape[-1]

    def joint(part: Float[Tensor, "boundary pos problem"]) -> Float[Tensor, "number boundary pos"]:
        """Mean, ends and p-value."""
        numbers = joint_tests(
            part.reshape(-1, n).T,
            level=inference.level,
            n_resamples=inference.n_resamples,
            seed=inference.seed,
        )
        return torch.from_numpy(numbers).reshape(4, n_boundaries, n_pos)

    parts = [joint(_contrast(values, term, resolution)) for term in TERMS]
    effect = Estimate.stack(Estimate.of(part[:3]) for part in parts)
    alone = simultaneous_intervals(
        values.reshape(-1, n).T,
        level=inference.level,
        n_resamples=inference.n_resamples,
        seed=inference.seed,
    )
    cell = np.stack([alone.value, *alone.alone])
    gap = Estimate.of(joint(values[:, :, 1, 1, 1] - values[:, :, 0, 0, 0])[:3])
    unknown = torch.full((n_boundaries, n_pos), torch.nan, dtype=torch.float64)
    return Factorial(
        metric=metric,
        unit=UNITS[metric],
        n_problems=n,
        level=inference.level,
        boundary=torch.tensor(boundary),
        pos=pos,
        cell=Estimate.of(cell.reshape(3, *values.shape[:-1])),
        gap=gap,
        effect=effect,
        p=torch.stack([part[3] for part in parts]),
        off_manifold=unknown if off_manifold is None else off_manifold.double().cpu().mean(-1),
    )


def _contrast(
    values: Float[Tensor, "boundary pos upstream downstream head problem"],
    term: str,
    resolution: float,
) -> Float[Tensor, "boundary pos problem"]:
    """Effect of a term for each problem: differences along its factors, means along the others."""
    named = {_FACTORS[name] for name in term.split(":")}
    scale = values.abs().amax(dim=(2, 3, 4))
    for factor in (2, 1, 0):
        base, post = values.select(2 + factor, 0), values.select(2 + factor, 1)
        values = post - base if factor in named else (post + base) / 2
    # Rounding of the sums has a sign too; the same sign in every problem would look like a certain
    # effect.
    rounding = torch.clamp(_ROUNDING * scale, min=resolution)
    return torch.where(values.abs() <= rounding, 0.0, values)


def _refuse(
    values: Tensor,
    contrast: Contrast,
    metric: str,
    pos: tuple[str, ...],
    boundary: tuple[int, ...],
    off_manifold: Tensor | None,
) -> None:
    """Validate values before resampling."""
    check_metrics([metric])
    expected = (len(boundary), len(pos), 2, 2, 2, len(contrast))
    if tuple(values.shape) != expected:
        raise PatchError(
            f"the values have shape {tuple(values.shape)} and boundaries, positions, the three "
            f"factors and problems have sizes {expected}, so cells cannot be named. Pass one value "
            "for each, base before post."
        )
    if len(contrast) < 2:
        raise PatchError(
            "there is 1 problem, which has no spread, so effects would have no interval. "
            "Pass at least 2 problems, better 50."
        )
    if off_manifold is not None and tuple(off_manifold.shape) != (*expected[:2], expected[-1]):
        raise PatchError(
            f"off_manifold has shape {tuple(off_manifold.shape)} and boundaries, positions and "
            f"problems have sizes {(*expected[:2], expected[-1])}, so it does not match the "
            "effects. Pass one value for each."
        )
    for name, held in (("the metric", values), ("off_manifold", off_manifold)):
        bad = None if held is None else ~held.isfinite()
        if held is not None and bad is not None and bad.any():
            at = bad.nonzero()[0].tolist()
            told = f"boundary {boundary[at[0]]}, position {pos[at[1]]}"
            if len(at) == 6:
                who = ("base", "post")
                told += f", upstream {who[at[2]]}, downstream {who[at[3]]}, head {who[at[4]]}"
            raise PatchError(
                f"{name} of problem {contrast.id[at[-1]]!r} at {told} is {held[tuple(at)].item()}, "
                "and one such value makes every mean meaningless. Check the model's precision, or "
                "leave that problem out."
            )
