"""The ladder of existence on pairs whose truth is known, and what is refused before it."""

import pytest
import torch

from elicit import organisms
from elicit.results import load_result
from elicit.tasks import Problem, Task, load_task
from elicit.verdicts import VerdictError, behaviours
from elicit.verdicts.existence import climb

STRENGTHS = (0.5, 0.75, 1.25)


def problems(name, n=60):
    return load_task(organisms.resolve(f"organism:{name}").problems).subset(n, seed=0)


def climbed(organism, name, n=60, **options):
    given = {"strengths": STRENGTHS, "choose_share": 1 / 3, "n_resamples": 500, **options}
    return climb(organism(name), behaviours.trace(), problems(name, n), **given)


@pytest.mark.slow
def test_a_skill_that_post_only_learned_to_use_is_sufficient_in_the_base(organism, tmp_path):
    found = climbed(organism, "rl")
    assert found.highest_rung == found.highest_passed == "E4", found.reason
    assert set(found.status) == {"passed"}
    assert found.value[4] > 0.9
    # What steers: every control stays at a tenth of the number or below.
    assert (found.control[2:] <= 0.1).all()
    assert found.place[3] == found.place[4]
    read = load_result(found.save(tmp_path / "ladder"))
    assert torch.equal(read.value, found.value)
    assert read.summary() == found.summary()
    assert len(found.figure().data) == 2


@pytest.mark.slow
def test_a_decision_planted_in_one_layer_is_causal_and_sufficient_in_the_base(organism):
    found = climbed(organism, "when-l3", n=120, choose_share=0.5)
    assert found.highest_rung == "E4", found.reason
    assert (found.control[3:] <= 0.1).all()
    assert found.place[1] == "resid_post.5", "below the changed layer the two cannot but agree"


@pytest.mark.slow
def test_a_skill_that_post_was_taught_is_neither_causal_nor_sufficient_in_the_base(organism):
    found = climbed(organism, "created")
    status = dict(zip(found.rung, found.status, strict=True))
    assert status["E3"] != "passed"
    assert status["E4"] != "passed"
    assert found.value[3] == 0
    assert found.highest_rung in (None, "E0", "E1", "E2")


@pytest.mark.slow
def test_on_a_model_and_itself_nothing_passes_that_cannot_fail_and_no_gap_is_shared(organism):
    found = climbed(organism, "identity")
    assert [found.status[i] for i in (1, 2, 4)] == ["not run"] * 3
    assert "cannot fail" in found.reason[1]
    assert "holds 0" in found.reason[4]
    assert found.model == ("base",)
    assert found.highest_rung == "E0"
    assert found.highest_passed == "E3"
    assert found.value[[1, 2, 4]].isnan().all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"level": 1.0}, "level is 1.0"),
        ({"n_random": 10}, "Pass 19 or more"),
        ({"strengths": (1.0, 1.0)}, "each once"),
        ({"strengths": (-1.0,)}, "above 0"),
        ({"strengths": ()}, "above 0"),
        ({"choose_share": 0.0}, "choose_share is 0.0"),
        ({"choose_share": 0.05}, "at least 16"),
        ({"margin": 0.0}, "margin is 0.0"),
        ({"least_effect": 1.5}, "least_effect is 1.5"),
        ({"least_share": 1.0}, "least_share is 1.0"),
        ({"n_controls": 0}, "n_controls is 0"),
        ({"n_resamples": 10}, "n_resamples is 10"),
    ],
)
def test_options_that_allow_no_verdict_are_refused_before_a_model_runs(organism, options, told):
    with pytest.raises(VerdictError, match=told):
        climbed(organism, "rl", **options)


def test_behaviours_that_make_no_contrast_are_refused(organism):
    with pytest.raises(VerdictError, match="prompts would not differ"):
        behaviours.reasoning("Think. ", "Think. ")
    with pytest.raises(VerdictError, match="no regular expression"):
        behaviours.matching("(")
    none = behaviours.labelled("odd", (), shown=bool)
    with pytest.raises(VerdictError, match="none of the 30 problems"):
        climb(organism("rl"), none, problems("rl"))


def test_a_text_reasons_if_it_is_longer_than_an_answer():
    found = behaviours.reasoning("Think step by step. ", "Answer at once. ")
    assert not found.shown("The answer is 7.")
    assert found.shown("First we add 3 and 4, which makes 7, so that the answer must be 7.")
    assert behaviours.matching(r"\bwait\b")("Hmm, Wait: no")
    task = Task(name="t", problems=(Problem(id="a", prompt="1 + 1 =", answer="2"),))
    asked = found.asked(task)
    assert asked["positive prompt"].problems[0].prompt == "Think step by step. 1 + 1 ="
    assert asked["plain prompt"].problems == task.problems
