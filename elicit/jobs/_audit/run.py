"""The job behind `elicit audit`: all questions about a pair, and one page that answers three."""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

from elicit.grafting import LayerRoles
from elicit.jobs._audit.cost import costing_of
from elicit.jobs._audit.inputs import AuditInputs, Checked, Inputs
from elicit.jobs._audit.next_step import next_command
from elicit.jobs._audit.numbers import numbers_of
from elicit.jobs._audit.parts import ASKS, Part, refined
from elicit.jobs._audit.protocol import FILE
from elicit.jobs._audit.spec import AuditSpec
from elicit.jobs._frame import Job, Outcome, Run, Work, execute
from elicit.jobs._shared import Shared
from elicit.jobs.registry import COMMANDS
from elicit.patching import PatchGrid
from elicit.results import ElicitError, Result
from elicit.revision import Settling
from elicit.runs import Progress
from elicit.traces import Dependence
from elicit.verdicts import Findings, Ladder, Origin, RunTold, Scorecard, conclude

_NEEDS_A_GAIN = ("exists", "mechanisms")
"""Runs that ask where a gain comes from."""
_OF = {
    "existence": ("exists", "mechanisms"),
    "layers": ("report",),
    "trace": ("trace",),
}
"""Runs that tell of each question."""


def audit(spec: AuditSpec, *, progress: Progress | None = None) -> Run:
    """Ask all questions about a pair, and write one page that answers the three that matter.

    Every question is the run of its own command in a folder of `spec.out`, with the numbers that
    the command alone gives. A question that cannot be asked, or fails, is named on the page and
    does not stop the others. A killed audit resumes and ends with the same bytes.

    Raises:
        ElicitError: An input is missing or damaged, the protocol is another one than that of the
            audit in the folder, or no question can be asked.
    """
    return execute(job_of(), spec, progress)


def job_of() -> Job[AuditSpec, Checked, AuditInputs]:
    """The steps of one audit, which remembers what it has checked."""
    inputs = Inputs()
    return Job(
        check=inputs.check,
        prepare=inputs.prepare,
        measure=_measure,
        costing=costing_of(inputs),
    )


@dataclass(eq=False)
class _Told:
    """What the runs have told so far."""

    runs: dict[str, Run] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    not_asked: dict[str, str] = field(default_factory=dict)

    def result(self, run: str, name: str, kind: type[Result]) -> Result | None:
        """A result of a run; None where there is none."""
        found = self.runs[run].results.get(name) if run in self.runs else None
        return found if isinstance(found, kind) else None

    @property
    def roles(self) -> LayerRoles | None:
        """Of every layer, as `report` tells."""
        found = self.result("report", "roles", LayerRoles)
        return found if isinstance(found, LayerRoles) else None


def _measure(work: Work[AuditSpec, AuditInputs]) -> Outcome:
    inputs = work.inputs
    if inputs.protocol is not None:
        work.run.write_text(FILE, inputs.protocol.frozen())
    told = _Told(not_asked=dict(inputs.not_asked))
    shared = Shared(pair=work.pair)
    for name, part in inputs.parts.items():
        with work.stage(name):
            lacking = _no_gain(told) if name in _NEEDS_A_GAIN else ""
            if lacking:
                told.not_asked[name] = lacking
            else:
                for each in _each(work, part, told):
                    _run(work, each, told, shared)
        work.publish(_outcome(work, told))
    return _outcome(work, told)


def _each(work: Work[AuditSpec, AuditInputs], part: Part, told: _Told) -> list[Part]:
    """A run as it is asked after what the earlier ones found."""
    return refined(work.spec, part, work.pair, told.roles) if part.name == "patch" else [part]


def _no_gain(told: _Told) -> str:
    """Why there is no gain whose origin could be asked; empty where there may be one."""
    roles = told.roles
    if roles is None or "problems" not in roles.task:
        return ""
    role = roles.role[roles.task.index("problems")]
    if role == "skill":
        return ""
    what = "is worse than base" if role == "damage" else "has no clear gain"
    return f"post {what} on the problems (see report), so there is no gain to ask about"


