"""Inputs of `elicit mechanisms`: problems in three parts, and the behaviour."""

from dataclasses import dataclass

from elicit import organisms
from elicit.jobs._cued import behaviour_of, task_of
from elicit.jobs._mechanisms.spec import MechanismsSpec
from elicit.jobs._spec import SpecError
from elicit.jobs._tasks import read_task
from elicit.tasks import LEAST, Behaviour, Task

N_FIT = 240
"""Fresh problems that are drawn to train on, for a pair whose language is known."""


@dataclass(frozen=True, kw_only=True)
class MechanismInputs:
    """Inputs known before a model is loaded."""

    fit: Task
    """Problems to train on."""
    choose: Task
    """Problems to choose settings on."""
    test: Task
    """Problems to report on."""
    behaviour: Behaviour
    """What is to be elicited."""
    facts: Task | None
    """Facts that base knows."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on how problems and facts were read."""
        return (*self.test.notes, *(self.facts.notes if self.facts is not None else ()))

    @property
    def identity(self) -> dict[str, object]:
        """Digests of everything that is read."""
        tasks = {"fit": self.fit, "choose": self.choose, "test": self.test}
        if self.facts is not None:
            tasks["facts"] = self.facts
        return {"tasks": {name: task.digest for name, task in tasks.items()}}


def load_inputs(spec: MechanismsSpec) -> MechanismInputs:
    """Problems in three parts, the behaviour and facts, validated before a model is loaded.

    Raises:
        ElicitError: A file is missing or invalid, or has too few problems.
    """
    task = task_of(spec)
    behaviour = behaviour_of(spec, task)
    if spec.embedded:
        fit = fresh_problems(task, spec.seed)
        choose, test = task.split((0.5, 0.5), spec.seed)
    else:
        rest = 1 - spec.fit_share - spec.choose_share
        fit, choose, test = task.split((spec.fit_share, spec.choose_share, rest), spec.seed)
    few = min((fit, choose, test), key=len)
    if len(few) < LEAST:
        raise SpecError(
            f"there are {len(task)} problems, which leaves {len(few)} in one of the three parts to "
            f"train, choose and test on, and each needs at least {LEAST}. Add problems; 200 or "
            "more are recommended."
        )
    return MechanismInputs(
        fit=fit, choose=choose, test=test, behaviour=behaviour, facts=_facts(spec)
    )


def fresh_problems(task: Task, seed: int) -> Task:
    """Problems of the organisms' language that are not in a task."""
    without = {problem.prompt for problem in task}
    return organisms.drawn_task(N_FIT, seed=seed, without=without, name="fit")


def _facts(spec: MechanismsSpec) -> Task | None:
    path = spec.facts
    if path is None and spec.pair is not None:
        path = organisms.resolve(spec.pair).facts
    if path is None:
        return None
    return read_task(spec, path, "facts")
