"""Inputs of an audit: what each of its runs would read, checked before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from elicit.jobs._asked import Asked
from elicit.jobs._audit.numbers import names_of
from elicit.jobs._audit.parts import ASKS, Part, parts_of
from elicit.jobs._audit.protocol import Protocol, read_protocol
from elicit.jobs._audit.spec import AuditSpec
from elicit.jobs._budget import Cut
from elicit.jobs._forecast import Stage
from elicit.jobs._frame import Prepared
from elicit.jobs._spec import SpecError
from elicit.jobs._tasks import read_task
from elicit.jobs.registry import COMMANDS as ENTRIES
from elicit.pair import ModelPair
from elicit.results import ElicitError
from elicit.rollouts import Generation
from elicit.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Everything that is known before a model is loaded."""

    protocol: Protocol | None
    """What was decided beforehand."""
    parts: Mapping[str, Part]
    """Runs that can be asked, as far as is known."""
    read: Mapping[str, Any]
    """What each of them has read."""
    not_asked: Mapping[str, str]
    """Why each of the others cannot."""


@dataclass(frozen=True, kw_only=True)
class AuditInputs:
    """The runs of an audit, checked against the models."""

    protocol: Protocol | None
    """What was decided beforehand."""
    parts: Mapping[str, Part]
    """Runs that are asked."""
    stages: Mapping[str, Stage]
    """What each costs."""
    not_asked: Mapping[str, str]
    """Why each of the others is not."""
    asked: Sequence[Asked] = ()
    """The tasks in words, as the first run has them."""
    texts: tuple[Task, Generation] | None = None
    """Problems of the run that writes most, and how it writes: how long its texts are, as a share
    of the longest allowed, is measured for the forecast, and taken for the other runs as well."""


@dataclass(eq=False)
class Inputs:
    """Reads and checks the runs of one audit; what was checked under the same options is kept."""

    _read: dict[str, Any] = field(default_factory=dict)
    _prepared: dict[str, "_Ready"] = field(default_factory=dict)

    def check(self, spec: AuditSpec) -> Checked:
        """Options of every run, and the files that they read.

        Raises:
            ElicitError: The protocol, a task file or a setting is invalid, or nothing can be asked.
        """
        protocol = None if spec.protocol is None else read_protocol(spec.protocol)
        for path, name in ((spec.problems, "problems"), (spec.facts, "facts")):
            if path is not None:
                read_task(spec, path, name)
        parts, read, lacking = {}, {}, {}
        for name, part in parts_of(spec, protocol).items():
            if isinstance(part, str):
                lacking[name] = part
                continue
            try:
                read[name] = self._checked(part)
                parts[name] = part
            except ElicitError as error:
                lacking[name] = str(error)
        _refuse_empty(parts, lacking)
        return Checked(protocol=protocol, parts=parts, read=read, not_asked=lacking)

    def prepare(self, spec: AuditSpec, pair: ModelPair, checked: Checked) -> Prepared[AuditInputs]:
        """Every run held against the models, with what it costs.

        Raises:
            ElicitError: Nothing can be asked of these models, or the protocol names a primary that
                no run measures.
        """
        parts, stages, identity = {}, {}, {}
        lacking = dict(checked.not_asked)
        for name, part in checked.parts.items():
            try:
                stages[name], identity[name] = self._costs(part, pair, checked.read[name])
                parts[name] = part
            except ElicitError as error:
                lacking[name] = str(error)
        _refuse_empty(parts, lacking)
        protocol = checked.protocol
        if protocol is not None:
            protocol.check(names_of(parts, pair.n_layers))
        ready = [self._prepared[_key(part)] for part in parts.values()]
        first = ready[0]
        writes = [one for one in ready if one.texts is not None]
        inputs = AuditInputs(
            protocol=protocol,
            parts=parts,
            stages=stages,
            not_asked=lacking,
            asked=first.asked,
            texts=max(writes, key=lambda one: one.stage.written).texts if writes else None,
        )
        digest = None if protocol is None else protocol.digest
        return Prepared(
            inputs,
            {"protocol": digest, "runs": identity},
            notes=first.notes,
            asked=lambda inputs: inputs.asked,
        )

    def cost(self, part: Part, pair: ModelPair) -> Stage:
        """What one run costs as a whole.

        Args:
            part: The run.
            pair: The two models.

        Raises:
            ElicitError: It cannot be asked.
        """
        return self._costs(part, pair, self._checked(part))[0]

    def _checked(self, part: Part) -> Any:
        key = _key(part)
        if key not in self._read:
            self._read[key] = ENTRIES[part.command].job.check(part.spec)
        return self._read[key]

    def _costs(self, part: Part, pair: ModelPair, read: Any) -> tuple[Stage, Mapping[str, object]]:
        key = _key(part)
        if key not in self._prepared:
            job = ENTRIES[part.command].job
            prepared = job.prepare(part.spec, pair, read)
            inputs = prepared.inputs
            self._prepared[key] = _Ready(
                stage=_sum(part.name, job.costing.stages(part.spec, pair, inputs)),
                identity=prepared.identity,
                cuts=list(job.costing.cuts(part.spec, pair, inputs)),
                notes=prepared.notes,
                asked=tuple(prepared.asked(inputs)),
                texts=job.costing.asked(part.spec, inputs),
            )
        ready = self._prepared[key]
        return ready.stage, ready.identity

    def cuts(self, part: Part, pair: ModelPair) -> list[Cut]:
        """What one run can do without, in order.

        Args:
            part: The run.
            pair: The two models.
        """
        self.cost(part, pair)
        return self._prepared[_key(part)].cuts


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """One run held against the models."""

    stage: Stage
    identity: Mapping[str, object]
    cuts: list[Cut]
    notes: Sequence[str]
    asked: Sequence[Asked]
    texts: tuple[Task, Generation] | None


def _key(part: Part) -> str:
    """Everything that a run's inputs depend on."""
    return part.command + part.spec.yaml()


def _sum(name: str, stages: Sequence[Stage]) -> Stage:
    """All stages of a run as one, whose tokens attend to as many positions as theirs on average."""
    tokens = sum(stage.tokens + stage.written + stage.reread for stage in stages)
    attended = sum(
        stage.context * (stage.tokens + stage.written + stage.reread) for stage in stages
    )
    return Stage(
        name=name,
        tokens=sum(stage.tokens for stage in stages),
        unembedded=sum(stage.unembedded for stage in stages),
        written=sum(stage.written for stage in stages),
        reread=sum(stage.reread for stage in stages),
        flop=sum(stage.flop for stage in stages),
        nbytes=max((stage.nbytes for stage in stages), default=0),
        context=attended / tokens if tokens else 0,
        cached=max((stage.cached for stage in stages), default=0),
    )


def _refuse_empty(parts: Mapping[str, Part], lacking: Mapping[str, str]) -> None:
    if not parts:
        why = "; ".join(f"{ASKS[name]} ({name}): {reason}" for name, reason in lacking.items())
        raise SpecError(f"no question of the audit can be asked, so nothing was run. {why}")