def _run(work: Work[AuditSpec, AuditInputs], part: Part, told: _Told, shared: Shared) -> None:
    """Run one part; what fails is told and does not stop the others."""
    told.parts[part.name] = part
    log = f"{part.name}.log"
    try:
        told.runs[part.name] = execute(COMMANDS[part.command].job, part.spec, work.progress, shared)
    except ElicitError as error:
        told.failed[part.name] = str(error)
    except Exception as error:
        # Whatever it is, the other questions go on.
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        told.failed[part.name] = f"{why} (see {log})"
        work.run.write_text(log, traceback.format_exc())


def _outcome(work: Work[AuditSpec, AuditInputs], told: _Told) -> Outcome:
    """The audit so far, as a result."""
    protocol = work.inputs.protocol
    numbers = [
        number
        for name, run in told.runs.items()
        for number in numbers_of(told.parts[name], run.summary)
    ]
    found = conclude(
        work.pair,
        _findings(told),
        runs=_runs(work, told),
        numbers=numbers,
        protocol=("", ()) if protocol is None else (protocol.digest, protocol.tested(numbers)),
        left_out=tuple(piece for text in work.left_out for piece in text.split("; ")),
        inference=work.spec.inference,
    )
    return Outcome(
        results={"audit": found}, summary=found.summary(), next=next_command(work.spec, found)
    )


def _findings(told: _Told) -> Findings:
    ladder, origin = (
        told.result("exists", "ladder", Ladder),
        told.result("mechanisms", "origin", Origin),
    )
    card, dependence = (
        told.result("trace", "scorecard", Scorecard),
        told.result("trace", "dependence", Dependence),
    )
    grid = told.result("patch", "post_to_base", PatchGrid)
    settled = told.result("revise", "settling", Settling)
    return Findings(
        roles=told.roles,
        grid=grid if isinstance(grid, PatchGrid) else None,
        settled=settled if isinstance(settled, Settling) else None,
        ladder=ladder if isinstance(ladder, Ladder) else None,
        origin=origin if isinstance(origin, Origin) else None,
        card=card if isinstance(card, Scorecard) else None,
        dependence=dependence if isinstance(dependence, Dependence) else None,
        why=_why(told),
    )


def _why(told: _Told) -> Mapping[str, str]:
    """Why a question could not be asked."""
    lacking = {**told.not_asked, **told.failed}
    why = {}
    for question, runs in _OF.items():
        reasons = [f"{name}: {lacking[name]}" for name in runs if name in lacking]
        if reasons:
            why[question] = f"Not answered. {'; '.join(reasons)}"
    return why


def _runs(work: Work[AuditSpec, AuditInputs], told: _Told) -> list[RunTold]:
    """How each run ended, in order; those still to come are left out."""
    ended: list[RunTold] = []
    for name, asks in ASKS.items():
        if name in told.runs:
            finding = str(told.runs[name].summary.get("sentence") or "")
            ended.append(RunTold(name=name, asks=asks, status="finished", note=finding))
        elif name in told.failed:
            ended.append(RunTold(name=name, asks=asks, status="failed", note=told.failed[name]))
        elif name in told.not_asked:
            ended.append(
                RunTold(name=name, asks=asks, status="not asked", note=told.not_asked[name])
            )
    if work.left_out:
        known = {one.name for one in ended}
        dropped = [name for name in ASKS if name not in known and _is_dropped(work, name)]
        ended += [
            RunTold(name=name, asks=ASKS[name], status="left out", note="beyond the budget")
            for name in dropped
        ]
    return ended


def _is_dropped(work: Work[AuditSpec, AuditInputs], name: str) -> bool:
    return any(text.endswith("not run at all") and name in text for text in work.left_out)


JOB = job_of()
"""The steps of an audit, for runs that share a loaded pair."""
