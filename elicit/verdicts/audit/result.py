"""The audit of a pair: three answers, the runs behind them, and what was registered beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from jaxtyping import Bool, Float
from torch import Tensor

from elicit.results import Estimate, Result

QUESTIONS = ("existence", "layers", "trace")
"""What an audit answers."""
ASKED = (
    "Does the base already have it, and what elicits it?",
    "Which layers did post-training change or corrupt?",
    "Does the written reasoning still do the work?",
)
"""The same in words."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Audit(Result):
    """Three answers about a pair, each with its strength and the strongest control beside it."""

    headline: str
    """The finding in one sentence; where nothing was found, what would have been seen."""
    found: bool
    """Whether anything was found."""
    question: tuple[str, ...]
    """`existence`, `layers`, `trace`."""
    asked: tuple[str, ...]
    """Each in words."""
    verdict: tuple[str, ...]
    """Each answer in a word or two."""
    says: tuple[str, ...]
    """Each answer in sentences."""
    strength: tuple[str, ...]
    """`strong`: every criterion holds. `moderate`: some do not, none speaks against it. `weak`: a
    control does as much, or another part of the audit says otherwise. `none`: nothing was found.
    `not asked`: no run tells."""
    rests_on: tuple[str, ...]
    """Which criteria hold."""
    effect_name: tuple[str, ...]
    """The number that each answer rests on most; empty where there is none."""
    effect: Annotated[Estimate, "question"]
    """That number."""
    border: Float[Tensor, " question"]
    """What it is held against."""
    control_name: tuple[str, ...]
    """The strongest of its controls; empty where there is none."""
    control: Annotated[Estimate, "question"]
    """Control: the same number under it."""
    unit: tuple[str, ...]
    """Unit of both."""
    detectable: Float[Tensor, " question"]
    """Effect that would likely have been seen; NaN where that is not known."""
    detectable_of: tuple[str, ...]
    """What that is a change in."""
    n_layers: int
    """Layers of each model."""
    changed_layers: tuple[int, ...]
    """Layers in which any weight differs; empty where `report` did not tell."""
    corrupted_layers: tuple[int, ...]
    """Layers where reverting heals and grafting harms."""
    skill_layers: tuple[int, ...]
    """Layers where reverting costs the skill and grafting gives it."""
    run: tuple[str, ...]
    """Folders of the runs, in order."""
    run_asks: tuple[str, ...]
    """What each asks."""
    run_status: tuple[str, ...]
    """`finished`, `failed`, `not asked` or `left out`."""
    run_note: tuple[str, ...]
    """Why it did not finish; its finding where it did."""
    number: tuple[str, ...]
    """Names of the key figures of all runs, `report.problems.gap`."""
    number_says: tuple[str, ...]
    """Each in words."""
    number_unit: tuple[str, ...]
    """Unit of each."""
    estimate: Annotated[Estimate, "number"]
    """Value as its run's own `summary.json` has it."""
    beside_name: tuple[str, ...]
    """What stands beside each; empty where nothing does."""
    beside: Annotated[Estimate, "number"]
    """Control of each, or the other model's value."""
    registered: Bool[Tensor, " number"]
    """Whether the protocol names it as a primary; the others are exploratory."""
    protocol: str
    """SHA-256 of the protocol; empty without one."""
    hypothesis: tuple[str, ...]
    """Registered hypotheses."""
    primary: tuple[str, ...]
    """Key figure that decides each."""
    expected: tuple[str, ...]
    """Where its interval must lie, as the protocol says."""
    outcome: tuple[str, ...]
    """`supported`, `refuted`, `open` or `not measured`."""
    left_out: tuple[str, ...] = ()
    """What the budget left out."""
    level: float
    """Nominal coverage of the intervals."""

    def summary(self) -> dict[str, Any]:
        """Headline, answers, runs, key figures and hypotheses as JSON has them."""
        return {
            "headline": self.headline,
            "found": self.found,
            "answers": {
                name: {
                    "verdict": self.verdict[i],
                    "says": self.says[i],
                    "strength": self.strength[i],
                    "rests_on": self.rests_on[i],
                    "effect_name": self.effect_name[i] or None,
                    "effect": self.effect[i].to_json(),
                    "border": self.border[i].item(),
                    "control_name": self.control_name[i] or None,
                    "control": self.control[i].to_json(),
                    "detectable": _known(self.detectable[i].item()),
                }
                for i, name in enumerate(self.question)
            },
            "changed_layers": list(self.changed_layers),
            "corrupted_layers": list(self.corrupted_layers),
            "skill_layers": list(self.skill_layers),
            "runs": {
                name: {"status": self.run_status[i], "note": self.run_note[i] or None}
                for i, name in enumerate(self.run)
            },
            "numbers": {
                name: {**self.estimate[i].to_json(), "registered": bool(self.registered[i])}
                for i, name in enumerate(self.number)
            },
            "protocol": self.protocol or None,
            "hypotheses": {
                name: {
                    "primary": self.primary[i],
                    "expected": self.expected[i],
                    "outcome": self.outcome[i],
                }
                for i, name in enumerate(self.hypothesis)
            },
            "left_out": list(self.left_out),
            "level": self.level,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class RunTold:
    """How one run of an audit ended."""

    name: str
    """Its folder."""
    asks: str
    """What it asks."""
    status: str
    """`finished`, `failed`, `not asked` or `left out`."""
    note: str = ""
    """Why it did not finish, or its finding."""


@dataclass(frozen=True, eq=False, kw_only=True)
class NumberTold:
    """One key figure of a run."""

    name: str
    """`report.problems.gap`."""
    says: str
    """In words."""
    unit: str
    """Unit."""
    estimate: Mapping[str, float | None]
    """`value`, `low`, `high`, as the run's own summary has them."""
    beside_name: str = ""
    """What stands beside it."""
    beside: Mapping[str, float | None] | None = None
    """Its control, or the other model's value."""


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A registered hypothesis and how it came out."""

    says: str
    """The hypothesis."""
    primary: str
    """Key figure that decides."""
    expected: str
    """Where its interval must lie."""
    outcome: str
    """`supported`, `refuted`, `open` or `not measured`."""


def _known(value: float) -> float | None:
    return None if value != value else value
