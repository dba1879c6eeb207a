"""Run a study: what is finished is kept, what failed is named, the rest goes on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from elicit.page import register
from elicit.page import write as write_page
from elicit.results import canonical_json, disk_errors, write_atomic
from elicit.runs import NoProgress, Progress, RemoteFolder
from elicit.sweep._one import RECORDS, Done, finished, options_of
from elicit.sweep._part import PART
from elicit.sweep.at_url import execute, finished_at, moved, publish
from elicit.sweep.comparison import Comparison, compare
from elicit.sweep.errors import SweepError
from elicit.sweep.study import Planned, Study

PAGE = "comparison.html"
"""Page over all runs of a study."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Swept:
    """A study whose runs have ended."""

    path: Path | str
    """Folder of the study, or its URL."""
    done: tuple[Done, ...]
    """How each run ended, in the order of the study."""
    comparison: Comparison | None
    """Numbers of all finished runs; None if none has finished."""

    @property
    def page(self) -> Path | str:
        """The comparison of all finished runs."""
        return f"{self.path}/{PAGE}" if isinstance(self.path, str) else self.path / PAGE

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
    stopped, on whichever machine, as long as it sees the study's folder or URL. At a URL a run has
    one writer at a time too: it renews a lease once a minute, and another sweep that finds one
    waits three minutes at most to see whether it is still renewed.

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
        RunError: The URL cannot be read or written.
    """
    progress = progress or NoProgress()
    wrong = [number for number in only if not 1 <= number <= len(study.runs)]
    if wrong:
        raise SweepError(
            f"run {wrong[0]} was asked for and the study has runs 1 to {len(study.runs)}. Pass "
            "numbers in this range."
        )
    with _opened(study) as (local, remote):
        wanted = [local.runs[number - 1] for number in only] if only else list(local.runs)
        found = {
            run.name: done
            for run in wanted
            if not fresh and (done := _finished(run, remote)) is not None
        }
        left = [run for run in wanted if run.name not in found]
        progress.start(len(wanted), "runs of the study")
        if found:
            progress.advance(len(found))
        try:
            for done in _executor(ray, study.url)(left, fresh):
                found[done.name] = done
                progress.advance(1, done.name)
        finally:
            progress.stop()
        return _compared(local, found, remote)


@contextmanager
def _opened(study: Study) -> Iterator[tuple[Study, RemoteFolder | None]]:
    """The study in a local folder, which for one at a URL holds what is compared."""
    if study.url is None:
        with disk_errors(study.out, SweepError):
            (study.out / RECORDS).mkdir(parents=True, exist_ok=True)
        yield study, None
        return
    remote = RemoteFolder(study.url)
    with TemporaryDirectory(prefix="elicit-") as root:
        out = Path(root) / study.out.name
        (out / RECORDS).mkdir(parents=True)
        yield replace(study, out=out, runs=moved(study.runs, out)), remote


def _finished(run: Planned, remote: RemoteFolder | None) -> Done | None:
    return finished(run) if remote is None else finished_at(remote, run)


def _executor(
    ray: str | None, url: str | None
) -> Callable[[Sequence[Planned], bool], Iterator[Done]]:
    if ray is None:
        return lambda runs, fresh: _here(runs, fresh, url)
    from elicit.sweep.on_ray import on_ray

    return lambda runs, fresh: on_ray(runs, fresh=fresh, address=ray, url=url)


def _here(runs: Sequence[Planned], fresh: bool, url: str | None) -> Iterator[Done]:
    """The runs, one after the other in this process."""
    for run in runs:
        yield execute(run.command, options_of(run, fresh), run.name, url)


def _compared(study: Study, found: dict[str, Done], remote: RemoteFolder | None) -> Swept:
    """The comparison of everything in the study that has finished, also in earlier attempts."""
    ended = [_ended(run, found.get(run.name), remote) for run in study.runs]
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
    if remote is None:
        return Swept(path=study.out, done=done, comparison=comparison)
    publish(remote, study.out, (f"{RECORDS}/runs.json", f"{RECORDS}/comparison", PAGE))
    return Swept(path=remote.url, done=done, comparison=comparison)


def _ended(run: Planned, done: Done | None, remote: RemoteFolder | None) -> Done | None:
    """How a run ended, its summary in the local folder if it has finished."""
    there = (run.spec.out / "summary.json").is_file()
    if done is not None and (done.why or remote is None or there):
        return done
    again = _finished(run, remote)
    if done is None or again is not None:
        return again
    why = (
        f"what is at {remote.url if remote else run.spec.out} is not what it wrote, so another "
        "process writes there too. Wait for that, and run the study again."
    )
    return replace(done, status="failed", why=why)
