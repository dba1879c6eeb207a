"""Few-shot thoughts of every kind, backward questions, and process coverage: protocols by hand."""

from dataclasses import replace

import pytest
import torch

from elicit.stats import Inference
from elicit.tasks import Problem, Task, numbers
from elicit.texts import StepRule
from elicit.traces import (
    KINDS,
    EquationsHold,
    NumberMasked,
    Readings,
    TraceError,
    backward_conditions,
    exemplar_conditions,
    process,
)

FEW = Inference(n_resamples=100)
ASKED = Task(name="t", problems=(Problem(id="q", prompt="How many?", answer="5"),))
SOLVED = tuple(
    Problem(id=f"s{i}", prompt=f"Case {i}?", answer=str(i + 5), trace=f"{i} + 4 = {i + 4}. {i + 4} "
            f"+ 1 = {i + 5}.")
    for i in range(2)
)  # fmt: skip
SENTENCES = StepRule.parse("sentence")


def thoughts(kind: str, **more) -> list[str]:
    """What stands in place of the thoughts in one kind."""
    made = exemplar_conditions(ASKED, SOLVED, steps=SENTENCES, shot="{prompt}|{thought}|{answer}#",
                               **more)[kind]  # fmt: skip
    prompt = made.task.problems[0].prompt
    assert prompt.endswith("How many?") and made.task.problems[0].answer == "5"
    shots = [shot.split("|") for shot in prompt.split("#")[:-1]]
    assert [(p, a) for p, _, a in shots] == [(p.prompt, p.answer) for p in SOLVED][: len(shots)]
    return [thought for _, thought, _ in shots]


def test_kinds_differ_in_the_thoughts_alone_and_each_is_what_it_says():
    holds = EquationsHold()
    valid, invalid = thoughts("valid", checker=holds), thoughts("invalid", checker=holds)
    assert valid == [p.trace for p in SOLVED] and thoughts("none") == []
    for problem, wrong in zip(SOLVED, invalid, strict=True):
        assert holds(problem, wrong) is False
        assert len(list(numbers(wrong))) == len(list(numbers(str(problem.trace))))
    for kept, mixed in zip(valid, thoughts("shuffled"), strict=True):
        assert mixed != kept and sorted(mixed.split()) == sorted(kept.split())
    for kept, nonsense in zip(valid, thoughts("nonsense"), strict=True):
        assert len(nonsense.split()) == len(kept.split()) and nonsense != kept
    assert thoughts("invalid", seed=1) == thoughts("invalid", seed=1) != thoughts("invalid", seed=2)
    assert tuple(exemplar_conditions(ASKED, SOLVED, steps=SENTENCES)) == KINDS


def test_what_is_not_valid_or_cannot_be_changed_is_refused():
    wrong = replace(SOLVED[0], trace="1 + 1 = 3. 3 + 1 = 4.")
    with pytest.raises(TraceError, match="does not hold"):
        exemplar_conditions(ASKED, [wrong], steps=SENTENCES, checker=EquationsHold())
    with pytest.raises(TraceError, match="asked as well"):
        exemplar_conditions(ASKED, [replace(SOLVED[0], id="q")], steps=SENTENCES)
    with pytest.raises(TraceError, match="no change of numbers"):
        exemplar_conditions(ASKED, [replace(SOLVED[0], trace="Well.")], steps=SENTENCES)
    with pytest.raises(TraceError, match="can be shuffled|could cut"):
        exemplar_conditions(ASKED, [replace(SOLVED[0], trace="1 + 4 = 5")], steps=SENTENCES)
    with pytest.raises(TraceError, match="lacks"):
        exemplar_conditions(ASKED, SOLVED, steps=SENTENCES, shot="{prompt}{answer}")


def test_a_backward_question_takes_out_a_number_and_tells_the_answer():
    problems = (
        Problem(id="a", prompt="Tom has 3 boxes of 8 pens. How many?", answer="24"),
        Problem(id="b", prompt="Ann has 5 and 5 more of 10. How many?", answer="20"),
        Problem(id="c", prompt="What is 4 and 4?", answer="8"),
    )
    made = backward_conditions(Task(name="t", problems=problems))
    forward, back = made["forward"].task.problems, made["backward"].task.problems
    assert [p.id for p in forward] == [p.id for p in back] == ["a", "b"]
    assert back[0].answer in ("3", "8") and "X" in back[0].prompt
    assert back[0].prompt.endswith("The answer to this is 24. What is X?")
    # 5 stands there twice: taken out once, it would still be told.
    assert back[1].answer == "10"
    assert back[0] == NumberMasked()(problems[0])
    with pytest.raises(TraceError, match="named|name their numbers once"):
        backward_conditions(Task(name="t", problems=problems[1:]))


def test_coverage_counts_the_values_of_the_solution_and_takes_off_coincidence(read_given):
    made = read_given("rl")
    few = made.readings
    checker = EquationsHold(modulus=10)
    found = process(made.pair, few, checker=checker, inference=FEW)
    rows = {name: found.by_problem[i] for i, name in enumerate(found.metric)}
    # Both read the given solutions: they hold, and state all that they state.
    assert bool((rows["valid"] == 1).all())
    assert bool((rows["coverage"].nan_to_num(1) == 1).all())
    other = rows["coverage of another problem"]
    assert 0 < float(other.nanmean()) < 1
    assert torch.allclose(
        rows["coverage above coincidence"], rows["coverage"] - other, equal_nan=True
    )
    # Thoughts of the next problems: nothing but coincidence is left.
    texts = [*few.base.ledger.text[1:], few.base.ledger.text[0]]
    book = replace(few.base.ledger, text=tuple(texts))
    mixed = process(
        made.pair, Readings.of_given(few.base.thoughts, book), checker=checker, inference=FEW
    )
    row = mixed.metric.index("coverage above coincidence")
    assert abs(float(mixed.estimate.value[row, 0])) < 0.2
    assert float(found.estimate.value[row, 0]) > 0.3
