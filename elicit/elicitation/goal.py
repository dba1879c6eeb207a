"""Goal of steering: target, metrics and coherence."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from elicit.elicitation.coherence import MAX_LOSS
from elicit.elicitation.errors import ElicitationError
from elicit.pair import Side
from elicit.tasks import Marker, Task

ACCURACY = "accuracy"
"""Metric of right answers, always the first."""
UNSTEERED, TARGET = "unsteered", "target"
"""Names of the two models that are not steered."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Goal:
    """Goal of steering: target, metrics and coherence.

    Raises:
        ElicitationError: Two metrics or references have the same name, or the metric is
            unknown.
    """

    target: Side | None = None
    """Model whose rates are the goal, often the post-trained one; None reports no share of a
    gap."""
    markers: Mapping[str, Marker] = field(default_factory=dict)
    """What is looked for in each text besides the right answer, by name."""
    wordings: Mapping[str, Task] = field(default_factory=dict)
    """The same problems under other prompts, by name: what a prompt alone brings about."""
    metric: str | None = None
    """Whose rate a strength is chosen by; None takes right answers where their gap is clear, else
    the first marker."""
    max_loss: float = MAX_LOSS
    """Nats a token that a coherent text may lose; see `coherence`."""
    need_gap: bool = True
    """Whether to refuse, before anything is steered, a target whose accuracy cannot be
    distinguished from the model's. If not, rates are reported without shares."""

    def __post_init__(self) -> None:
        """Refuse duplicate names and an unknown metric."""
        if ACCURACY in self.markers:
            raise ElicitationError(
                f"a marker is called {ACCURACY!r}, and so is the share of right answers, so the "
                "two could not be distinguished. Give it another name."
            )
        taken = sorted({UNSTEERED, TARGET} & set(self.wordings))
        if taken:
            raise ElicitationError(
                f"a wording is called {taken[0]!r}, and so is a model that is not steered, so the "
                "two could not be distinguished. Give it another name."
            )
        if self.metric is not None and self.metric not in self.metrics:
            raise ElicitationError(
                f"metric is {self.metric!r}, and what is measured is {', '.join(self.metrics)}, so "
                "no strength could be chosen by it. Pass one of these."
            )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all metrics, accuracy first."""
        return (ACCURACY, *self.markers)

    def reworded(self, task: Task) -> dict[str, Task]:
        """The problems of a task under every alternative prompt.

        Args:
            task: The problems.

        Raises:
            ElicitationError: An alternative prompt lacks a problem or has another answer.
        """
        tasks: dict[str, Task] = {}
        for name, other in self.wordings.items():
            known = {problem.id: problem for problem in other}
            lost = [p.id for p in task if p.id not in known or known[p.id].answer != p.answer]
            if lost:
                raise ElicitationError(
                    f"the wording {name!r} lacks problem {lost[0]!r} or gives it another answer, "
                    f"and {len(lost) - 1} more, so it asks something else. Reword the same "
                    "problems."
                )
            # Everything but the prompt is the task's own.
            tasks[name] = Task(
                name=f"{task.name}, {name}",
                problems=tuple(replace(p, prompt=known[p.id].prompt) for p in task),
            )
        return tasks
