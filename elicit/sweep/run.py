"""Run a study: what is finished is kept, what failed is named, the rest goes on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from elicit.page import register
from elicit.page import write as write_page
from elicit.results import canonical_json, disk_errors, write_atomic
from elicit.runs import NoProgress, Progress
from elicit.sweep._one import RECORDS, Done, execute_one, finished
from elicit.sweep._part import PART
from elicit.sweep.comparison import Comparison, compare
from elicit.sweep.errors import SweepError
from elicit.sweep.study import Planned, Study

PAGE = "comparison.html"
"""Page over all runs of a study."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Swept:
    """A study whose runs have ended."""

    path: Path
    """Folder of the study."""
    done: tuple[Done, ...]
    """How each run ended, in the order of the study."""
    comparison: Comparison | None
    """Numbers of all finished runs; None if none has finished."""

    @property
    def page(self) -> Path:
        """The comparison of all finished runs."""
        return self.path / PAGE

    @property
    def failed(self) -> tuple[Done, ...]:
        """Runs without results."""
        return tuple(one for one in self.done if one.status == "failed")


def sweep(
    study: Study,
    *,
    ray: str | None = None,
    only: Sequence[int] = (),
    fresh: bool = False,
    progress: Progress | None = None,
) -> Swept:
    """Run a study, one run after the other or on Ray, and compare what has finished.

    A run that has finished with the same options is kept. One that was interrupted goes on where it
    stopped, on whichever machine, as long as it sees the study's folder.

    Args:
        study: Its runs.
        ray: `local` starts Ray here, `auto` joins the cluster of this machine, anything else is the
            address of one; None runs here, one after the other.
        only: Numbers of the runs to do, from 1; all if empty.
        fresh: Whether to begin finished and interrupted runs anew.
        progress: Told how many runs are done.

    Raises:
        SweepError: A number is out of range, Ray is not installed or does not answer, or the folder
            cannot be written.
    """
    progress = progress or NoProgress()
    wrong = [number for number in only if not 1 <= number <= len(study.runs)]
    if wrong:
        raise SweepError(
            f"run {wrong[0]} was asked for and the study has runs 1 to {len(study.runs)}. Pass "
            "numbers in this range."
        )
    wanted = [study.runs[number - 1] for number in only] if only else list(study.runs)
    with disk_errors(study.out, SweepError):
        (study.out / RECORDS).mkdir(parents=True, exist_ok=True)
    kept = {run.name: done for run in wanted if not fresh and (done := finished(run)) is not None}
    left = [run for run in wanted if run.name not in kept]
    progress.start(len(wanted), "runs of the study")
    if kept:
        progress.advance(len(kept))
    found = dict(kept)
    try:
        for done in _executor(ray)(left, fresh):
            found[done.name] = done
            progress.advance(1, done.name)
    finally:
        progress.stop()
    return _compared(study, found)


def _executor(ray: str | None) -> Callable[[Sequence[Planned], bool], Iterator[Done]]:
    if ray is None:
        return _here
    from elicit.sweep.on_ray import on_ray

    return lambda runs, fresh: on_ray(runs, fresh=fresh, address=ray)


def _here(runs: Sequence[Planned], fresh: bool) -> Iterator[Done]:
    """The runs, one after the other in this process."""
    for run in runs:
        yield execute_one(run.command, _options(run, fresh), run.name)


def _options(run: Planned, fresh: bool) -> dict[str, object]:
    return {**run.spec.model_dump(mode="json", exclude_unset=True), "fresh": fresh}


def _compared(study: Study, found: dict[str, Done]) -> Swept:
    """The comparison of everything in the study that has finished, also in earlier attempts."""
    ended = [found.get(run.name) or finished(run) for run in study.runs]
    done = tuple(one for one in ended if one is not None)
    whole = [run for run, one in zip(study.runs, ended, strict=True) if one and not one.why]
    comparison = compare(whole, failed=[one for one in done if one.why]) if whole else None
    with disk_errors(study.out, SweepError):
        told = [{"name": one.name, "status": one.status, "why": one.why} for one in done]
        write_atomic(study.out / RECORDS / "runs.json", canonical_json(told))
        if comparison is not None:
            comparison.save(study.out / RECORDS / "comparison")
            register(PART)
            write_page(
                [comparison],
                study.out / PAGE,
                title=study.out.name,
                notes=[f"{one.name} failed: {one.why}" for one in done if one.why],
            )
    return Swept(path=study.out, done=done, comparison=comparison)
