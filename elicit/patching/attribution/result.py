"""What attribution leaves behind: scores of nodes, of edges, and of one path."""

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
    """What every attribution reports of its two runs."""

    metric: str
    """What is read: `logit_diff`, `log_prob`, `probability` or `kl`."""
    unit: str
    """Unit of the metric."""
    question: str
    """`within` one model, from another prompt, or `across` two models on the same prompt."""
    direction: str
    """What is patched into what, in words."""
    host: str
    """Run that is patched."""
    donor: str
    """Run that the activations come from."""
    n_problems: int
    """Problems, the unit of every interval."""
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
    """Effect of patching each cell from donor into host, as gradients predict it."""

    method: str
    """`atp`, `qk_fix`, `grad_drop`, `atp_star`, `ig_inputs` or `ig_activations`."""
    steps: int
    """Points between host and donor where gradients were taken; 1: at the host itself."""
    signed: bool
    """Whether scores have a sign; with dropped gradients they are sizes."""
    site: tuple[str, ...]
    """Name of each site."""
    kind: tuple[str, ...]
    """Kind of each site."""
    layer: Int[Tensor, " site"]
    """Layer of each site."""
    head: Int[Tensor, " site"]
    """Head of each site; -1 for all of them, or where there are none."""
    pos: tuple[str, ...]
    """Label of each position; `all` is every position at once."""
    score: Annotated[Estimate, "site pos"]
    """Mean over problems, in the metric's unit; intervals are simultaneous over cells."""
    problem: tuple[str, ...]
    """Name of each problem."""
    by_problem: Float[Tensor, "problem site pos"] | None = None
    """Score of each problem; None where these would be too many to keep."""
    exact: Float[Tensor, "site pos"] | None = None
    """Effect of patching the same cell, run exactly; None where not requested."""
    agreement: Agreement | None = None
    """How well scores rank cells as exact effects do; None where not requested."""

    def held_against(self, grid: PatchGrid, *, top: int = 10) -> "NodeScores":
        """These scores beside an exact sweep of the same cells, with how well they agree.

        Args:
            grid: Sweep of the same prompts, direction, sites and positions.
            top: Cells that recall looks at, at least 1.

        Raises:
            PatchError: The sweep is of other cells or asks something else.
        """
        for name in ("question", "direction", "host", "donor", "site", "pos", "n_problems"):
            own, other = getattr(self, name), getattr(grid, name)
            if own != other:
                raise PatchError(
                    f"these scores have {name} {own} and the sweep {other}, so other cells "
                    "would be compared. Sweep the same prompts, sites and positions, in the same "
                    "direction."
                )
        exact = grid.effect.value[0, grid.metric_row(self.metric)]
        found = agreement(self.score.value, exact, top=top, signed=self.signed)
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return NodeScores(**{**values, "exact": exact, "agreement": found})


@dataclass(frozen=True, eq=False, kw_only=True)
class EdgeScores(_Attribution):
    """Effect of patching what one component says to another, as gradients predict it."""

    steps: int
    """Points between host and donor where gradients were taken; 1: at the host itself."""
    sender: tuple[str, ...]
    """Who writes to the residual stream: `embed`, a head `z.l.h`, an MLP `mlp_out.l`."""
    receiver: tuple[str, ...]
    """Who reads it: a head's `q.l.h`, `k.l.h`, `v.l.h`, an MLP `mlp.l`, or `logits`."""
    score: Annotated[Estimate, "sender receiver"]
    """Mean over problems, summed over positions, in the metric's unit; NaN where there is no such
    edge. Intervals are simultaneous over edges."""
    exact: Float[Tensor, "sender receiver"] | None = None
    """Effect of patching the same edge, run exactly; None where not requested."""
    agreement: Agreement | None = None
    """How well scores rank edges as exact effects do; None where not requested."""

    def largest(self, n: int) -> tuple[tuple[str, str, float], ...]:
        """Sender, receiver and score of the edges with the largest scores, largest first.

        Args:
            n: How many, at least 1; fewer are given where there are fewer edges.
        """
        score = self.score.value
        size = score.abs().nan_to_num(nan=-1.0).flatten()
        order = torch.argsort(size, descending=True, stable=True)[:n].tolist()
        cells = [divmod(at, len(self.receiver)) for at in order if size[at] >= 0]
        return tuple((self.sender[s], self.receiver[r], score[s, r].item()) for s, r in cells)


@dataclass(frozen=True, eq=False, kw_only=True)
class PathEffect(_Attribution):
    """Effect of patching what one sender says to some receivers and to nobody else, exactly."""

    sender: str
    """Site whose value comes from the donor."""
    receiver: tuple[str, ...]
    """Sites that hear of it; `logits`: the end of the run."""
    pos: tuple[str, ...]
    """Positions of the sender that come from the donor; `all` is every position at once."""
    effect: Annotated[Estimate, " pos"]
    """Patched minus unpatched host, in the metric's unit; intervals are simultaneous over
    positions."""
