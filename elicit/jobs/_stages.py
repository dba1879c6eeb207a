"""Progress of a run as one estimate over numbered stages."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from elicit.runs import Progress

UNITS = 1000
"""Steps of a whole run on the bar."""


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """A stage as progress counts it."""

    name: str
    """What is shown."""
    weight: float | int
    """Expected share of the run's cost, in any unit."""
    texts: int = 0
    """Texts that jobs called `rollouts` write in this stage; 0 where jobs count alike."""
    jobs: int = 1
    """Jobs of this stage, where no texts are counted."""


class StageProgress:
    """Maps the jobs inside each stage to one bar whose steps are weighted by cost."""

    def __init__(self, progress: Progress, stages: Sequence[Weighted]) -> None:
        """Nothing is shown before the first stage."""
        self._progress, self._stages = progress, tuple(stages)
        self._total = sum(stage.weight for stage in stages) or 1.0
        self._shown, self._begun = 0, False
        self._stage = -1
        self._job, self._jobs, self._done, self._size = "", 0, 0, 1

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Everything that is reported inside belongs to a stage."""
        self._stage = [stage.name for stage in self._stages].index(name)
        self._jobs, self._done, self._size = 0, 0, 1
        if not self._begun:
            self._begun = True
            self._progress.start(UNITS, self._title())
        self._move(0.0, self._title())
        yield
        self._move(1.0, None)
        if self._stage == len(self._stages) - 1:
            self._progress.stop()

    def start(self, total: int, what: str) -> None:
        """A job inside the stage begins."""
        self._job, self._jobs = what, self._jobs + 1
        if not self._now.texts:
            self._done, self._size = 0, max(total, 1)
        self._move(self._fraction, self._title(what))

    def advance(self, n: int = 1, what: str | None = None) -> None:
        """Steps of the job are done."""
        self._done += n if not self._now.texts or self._job == "rollouts" else 0
        self._move(self._fraction, None if what is None else self._title(what))

    def stop(self) -> None:
        """A job inside the stage ends; the stage itself may go on."""

    @property
    def _now(self) -> Weighted:
        return self._stages[self._stage]

    @property
    def _fraction(self) -> float:
        """Share of the stage that is done."""
        if self._now.texts:
            return min(self._done / self._now.texts, 1.0)
        done = max(self._jobs - 1, 0) + min(self._done / self._size, 1.0)
        return min(done / self._now.jobs, 1.0)

    def _move(self, fraction: float, what: str | None) -> None:
        before = sum(stage.weight for stage in self._stages[: self._stage])
        at = (before + self._now.weight * fraction) / self._total
        ended = self._stage == len(self._stages) - 1 and fraction == 1.0
        steps = max((UNITS if ended else int(at * UNITS)) - self._shown, 0)
        self._shown += steps
        self._progress.advance(steps, what)

    def _title(self, what: str = "") -> str:
        text = f"{self._stage + 1}/{len(self._stages)} {self._now.name}"
        return f"{text}: {what}" if what and what != self._now.name else text
