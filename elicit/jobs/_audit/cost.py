"""What an audit costs, and what a budget leaves out: first of the run that costs most."""

from collections.abc import Iterator

from elicit.jobs._audit.inputs import AuditInputs, Inputs
from elicit.jobs._audit.parts import Part, setting
from elicit.jobs._audit.spec import AuditSpec, CommandName
from elicit.jobs._budget import Costing, Cut
from elicit.jobs._forecast import Size, Speed, Stage
from elicit.pair import ModelPair
from elicit.results import ElicitError
from elicit.rollouts import Generation
from elicit.tasks import Task

_NOMINAL = Speed(reading=10.0, writing=1.0)
"""Reading is taken to be ten times as fast as writing when runs are compared, so that what is cut
first does not depend on the machine's moods."""
_DROPPED: tuple[CommandName, ...] = ("revise", "patch", "mechanisms", "trace", "exists")
"""Runs that are left out as a whole if nothing else helps, in this order."""


def costing_of(inputs: Inputs) -> Costing[AuditSpec, AuditInputs]:
    """Stages and cuts of an audit.

    Args:
        inputs: Knows the cost of every run.
    """

    def stages(_spec: AuditSpec, _pair: ModelPair, found: AuditInputs) -> list[Stage]:
        return list(found.stages.values())

    def cuts(spec: AuditSpec, pair: ModelPair, found: AuditInputs) -> list[Cut]:
        return list(_cuts(inputs, spec, pair, found))

    def asked(_spec: AuditSpec, found: AuditInputs) -> tuple[Task, Generation] | None:
        return found.texts

    return Costing(stages=stages, cuts=cuts, asked=asked)


def _cuts(inputs: Inputs, spec: AuditSpec, pair: ModelPair, found: AuditInputs) -> Iterator[Cut]:
    """One thing less after the other, each of the run that then costs most."""
    size = Size.of(pair)
    parts = dict(found.parts)
    stages = dict(found.stages)
    left = {name: inputs.cuts(part, pair) for name, part in parts.items()}
    told: dict[tuple[str, frozenset[str]], str] = {}
    chosen: dict[tuple[str, str], object] = {}
    while any(left.values()):
        name = max(
            (name for name in parts if left[name]),
            key=lambda each: _NOMINAL.seconds(stages[each], size),
        )
        cut, *left[name] = left[name]
        part = _with(inputs, parts[name], cut, pair)
        if part is None:
            continue
        parts[name], stages[name] = part, inputs.cost(part, pair)
        chosen |= {(name, option): value for option, value in cut.options.items()}
        told[name, frozenset(cut.options)] = f"{name}: {cut.what}"
        settings = tuple(setting(*key, value) for key, value in chosen.items())
        yield Cut(
            options={"settings": (*_kept(spec, chosen), *settings)}, what="; ".join(told.values())
        )
    dropped: list[str] = []
    for name in _DROPPED:
        kept = tuple(c for c in spec.commands if c not in (*dropped, name))
        if name in parts and kept:
            dropped.append(name)
            yield Cut(options={"commands": kept}, what=f"{', '.join(dropped)} not run at all")


def _with(inputs: Inputs, part: Part, cut: Cut, pair: ModelPair) -> Part | None:
    """The run with one thing less; None where it cannot be asked so."""
    try:
        made = part.with_options(cut.options)
        inputs.cost(made, pair)
    except ElicitError:
        return None
    return made


def _kept(spec: AuditSpec, chosen: dict[tuple[str, str], object]) -> tuple[str, ...]:
    """The user's own settings but for those that a cut replaces."""
    return tuple(
        piece
        for piece in spec.settings
        if tuple(piece.partition("=")[0].split(".", 1)) not in chosen
    )
