"""Clean and corrupted problems of the language differ where they should, and nowhere else."""

import pytest
import torch

from elicit import organisms
from elicit.organisms import (
    OrganismError,
    World,
    decision,
    header,
    replace_entity,
    replace_operand,
    replace_start,
)
from elicit.organisms.language import VALUES
from elicit.pair import hugging_face_model
from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.tasks import load_task

WORLD = World(name="a", seed=11)


@pytest.fixture(scope="module")
def pair(organism):
    return organism("when-l3")


def log_odds(pair, model, contrast: Contrast, which: str) -> torch.Tensor:
    """Logit of the answer minus that of the wrong one after each prompt."""
    batch = pair.alignment.pad(getattr(contrast, which))
    with torch.no_grad():
        logits = hugging_face_model(model)(
            input_ids=batch.ids,
            attention_mask=batch.mask,
            position_ids=batch.position_ids,
            use_cache=False,
        ).logits[:, -1]
    answer, wrong = (torch.tensor(rows)[:, 0] for rows in (contrast.answer, contrast.wrong))
    rows = torch.arange(len(answer))
    return logits[rows, answer] - logits[rows, wrong]


def differing(contrast: Contrast) -> list[list[int]]:
    assert contrast.corrupted is not None
    return [
        [p for p, (a, b) in enumerate(zip(one, two, strict=True)) if a != b]
        for one, two in zip(contrast.clean, contrast.corrupted, strict=True)
    ]


@pytest.mark.parametrize("replaced", [replace_start, replace_operand])
@pytest.mark.parametrize(("read", "n_steps", "n_places"), [
    ("copy", 2, 1), ("copy", 4, 1), ("result", 3, 2), ("answer", 1, 1),
])  # fmt: skip
def test_one_digit_differs_and_the_base_follows_it(pair, replaced, read, n_steps, n_places):
    drawn = replaced(n=12, n_steps=n_steps, read=read, seed=0)
    made = Contrast.from_pairs(pair.alignment, drawn)
    assert [len(places) for places in differing(made)] == [n_places] * 12
    digits = {*range(10)}
    for one, two in zip(made.answer, made.wrong or (), strict=True):
        assert int(pair.alignment.decode(one)) in digits
        assert one != two
    assert (log_odds(pair, pair.base, made, "clean") > 0).all()
    assert (log_odds(pair, pair.base, made, "corrupted") < 0).all()


def test_an_operand_of_a_later_step_is_replaced_after_the_steps_before_it(pair):
    made = Contrast.from_pairs(pair.alignment, replace_operand(n=8, n_steps=3, step=2, seed=1))
    text = " ".join(made.words[0])
    assert text.count("so") == 3
    assert all(len(places) == 1 for places in differing(made))
    assert (log_odds(pair, pair.base, made, "clean") > 0).all()
    assert (log_odds(pair, pair.base, made, "corrupted") < 0).all()


def test_two_entities_of_different_values_swap_their_answers(pair):
    made = Contrast.from_pairs(pair.alignment, replace_entity(WORLD, "colour", n=20, seed=0))
    assert [len(places) for places in differing(made)] == [1] * 20
    asked = [words[-4] for words in made.words]
    assert len(set(asked)) == 20
    for entity, answer, wrong in zip(asked, made.answer, made.wrong or (), strict=True):
        assert pair.alignment.decode(answer) == WORLD.facts[entity, "colour"]
        assert pair.alignment.decode(wrong) in VALUES["colour"]
    assert (log_odds(pair, pair.base, made, "clean") > 0).all()
    assert (log_odds(pair, pair.base, made, "corrupted") < 0).all()


def test_the_decision_to_reason_is_what_post_training_planted(pair):
    task = load_task(organisms.resolve("organism:when-l3").problems)
    longer = [p.prompt for p in task if p.difficulty and int(p.difficulty) > 1][:20]
    made = Contrast.from_pairs(pair.alignment, decision(longer))
    assert made.corrupted is None
    assert {pair.alignment.decode(row) for row in made.answer} == {"so"}
    assert (log_odds(pair, pair.base, made, "clean") < 0).all()
    assert (log_odds(pair, pair.post, made, "clean") > 0).all()
    assert Contrast.from_pairs(pair.alignment, decision(task)).id == tuple(
        problem.id for problem in task
    )


def test_a_header_turns_the_base_to_reason_and_back(pair):
    task = load_task(organisms.resolve("organism:when-l3").problems).subset(20, seed=0)
    made = Contrast.from_pairs(pair.alignment, header(task))
    assert differing(made) == [[1]] * 20
    assert (log_odds(pair, pair.base, made, "clean") > 0).all()
    assert (log_odds(pair, pair.base, made, "corrupted") < 0).all()


def test_the_same_seed_draws_the_same_problems_and_another_one_others():
    for draw in (replace_start, replace_operand):
        one, same, other = (draw(n=10, seed=seed) for seed in (5, 5, 6))
        assert one == same != other
        assert len(set(one.clean)) == 10
    facts = [replace_entity(WORLD, "pet", n=10, seed=seed) for seed in (5, 5, 6)]
    assert facts[0] == facts[1] != facts[2]


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (lambda: replace_start(n=0, seed=0), "n is 0"),
        (lambda: replace_start(n_steps=26, seed=0), "n_steps 26"),
        (lambda: replace_operand(n_steps=2, step=2, seed=0), "step is 2"),
        (lambda: replace_entity(WORLD, "size", seed=0), "'size' is no attribute"),
        (lambda: replace_entity(WORLD, "pet", n=201, seed=0), "200 entities"),
        (lambda: header(["Q ? A"], clean="quiz"), "'quiz' and 'quiz'"),
        (lambda: header(["Q ? A"], corrupted="loud"), "'loud'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, told):
    with pytest.raises(OrganismError, match=told):
        draw()


def test_a_contrast_without_prompts_is_refused(pair):
    with pytest.raises(PatchError, match="no problems"):
        Contrast.from_pairs(pair.alignment, decision([]))
