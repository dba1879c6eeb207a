"""Layer roles: which layers carry a skill, are corrupted, or merely changed."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.grafting.verdict import Verdict
from elicit.results import Estimate, Result


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerRoles(Result):
    """Effect of moving each part between base and post, on tasks that post-training changed."""

    task: tuple[str, ...]
    """Name of each task."""
    role: tuple[str, ...]
    """Role of each task: `damage` if post lost, `skill` if post gained, else `none`."""
    unit: tuple[str, ...]
    """Unit of each task's values."""
    n_problems: Int[Tensor, " task"]
    """Number of problems of each task, the unit of every interval."""
    base_score: Float[Tensor, " task"]
    """Mean value of base."""
    post_score: Float[Tensor, " task"]
    """Mean value of post."""
    gap: Annotated[Estimate, " task"]
    """Post minus base, paired by problem."""
    part: tuple[str, ...]
    """Name of each part: `L3`, `L3.attn`, `embed`."""
    kind: tuple[str, ...]
    """Kind of each part; intervals are simultaneous over the parts of one kind."""
    layer: Int[Tensor, " part"]
    """Layer of each part, -1 outside the layers."""
    changed: Bool[Tensor, " part"]
    """Whether any weight of the part differs."""
    corrupted: Bool[Tensor, " part"]
    """Whether reverting the part heals and grafting it harms, on a damage task."""
    carries_skill: Bool[Tensor, " part"]
    """Whether reverting the part costs the skill and grafting it gives the skill, on a skill
    task."""
    revert: Annotated[Estimate, "task part"]
    """Post with the part from base, minus post. Above 0: reverting heals. Simultaneous over parts
    of the kind."""
    graft: Annotated[Estimate, "task part"]
    """Base with the part from post, minus base. Below 0: grafting harms. Simultaneous over parts of
    the kind."""
    control_revert: Annotated[Estimate, "task part"]
    """Control: post plus the part's base - post difference with its entries shuffled (same norm),
    minus post; intervals are pointwise. NaN: not run."""
    control_graft: Annotated[Estimate, "task part"]
    """Control: base plus the part's post - base difference with its entries shuffled, minus base;
    intervals are pointwise. NaN: not run."""
    share: tuple[str, ...] = ("healing", "preservation", "target retention", "non-damage")
    """Shares of problems that post solves with the part reverted, those of DG-Hard
    (arXiv:2605.20296) as we count them. `healing`: of the damage problems that only base solves.
    `preservation`: of the damage problems that both solve. `target retention`: of the skill
    problems that only post solves. `non-damage`: of the skill problems that both solve."""
    solved: Annotated[Estimate, "share part"]
    """Each share, with pointwise Wilson intervals. NaN: no such problem."""
    needed: tuple[int, ...] = ()
    """Problems of each task from which on the intervals of all its effects can be trusted without
    being widened, see `stats.problems_needed`; empty where it is not known."""
    level: float
    """Nominal simultaneous coverage of the intervals."""
    margin: float
    """Minimum gap that gives a task a role, in the task's unit."""
    share_margin: float
    """Minimum effect for a verdict, as a share of the task's gap."""

    @property
    def verdict(self) -> tuple[tuple[Verdict, ...], ...]:
        """Verdicts of each part; two if it is corrupted and carries a skill."""
        flags = zip(
            self.changed.tolist(), self.corrupted.tolist(), self.carries_skill.tolist(), strict=True
        )
        return tuple(_verdicts(*each) for each in flags)

    @property
    def reason(self) -> tuple[str, ...]:
        """Why each part that changed has no verdict; empty where it has one, or did not change.

        `one-way`: a clear effect of at least the margin in one direction, or in both with signs
        that fit no verdict. `below margin`: clear effects, all smaller. `under-powered`: none is
        clear, and their spread calls for more problems than there are. `not distinguishable` from
        no effect. `no gap`: no task was clearly lost or gained.
        """
        tasks = torch.tensor([role != "none" for role in self.role])
        least = self.share_margin * self.gap.value.abs()[:, None]
        moved = (self.revert, self.graft)
        clear = torch.stack([one.clear for one in moved])[:, tasks]
        large = torch.stack([one.value.abs() >= least for one in moved])[:, tasks]
        few = any(
            n < needed
            for n, needed, role in zip(
                self.n_problems.tolist(), self.needed, self.role, strict=False
            )
            if role != "none"
        )
        found = []
        for part, verdicts in enumerate(self.verdict):
            if verdicts != (Verdict.CHANGED,):
                found.append("")
            elif not bool(tasks.any()):
                found.append("no gap")
            elif bool((clear & large)[..., part].any()):
                found.append("one-way")
            elif bool(clear[..., part].any()):
                found.append("below margin")
            else:
                found.append("under-powered" if few else "not distinguishable")
        return tuple(found)

    @property
    def label(self) -> tuple[str, ...]:
        """Verdict of each part in words, with the reason where there is none."""
        return tuple(
            " and ".join(verdict.label for verdict in verdicts) + (f", {reason}" if reason else "")
            for verdicts, reason in zip(self.verdict, self.reason, strict=True)
        )

    def layers(self, flag: Bool[Tensor, " part"]) -> tuple[int, ...]:
        """Layers flagged in a field over the parts.

        Args:
            flag: `changed`, `corrupted`, `carries_skill`, or a combination of them.
        """
        rows = zip(self.layer.tolist(), self.kind, flag.tolist(), strict=True)
        return tuple(int(layer) for layer, kind, holds in rows if kind == "layer" and holds)

    @property
    def changed_layers(self) -> tuple[int, ...]:
        """Layers in which any weight differs."""
        return self.layers(self.changed)

    @property
    def corrupted_layers(self) -> tuple[int, ...]:
        """Layers where reverting heals and grafting harms."""
        return self.layers(self.corrupted)

    @property
    def skill_layers(self) -> tuple[int, ...]:
        """Layers where reverting costs the skill and grafting gives it."""
        return self.layers(self.carries_skill)


def _verdicts(changed: bool, corrupted: bool, carries_skill: bool) -> tuple[Verdict, ...]:
    if not changed:
        return (Verdict.UNCHANGED,)
    named = [(corrupted, Verdict.CORRUPTED), (carries_skill, Verdict.SKILL)]
    return tuple([verdict for holds, verdict in named if holds] or [Verdict.CHANGED])
