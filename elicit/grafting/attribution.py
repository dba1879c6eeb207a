"""Which layers carry a skill, which are corrupted, and which merely changed: the result."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.results import Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Attribution(Result):
    """Effect of moving each part between base and post, on tasks that post-training changed."""

    task: tuple[str, ...]
    """Name of each task."""
    role: tuple[str, ...]
    """Of each task: `damage` where post lost, `skill` where post gained, `none` where neither
    shows."""
    unit: tuple[str, ...]
    """Unit of each task's values."""
    n_problems: Int[Tensor, " task"]
    """Problems in each task, the unit of every interval."""
    base_score: Float[Tensor, " task"]
    """Mean value of base."""
    post_score: Float[Tensor, " task"]
    """Mean value of post."""
    gap: Float[Tensor, " task"]
    """Post minus base, paired by problem."""
    gap_low: Float[Tensor, " task"]
    """Lower end of the gap's interval."""
    gap_high: Float[Tensor, " task"]
    """Upper end of the gap's interval."""
    part: tuple[str, ...]
    """Name of each part: `L3`, `L3.attn`, `embed`."""
    kind: tuple[str, ...]
    """Kind of each part; intervals hold jointly over the parts of one kind."""
    layer: Int[Tensor, " part"]
    """Layer of each part, -1 outside the layers."""
    changed: Bool[Tensor, " part"]
    """Whether any weight of the part differs."""
    revert: Float[Tensor, "task part"]
    """Post with the part from base, minus post. Above 0: reverting heals."""
    revert_low: Float[Tensor, "task part"]
    """Lower end, jointly over parts of the kind."""
    revert_high: Float[Tensor, "task part"]
    """Upper end, jointly over parts of the kind."""
    graft: Float[Tensor, "task part"]
    """Base with the part from post, minus base. Below 0: grafting harms."""
    graft_low: Float[Tensor, "task part"]
    """Lower end, jointly over parts of the kind."""
    graft_high: Float[Tensor, "task part"]
    """Upper end, jointly over parts of the kind."""
    control_revert: Float[Tensor, "task part"]
    """Post moved from this part by base's difference with its entries shuffled (same norm), minus
    post. NaN: not run."""
    control_revert_low: Float[Tensor, "task part"]
    """Lower end for this part alone."""
    control_revert_high: Float[Tensor, "task part"]
    """Upper end for this part alone."""
    control_graft: Float[Tensor, "task part"]
    """Base moved by post's difference with its entries shuffled, minus base. NaN: not run."""
    control_graft_low: Float[Tensor, "task part"]
    """Lower end for this part alone."""
    control_graft_high: Float[Tensor, "task part"]
    """Upper end for this part alone."""
    healing: Float[Tensor, " part"]
    """Of the damage problems that base solves and post does not: share solved by post with the
    part reverted."""
    preservation: Float[Tensor, " part"]
    """Of the damage problems that both solve: share still solved."""
    target_retention: Float[Tensor, " part"]
    """Of the skill problems that post solves and base does not: share still solved."""
    non_damage: Float[Tensor, " part"]
    """Of the skill problems that both solve: share still solved."""
    partition_low: Float[Tensor, "partition part"]
    """Lower ends (Wilson) of the four shares above, in that order."""
    partition_high: Float[Tensor, "partition part"]
    """Upper ends (Wilson) of the four shares above."""
    partition: tuple[str, ...] = ("healing", "preservation", "target_retention", "non_damage")
    """Names of the four shares of problems, those of DG-Hard (arXiv:2605.20296) as we count
    them."""
    verdict: tuple[str, ...]
    """Of each part: `corrupted`, `skill`, `corrupted+skill`, `changed` (not distinguishable) or
    `unchanged`."""
    level: float
    """Nominal joint coverage of the intervals."""
    margin: float
    """Smallest gap that gives a task a role, in the task's unit."""
    share_margin: float
    """Smallest effect that names a part, as a share of the task's gap."""

    def layers(self, verdict: str) -> tuple[int, ...]:
        """Layers whose verdict holds a word: `corrupted` or `skill`.

        Args:
            verdict: The word.
        """
        return tuple(
            int(layer)
            for layer, kind, said in zip(self.layer.tolist(), self.kind, self.verdict, strict=True)
            if kind == "layer" and verdict in said.split("+")
        )

    @property
    def changed_layers(self) -> tuple[int, ...]:
        """Layers in which any weight differs."""
        return tuple(
            int(layer)
            for layer, kind, changed in zip(
                self.layer.tolist(), self.kind, self.changed.tolist(), strict=True
            )
            if kind == "layer" and changed
        )

    @property
    def corrupted_layers(self) -> tuple[int, ...]:
        """Layers where reverting heals and grafting harms."""
        return self.layers("corrupted")

    @property
    def skill_layers(self) -> tuple[int, ...]:
        """Layers where reverting costs the skill and grafting gives it."""
        return self.layers("skill")
