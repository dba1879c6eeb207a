"""Thoughts of the organisms' problems, and ledgers written by hand."""

import torch

from elicit import organisms
from elicit.pair import ModelPair
from elicit.rollouts import Generation, rollouts
from elicit.tasks import Task, load_task
from elicit.texts import AnswerForm, StepRule
from elicit.traces import Case, Ledger, Readings, Thoughts, given_thoughts, ledger, own_thoughts

FORM = AnswerForm(lead_in="answer")
STEPS = StepRule.parse("marker:;")


def task_of(name: str, n: int, *, least: int = 1) -> Task:
    """Problems of an organism, spread over the lengths from `least` on."""
    task = load_task(organisms.resolve(name).problems)
    ordered = sorted(task, key=lambda problem: problem.difficulty or 0)
    chosen = [p for p in ordered if (p.difficulty or 0) >= least]
    return Task(name=task.name, problems=tuple(chosen[:: len(chosen) // n][:n]))


def own(pair: ModelPair, task: Task, source: str) -> tuple[Thoughts, Ledger]:
    """Thoughts that a model writes when it has to begin one, and their ledger."""
    side = pair.side(source)  # pyright: ignore[reportArgumentType]
    so = pair.alignment.plain("so")[-1:]
    written = rollouts(
        side, task, generation=Generation(max_new_tokens=72), prefixes={p.id: so for p in task}
    )
    thoughts = own_thoughts(task, written, FORM, source=source)
    return thoughts, ledger(pair, thoughts, form=FORM, steps=STEPS)


def own_readings(pair: ModelPair, task: Task) -> Readings:
    """Each model's reading of its own thoughts."""
    return Readings.of_own(own(pair, task, "base"), own(pair, task, "post"))


def given_readings(pair: ModelPair, task: Task) -> Readings:
    """Both models' reading of the task's traces."""
    thoughts = given_thoughts(task, FORM)
    return Readings.of_given(thoughts, ledger(pair, thoughts, form=FORM, steps=STEPS))


def replaced(told: Ledger, **values: torch.Tensor) -> Ledger:
    """A ledger with some of its numbers replaced."""
    from dataclasses import replace

    return replace(told, **values)


def case(thought, place, candidates, others, random) -> Case:
    """A thought that is to be altered."""
    return Case(thought=thought, place=place, candidates=candidates, others=others, random=random)
