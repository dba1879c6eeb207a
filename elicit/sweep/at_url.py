"""A study at a URL: runs are made in a local folder and copied there, finished ones found there."""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from elicit.jobs import COMMANDS
from elicit.results import MANIFEST, disk_errors, sha256_file, write_atomic
from elicit.runs import (
    Progress,
    RemoteFolder,
    RunError,
    leased,
    mirrored,
    read_record,
    release_lock,
    take_lock,
)
from elicit.sweep._one import RECORDS, Done, execute_one, finished
from elicit.sweep.study import Planned

EVERY = 60.0
"""Time between two copies of the finished pieces of a run, seconds: what a lost machine loses."""
_SMALL = ("run.json", "summary.json")
"""Files that say whether a run has finished, and what a comparison reads."""


def execute(command: str, options: dict[str, object], name: str, url: str | None) -> Done:
    """Run one job of a study in a folder, or at a URL.

    Args:
        command: The command.
        options: Its options, as JSON has them.
        name: Name of the run.
        url: Of the study; None where it is in a folder, which `out` names.
    """
    if url is None:
        return execute_one(command, options, name)
    return tried_at(url, command, options, name)


def execute_at(
    url: str, command: str, options: dict[str, object], name: str, progress: Progress | None = None
) -> Done:
    """Run one job of a study at a URL; a run that another machine began there goes on.

    Args:
        url: Of the study.
        command: The command.
        options: Its options, as JSON has them; `out` is replaced.
        name: Name of the run.
        progress: Told how far it is.
    """
    with scratch(url, name) as folder:
        remote, out = RemoteFolder(url), folder / name
        record, log = f"{RECORDS}/{name}.json", f"{RECORDS}/{name}.log"
        (folder / RECORDS).mkdir(exist_ok=True)
        lease = f"{RECORDS}/{name}.lease"
        with leased(remote, lease, folder / f".{name}.lease", every=EVERY):
            # From here on the run there is not finished, or finished with other options.
            remote.remove(record)
            with mirrored(remote, name, out, every=EVERY):
                done = execute_one(command, {**options, "out": str(out)}, name, progress)
            done = replace(done, why=done.why.replace(str(folder), remote.url))
            if (folder / log).is_file():
                said = (folder / log).read_text("utf-8").replace(str(folder), remote.url)
                write_atomic(folder / log, said.encode("utf-8", "replace"))
                remote.put(folder / log, log)
            else:
                remote.remove(log)
            # Last: a run counts as finished once this is there.
            remote.put(folder / record, record)
    return done


def tried_at(url: str, command: str, options: dict[str, object], name: str) -> Done:
    """The same, and a store that cannot be read or written is a failure of this run alone."""
    try:
        return execute_at(url, command, options, name)
    except RunError as error:
        here = scratch_of(url, name) / name
        kept = f" What was computed is kept in {here} of its machine." if here.is_dir() else ""
        why = f"{error}{kept}"
        spec = COMMANDS[command].spec.from_options(options)
        digest = Planned(name=name, spec=spec).digest
        return Done(name=name, digest=digest, status="failed", why=why)


def finished_at(remote: RemoteFolder, run: Planned) -> Done | None:
    """What is recorded at a URL, if the run has finished there with the same options.

    Args:
        remote: The study.
        run: A run in a local folder, to which the summary is copied.

    Raises:
        RunError: The URL cannot be read.
    """
    root = run.spec.out.parent
    record = f"{RECORDS}/{run.name}.json"
    for place in (record, *(f"{run.name}/{name}" for name in _SMALL)):
        if not remote.fetch(place, root / place):
            return None
    done = finished(run)
    state = read_record(run.spec.out / "run.json")
    if done is None or state is None or state["status"] != "finished":
        return None
    # Half of one attempt and half of another is no finished run.
    summary = sha256_file(run.spec.out / "summary.json")
    return done if state["digests"].get("summary.json") == summary else None


def moved(runs: Sequence[Planned], folder: Path) -> tuple[Planned, ...]:
    """The same runs in another folder."""
    return tuple(
        replace(run, spec=run.spec.model_copy(update={"out": folder / run.name})) for run in runs
    )


def publish(remote: RemoteFolder, folder: Path, places: Sequence[str]) -> None:
    """Copy files, and whole folders, to a URL.

    Args:
        remote: The study.
        folder: A local folder.
        places: Names of files and folders within it, copied in this order.

    Raises:
        RunError: The URL cannot be written.
    """
    for path in (folder / place for place in places):
        inside = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
        # Without its manifest a result counts as not there.
        for each in sorted(inside, key=lambda each: (each.name == MANIFEST, each)):
            if each.is_file():
                remote.put(each, each.relative_to(folder).as_posix())


@contextmanager
def scratch(url: str, name: str) -> Iterator[Path]:
    """A local folder of this user for one run, locked, and removed once the block has succeeded.

    It has the same path in every attempt, as some results name it.

    Raises:
        RunError: It cannot be made, belongs to somebody else, or another process works there.
    """
    folder = scratch_of(url, name)
    with disk_errors(folder, RunError):
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
            raise RunError(
                f"{folder} is not a folder of this user alone, so what is worked on there could be "
                "changed by others. Remove it, or set TMPDIR to another folder."
            )
        handle = take_lock(folder)
    try:
        yield folder
    except BaseException:
        release_lock(handle)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    release_lock(handle)


def scratch_of(url: str, name: str) -> Path:
    """Where a run of a study at a URL is worked on."""
    digest = hashlib.sha256(f"{url.rstrip('/')}\n{name}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"elicit-{os.getuid()}-{digest}"
