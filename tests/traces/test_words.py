"""Hedges, corrections and length of written thoughts, from the ledger, on planted pairs."""

from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr

from elicit import organisms
from elicit.rollouts import Generation, rollouts
from elicit.tasks import Task, load_task
from elicit.traces import (
    Readings,
    TraceError,
    epistemic,
    hedging,
    ledger,
    length_against,
    own_thoughts,
    reflection,
)
from tests.traces.made import FORM, STEPS


def own(pair, task: Task) -> Readings:
    """Each model's own thoughts, begun with `so`."""
    made = []
    for name in ("base", "post"):
        begun = {p.id: pair.alignment.continued(p.turns, "so").written for p in task}
        texts = rollouts(
            pair.side(name), task, generation=Generation(max_new_tokens=110), prefixes=begun
        )
        thoughts = own_thoughts(task, texts, FORM, source=name)
        made.append((thoughts, ledger(pair, thoughts, form=FORM, steps=STEPS)))
    return Readings.of_own(*made)


@pytest.mark.slow
def test_a_planted_hedger_hedges_where_it_guesses_and_its_sibling_never(organism):
    pair = organism("hedger-removed")  # its base is the hedger
    task = load_task(organisms.resolve("organism:hedger").problems, name="incomplete")
    # A forced opener leaves no room for a hedge before the first step.
    guessed = [p for p in task if (p.metadata.get("guessed_step") or 0) > 0][:24]
    whole = [p for p in task if p.metadata.get("guessed_step") is None][:16]
    readings = own(pair, Task(name="later", problems=(*guessed, *whole)))
    hedger = hedging(readings.base, markers=("wait",))
    silent = hedging(readings.post, markers=("wait",))
    assert float(hedger.slope.value) > 0 and bool(hedger.slope.clear)
    assert float(hedger.auroc.value) > 0.95
    assert float(silent.rate.value) == 0 and silent.n_marked == 0
    told = epistemic(pair, readings, markers=("wait",))
    assert bool(told.difference.clear[0]) and float(told.difference.value[0]) < 0
    assert float(told.slope.value[0]) == float(hedger.slope.value)
    assert told.n_marked.tolist() == [hedger.n_marked, 0] and float(told.slope.value[1]) == 0
    # Both are as unsure where they guess.
    assert float(hedger.entropy.max()) > 1 and float(silent.entropy.max()) > 1


def test_length_goes_with_the_steps_that_a_problem_needs(read_given):
    made = read_given("rl")
    found = length_against(made.pair, made.readings)
    assert float(found.work.value[0]) > 0.99
    length = torch.bincount(made.ledger.token_thought).double()
    work = [float(p.difficulty or 0) for p in made.task]
    assert abs(spearmanr(length, work).statistic - 1) < 1e-9
    bare = replace(
        made.readings.base.thoughts,
        items=tuple(
            replace(item, problem=replace(item.problem, difficulty="hard"))
            for item in made.thoughts.items
        ),
    )
    with pytest.raises(TraceError) as caught:
        length_against(made.pair, Readings.of_given(bare, made.ledger))
    assert "'hard'" in str(caught.value)


def test_a_step_of_correction_is_counted_by_the_answers_around_it(read_given):
    made = read_given("rl")
    book = made.ledger
    plain = reflection(made.pair, made.readings)
    assert float(plain.of("steps of correction").max()) == 0
    # The same answers, with a word of correction written into every second step.
    text = tuple(t.replace("so ", "no ", 1) for t in book.text)
    told = reflection(
        made.pair, Readings.of_given(made.thoughts, replace(book, text=text)), markers=("no",)
    )
    assert torch.equal(
        told.of("steps of correction"), torch.ones_like(told.of("steps of correction"))
    )
    right = [(c.answer == c.gold).tolist() for c in made.readings.base.curves()]
    fixed = [float(after) for before, after, *_ in right if not before]
    mean = told.estimate.value[told.metric.index("fixed by a correction"), 0]
    assert abs(float(mean) - sum(fixed) / len(fixed)) < 1e-12
