"""Progress of a long job on the terminal: a bar, plain lines, or nothing."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from elicit.cli.console import stderr
from elicit.runs import NoProgress, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_TENTHS = 10


class Shown(StrEnum):
    """How progress is shown."""

    auto = "auto"
    """A bar on a terminal, lines elsewhere."""
    bar = "bar"
    plain = "plain"
    none = "none"


ELSEWHERE = Shown.plain
"""What `auto` is where there is no terminal, as in the log of a batch system."""


class BarProgress:
    """A bar for each job: current step, time passed, time left."""

    def __init__(self, console: Console) -> None:
        """Draw on `console`, which must not be the one for results."""
        self._console = console
        self._bars: Bars | None = None
        self._task: TaskID | None = None

    def start(self, total: int, what: str) -> None:
        """Begin a new bar."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.stop()
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self._console,
            # Steps differ in cost by orders of magnitude, so use the average pace so far.
            speed_estimate_period=24 * 3600,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._bars.start()
        self._task = self._bars.add_task(_cut(what), total=total)

    def advance(self, n: int = 1, what: str | None = None) -> None:
        """Move the bar."""
        if self._bars is None or self._task is None:
            return
        if what is not None:
            self._bars.update(self._task, description=_cut(what))
        self._bars.advance(self._task, n)

    def announce(self, line: str) -> None:
        """Say a sentence above the bar."""
        self._console.print(line, markup=False, soft_wrap=True)

    def stop(self) -> None:
        """Leave the bar as it is."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._task = None


class PlainProgress:
    """A line about every tenth of a job, for logs."""

    def __init__(
        self, say: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Report through `say`."""
        self._say = say
        self._clock = clock
        self._total = self._done = self._said = 0
        self._what = ""
        self._began = 0.0

    def start(self, total: int, what: str) -> None:
        """Report the start."""
        self._total, self._what, self._done, self._said = total, what, 0, 0
        self._began = self._clock()
        self._say(f"{what} (0 of {total})")

    def advance(self, n: int = 1, what: str | None = None) -> None:
        """Report every tenth."""
        self._what = self._what if what is None else what
        self._done += n
        if not self._total:
            return
        tenth = self._done * _TENTHS // self._total
        if tenth <= self._said:
            return
        self._said = tenth
        passed = self._clock() - self._began
        left = passed * max(self._total - self._done, 0) / self._done
        self._say(
            f"{self._what} ({self._done} of {self._total}, "
            f"{round(100 * self._done / self._total)} %, "
            f"{_span(passed)} passed, {_span(left)} left)"
        )

    def announce(self, line: str) -> None:
        """Say a sentence on a line of its own."""
        self._say(line)

    def stop(self) -> None:
        """Do nothing: the last step already reported."""


def _span(seconds: float) -> str:
    """A duration as `0:05` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _cut(text: str, limit: int = 44) -> str:
    """Text short enough to leave room for the bar on a narrow terminal."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


@contextmanager
def watched(shown: Shown, *, quiet: bool) -> Iterator[Progress]:
    """The requested progress display, closed before anything else is printed."""
    made = progress(shown, quiet=quiet)
    try:
        yield made
    finally:
        made.stop()


def progress(shown: Shown, *, quiet: bool) -> Progress:
    """The requested progress display."""
    if quiet:
        return NoProgress()
    if shown is Shown.auto and not sys.stderr.isatty():
        shown = ELSEWHERE
    if shown is Shown.none:
        return NoProgress()
    if shown is Shown.plain:
        return PlainProgress(lambda line: typer.echo(line, err=True))
    return BarProgress(stderr())
