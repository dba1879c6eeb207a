"""Problems to choose on and problems to test on: never the same."""

from dataclasses import dataclass

from elicit.tasks.faults import TaskError
from elicit.tasks.task import Task

LEAST = 8
"""Problems in each part: with fewer no p-value survives the adjustment over five rungs."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Problems that everything is fitted and chosen on, and problems that results are reported on.

    Raises:
        TaskError: A problem is in both.
    """

    choose: Task
    """To fit and to choose on."""
    test: Task
    """Held out."""

    def __post_init__(self) -> None:
        """Refuse a test on problems that something was chosen on."""
        both = sorted({problem.id for problem in self.choose} & {p.id for p in self.test})
        if both:
            raise TaskError(
                f"problem {both[0]!r} and {len(both) - 1} more are in both parts, so a choice "
                "would be judged on what it was made on. Pass parts without common problems; "
                "Split.of makes them."
            )

    @classmethod
    def of(cls, task: Task, choose_share: float, *, seed: int = 0) -> "Split":
        """A task in two parts with the same mix of difficulties.

        Args:
            task: All problems.
            choose_share: Share of the problems to choose on, in (0, 1).
            seed: Of the split.

        Raises:
            TaskError: A part would have fewer than `LEAST` problems.
        """
        n_choose = round(choose_share * len(task))
        fewer = min(n_choose, len(task) - n_choose)
        if fewer < LEAST:
            raise TaskError(
                f"{task.name} has {len(task)} problems, which leaves {fewer} in one part; with "
                f"fewer than {LEAST} no result could be distinguished from chance. Give at least "
                f"{2 * LEAST} problems, 100 or more for a useful verdict."
            )
        choose, test = task.split((choose_share, 1 - choose_share), seed)
        return cls(choose=choose, test=test)
