"""One run of a study: executed, or found finished; what fails is told and does not stop others."""

import json
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from elicit.jobs import COMMANDS, PairSpec
from elicit.results import ElicitError, canonical_json, write_atomic
from elicit.runs import Progress
from elicit.sweep.study import Planned

RECORDS = "study"
"""Folder of a study with a record and, after a failure, a log of every run."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """How one run of a study ended."""

    name: str
    """The run."""
    digest: str
    """Digest of its options."""
    status: Literal["finished", "failed"]
    """Whether it has results."""
    why: str = ""
    """The error, where it failed."""


def options_of(run: Planned, fresh: bool) -> dict[str, object]:
    """The options of a run, as JSON has them."""
    return {**run.spec.model_dump(mode="json", exclude_unset=True), "fresh": fresh}


def execute_one(
    command: str, options: dict[str, object], name: str, progress: Progress | None = None
) -> Done:
    """Run one job, whose models and values stay in its own folder.

    Args:
        command: The command.
        options: Its options, as JSON has them.
        name: Name of the run.
        progress: Told how far it is.
    """
    entry = COMMANDS[command]
    spec = entry.spec.from_options(options)
    digest = Planned(name=name, spec=spec).digest
    log = spec.out.parent / RECORDS / f"{name}.log"
    try:
        entry.run(spec, progress=progress)
    except ElicitError as error:
        done = Done(name=name, digest=digest, status="failed", why=str(error))
        write_atomic(log, f"{error}\n".encode("utf-8", "replace"))
    except Exception as error:
        # Whatever it is, the other runs of the study go on.
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]} (see {log})"
        done = Done(name=name, digest=digest, status="failed", why=why)
        write_atomic(log, traceback.format_exc().encode("utf-8", "replace"))
    else:
        done = Done(name=name, digest=digest, status="finished")
        log.unlink(missing_ok=True)
    write_atomic(_record(spec, name), canonical_json(asdict(done)))
    return done


def finished(run: Planned) -> Done | None:
    """What an earlier attempt recorded, if the run has finished with the same options."""
    record = _record(run.spec, run.name)
    try:
        kept = Done(**json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    same = kept.name == run.name and kept.digest == run.digest and kept.status == "finished"
    return kept if same and (run.spec.out / "summary.json").is_file() else None


def _record(spec: PairSpec, name: str) -> Path:
    return spec.out.parent / RECORDS / f"{name}.json"
