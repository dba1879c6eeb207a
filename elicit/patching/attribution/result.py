"""Results of attribution: scores of nodes and edges, and effects of a path."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.patching.attribution.agreement import Agreement, agreement
from elicit.patching.errors import PatchError
from elicit.patching.grid import PatchGrid
from elicit.results import Estimate, Result


@dataclass(frozen=True, eq=False, kw_only=True)
class _Attribution(Result):
    """Fields common to all attributions."""

    metric: str
    """Metric: `logit_diff`, `log_prob`, `probability` or `kl`."""
    unit: str
    """Unit of the metric."""
    question: str
    """`within` one model, from another prompt, or `across` two models on the same prompt."""
    direction: str
    """Direction of patching, in words."""
    host: str
    """Host run."""
    donor: str
    """Donor run."""
    n_problems: int
    """Number of problems, the unit of every interval."""
    level: float
    """Nominal coverage of the intervals."""
    host_score: float
    """Mean of the unpatched host."""
    donor_score: float
    """Mean of the donor."""
    gap: Annotated[Estimate, ""]
    """Donor minus host, paired by problem."""


@dataclass(frozen=True, eq=False, kw_only=True)
class NodeScores(_Attribution):
    """Gradient-based prediction of the effect of patching each cell from donor into host."""

    method: str
    """`atp`, `qk_fix`, `grad_drop`, `atp_star`, `ig_inputs` or `ig_activations`."""
    steps: int
    """Gradient evaluations between host and donor; 1: at the host."""
    signed: bool
    """Whether scores are signed; with dropped gradients they are magnitudes."""
    site: tuple[str, ...]
    """Name of each site."""
    kind: tuple[str, ...]
    """Kind of each site."""
    layer: Int[Tensor, " site"]
    """Layer of each site."""
    head: Int[Tensor, " site"]
    """Head of each site; -1: all heads, or none."""
    pos: tuple[str, ...]
    """Label of each position; `all`: every position at once."""
    score: Annotated[Estimate, "site pos"]
    """Mean over problems, in the metric's unit; intervals are simultaneous over cells."""
    problem: tuple[str, ...]
    """Name of each problem."""
    by_problem: Float[Tensor, "problem site pos"] | None = None
    """Score of each problem; None if too many to keep."""
    exact: Float[Tensor, "site pos"] | None = None
    """Exact effect of patching the cell; None if not requested."""
    agreement: Agreement | None = None
    """Agreement with the exact effects; None if not requested."""

    def held_against(self, grid: PatchGrid, *, top: int = 10) -> "NodeScores":
        """Scores with the exact effects of a sweep over the same cells, and their agreement.

        Args:
            grid: Sweep of the same prompts, direction, sites and positions.
            top: k of recall, at least 1.

        Raises:
            PatchError: The sweep has other cells or another question.
        """
        for name in ("question", "direction", "host", "donor", "site", "pos", "n_problems"):
            own, other = getattr(self, name), getattr(grid, name)
            if own != other:
                raise PatchError(
                    f"these scores have {name} {own} and the sweep {other}, so different "
                    "cells would be compared. Sweep the same prompts, sites and positions, in "
                    "the same direction."
                )
        exact = grid.effect.value[0, grid.metric_row(self.metric)]
        found = agreement(self.score.value, exact, top=top, signed=self.signed)
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return NodeScores(**{**values, "exact": exact, "agreement": found})


@dataclass(frozen=True, eq=False, kw_only=True)
class EdgeScores(_Attribution):
    """Gradient-based prediction of the effect of patching each edge between components."""

    steps: int
    """Gradient evaluations between host and donor; 1: at the host."""
    sender: tuple[str, ...]
    """Senders: `embed`, a head `z.l.h`, an MLP `mlp_out.l`."""
    receiver: tuple[str, ...]
    """Receivers: a head's `q.l.h`, `k.l.h`, `v.l.h`, an MLP `mlp.l`, or `logits`."""
    score: Annotated[Estimate, "sender receiver"]
    """Mean over problems, summed over positions, in the metric's unit; NaN: no such edge.
    Intervals are simultaneous over edges."""
    exact: Float[Tensor, "sender receiver"] | None = None
    """Exact effect of patching the edge; None if not requested."""
    agreement: Agreement | None = None
    """Agreement with the exact effects; None if not requested."""

    def largest(self, n: int) -> tuple[tuple[str, str, float], ...]:
        """Sender, receiver and score of the edges with the largest scores, largest first.

        Args:
            n: Number of edges, at least 1; fewer are returned if there are fewer.
        """
        score = self.score.value
        size = score.abs().nan_to_num(nan=-1.0).flatten()
        order = torch.argsort(size, descending=True, stable=True)[:n].tolist()
        cells = [divmod(at, len(self.receiver)) for at in order if size[at] >= 0]
        return tuple((self.sender[s], self.receiver[r], score[s, r].item()) for s, r in cells)


@dataclass(frozen=True, eq=False, kw_only=True)
class PathEffect(_Attribution):
    """Exact direct effect of one sender on some receivers."""

    sender: str
    """Sending site, patched with the donor's value."""
    receiver: tuple[str, ...]
    """Receiving sites; `logits`: the output."""
    pos: tuple[str, ...]
    """Patched positions of the sender; `all`: every position at once."""
    effect: Annotated[Estimate, " pos"]
    """Patched minus unpatched host, in the metric's unit; intervals are simultaneous over
    positions."""
