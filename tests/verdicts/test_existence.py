"""The ladder of existence on pairs whose truth is known, and what is refused before it."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from elicit import organisms
from elicit.directions import diff_mean
from elicit.elicitation import Goal, unsteered
from elicit.organisms import trace_behaviour
from elicit.pair import weights_digest
from elicit.results import load_result
from elicit.rollouts import Generation
from elicit.sites import resid_post
from elicit.stats import Inference
from elicit.tasks import (
    Problem,
    Task,
    TaskError,
    labelled_behaviour,
    load_task,
    matching,
    reasoning_behaviour,
)
from elicit.verdicts import LadderDesign, VerdictError, assess
from elicit.verdicts.causal import turn
from elicit.verdicts.figures import profile_figure, sweep_figure
from elicit.verdicts.probing import drawn_anew
from elicit.verdicts.rungs import ANEW, causal_in_post
from elicit.verdicts.tests import FREED, Options, Pushes
from tests.folded import folded
from tests.pairs import header_pairs

QUICK = {
    "strengths": (0.5, 1.25),
    "choose_share": 1 / 3,
    "n_resamples": 500,
    # Thirty problems to test on are enough to exclude that so many are lost.
    "margin": 0.15,
    "batch_size": 1024,
}
# Half as many random directions are enough at this level; what must not pass may pass more easily.
LAXER = {"level": 0.9, "n_random": 9, "n_redrawn": 0, "n_dosed": 0}
LATE = ("resid_post.3", "resid_post.4", "resid_post.5")


def problems(name, n, hardest=3):
    """Problems with traces of up to so many steps."""
    task = load_task(organisms.resolve(f"organism:{name}").problems)
    easy = tuple(problem for problem in task if problem.difficulty <= hardest)
    return Task(name=task.name, problems=easy).subset(n, seed=0)


def climbed(organism, name, n=45, hardest=3, **options):
    # The longest trace is of nine tokens a step.
    given = folded({**QUICK, "max_new_tokens": 20 * hardest, **options})
    names = {field.name for field in fields(LadderDesign)}
    design = LadderDesign(**{key: given.pop(key) for key in names & given.keys()})
    behaviour, task = trace_behaviour(), problems(name, n, hardest)
    return assess(organism(name), behaviour, task, design=design, **given)


def arms(found, rung):
    """Everything tried beside a rung, by its name."""
    return {
        name.removeprefix(f"{rung}: "): value
        for name, value in zip(found.arm, found.arm_value.value.tolist(), strict=True)
        if name.startswith(rung)
    }


@pytest.mark.slow
def test_a_skill_that_post_only_learned_to_use_is_sufficient_in_the_base(organism, tmp_path):
    before = weights_digest(organism("rl").base)
    found = climbed(organism, "rl", sites=LATE, n_random=19, n_redrawn=1)
    assert weights_digest(organism("rl").base) == before, "weights are put back"
    assert found.highest_rung == found.highest_passed == "E4", found.reason
    assert (found.verdict, found.alignment) == ("exists", "shared")
    assert found.status == ("trivial", *["passed"] * 4)
    assert found.value.value[4] > 0.9
    # What steers: every control stays at a tenth of the number or below.
    assert (found.control.value[2:] <= 0.1).all()
    assert found.place[3] == found.place[4]
    # No choice of a site enters here: it is read and acts at the last two, and before does not act.
    assert (found.p_site[0, 1:] < 0.05).all()
    assert (found.p_site[2:, 1:] < 0.05).all()
    assert (found.p_site[2:, 0] == 1).all()
    # A base that has learned nothing mixes words too; labels that mean nothing cannot be told.
    assert arms(found, "E0")[ANEW] > 0.9
    assert "re-initialised weights" in found.reason[0]
    curves = dict(zip(found.curve, found.auroc.value, strict=True))
    assert (curves["shuffled labels"] - 0.5).abs().max() < 0.15
    assert (curves["base"][1:] == 1).all() and (curves["post"][1:] == 1).all()
    read = load_result(found.save(tmp_path / "ladder"))
    assert torch.equal(read.value.value, found.value.value)
    assert read.summary() == found.summary()
    assert found.summary()["rungs"]["E4"]["p_all_sites"] == found.p_site[4].min()
    drawn = {trace.name for trace in found.figure().data}
    assert drawn == {"strongest control", *found.status} - {"not run"}
    assert len(profile_figure(found).data) == len(found.curve)
    tried = sweep_figure(found)
    assert len(tried.data) == len(tried.layout.shapes) == 2


@pytest.mark.slow
def test_a_control_that_needs_another_strength_than_the_direction_gets_it(organism, monkeypatch):
    pair, task = organism("rl"), problems("rl", 36)
    parts = task.split((0.5, 0.5), 0)
    behaviour, how = trace_behaviour(), {"generation": Generation(max_new_tokens=60)}
    goal = Goal(target=pair.side("post"), markers={behaviour.name: behaviour.shown})
    choose, test = (unsteered(pair.side("base"), part, goal=goal, **how) for part in parts)
    site = resid_post(4)
    found = diff_mean(pair.side("base"), header_pairs(parts[0]), sites=[site]).at(site)

    def disguised(direction, *, n_random, seed):
        """The direction itself, much weaker, and a push that is too weak at any strength."""
        weak = (direction.vector / 4, direction.vector / 1e6)
        return tuple(replace(direction, vector=vector) for vector in weak)

    monkeypatch.setattr("elicit.verdicts.causal.matched_controls", disguised)
    turned = turn(
        choose,
        test,
        [found],
        design=LadderDesign(strengths=(1.0, 4.0), n_random=1, n_dosed=8),
        inference=Inference(),
        **how,
    )
    assert turned.strength == 1.0
    assert turned.direction.score[:, 1].mean() > 0.9
    for own in (turned.freed, turned.freed_right):
        assert own is not None
        assert torch.equal(own.score[..., :1], turned.direction.score)  # a quarter, four times
        assert torch.equal(own.score[..., 1:], turned.shuffled.score)  # which does nothing
    assert turned.draws.score[:, 1].mean() < 0.5  # at the strength of the direction
    assert torch.equal(turned.shuffled.score, turned.plain.score)


def test_a_control_that_does_as_much_at_another_strength_is_told_and_changes_no_verdict():
    ones, none = np.ones(40), np.zeros((9, 40))
    options = Options(inference=Inference(level=0.9), least_effect=0.2)
    for freed, told in ((none, False), (none + 1, True)):
        draws = Pushes(same=none, freed=freed)
        found = causal_in_post(ones, {"post unsteered": none[0]}, draws, options, what="show it")
        assert ("needing less of a push" in found.reason) == told
        assert found.claims[0].p < 0.05 and found.control_name != FREED
        assert found.arms[FREED].value == float(told)
    draws = Pushes(same=none)
    without = causal_in_post(ones, {"post unsteered": none[0]}, draws, options, what="show it")
    assert FREED not in without.arms and "push" not in without.reason


@pytest.mark.slow
def test_a_decision_planted_in_one_layer_is_causal_and_sufficient_in_the_base(organism):
    found = climbed(organism, "when-l3", hardest=4, sites=LATE, **LAXER)
    status = dict(zip(found.rung, found.status, strict=True))
    assert found.verdict == "exists", found.reason
    assert found.highest_passed == "E4"
    assert [rung for rung in status if status[rung] == "passed"] == ["E0", "E1", "E3", "E4"]
    # Subtracted from post it takes the trace away only by breaking the text, which is no E2.
    assert found.value.value[2] <= found.control.value[2] + 0.05
    assert (found.control.value[3:] <= 0.1).all()
    assert found.place[1] == "resid_post.5", "below the changed layer the two cannot but agree"
    assert ANEW not in found.curve


@pytest.mark.slow
def test_a_skill_that_post_was_taught_is_neither_causal_nor_sufficient_in_the_base(organism):
    found = climbed(organism, "created", sites=LATE, **LAXER)
    status = dict(zip(found.rung, found.status, strict=True))
    assert found.verdict == "not shown", found.reason
    assert status["E3"] != "passed"
    assert status["E4"] != "passed"
    assert found.value.value[3] == 0
    assert found.highest_rung in (None, "E0", "E1", "E2")
    assert (found.p_site[3:] == 1).all(), "at no site, not only not at the one that was chosen"


@pytest.mark.slow
def test_on_a_model_and_itself_nothing_passes_that_cannot_fail_and_no_gap_is_shared(organism):
    found = climbed(organism, "identity", sites=LATE[1:], **LAXER)
    assert found.verdict == "no gap"
    assert [found.status[i] for i in (1, 2, 4)] == ["not run"] * 3
    assert "cannot fail" in found.reason[1]
    assert "includes 0" in found.reason[4]
    assert found.model == ("base",)
    assert found.highest_rung == "E0"
    assert found.highest_passed == "E3"
    assert found.value.value[[1, 2, 4]].isnan().all()
    assert found.p_site[[1, 2, 4]].isnan().all()
    assert len(sweep_figure(found).data) == 1


@pytest.mark.slow
def test_the_same_model_in_another_basis_has_another_code_until_it_is_rotated_back(organism):
    found = climbed(organism, "rotated", sites=LATE[1:2], **LAXER)
    assert found.status[1] == "not distinguishable"
    beside = arms(found, "E1")
    for way in ("base’s probe on post", "post’s probe on base"):
        assert abs(beside[f"separation by {way}, as it is"]) < 0.2
        assert beside[f"separation by {way}, rotated into place"] > 0.95
        assert beside[f"accuracy of {way}, rotated into place"] == 1
    # It is the same model all the same: the direction acts in base, and there is no gap to close.
    assert found.status[3] == "passed"
    assert "includes 0" in found.reason[4]


def test_weights_are_noise_of_their_own_spread_for_one_block(organism):
    model = organism("identity").base
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    drawn = []
    for seed in (0, 0, 1):
        with pytest.raises(KeyboardInterrupt), drawn_anew(model, seed=seed):
            drawn.append([parameter.clone() for parameter in model.parameters()])
            raise KeyboardInterrupt
    assert all(map(torch.equal, *drawn[:2]))
    assert not any(
        torch.equal(one, two) for one, two in zip(*drawn[1:], strict=True) if one.std() > 0
    )
    for old, new in zip(before.values(), drawn[0], strict=True):
        if old.ndim == 2:
            torch.testing.assert_close(new.std(), old.std(), rtol=0.05, atol=1e-6)
            assert (new * old).mean().abs() < 0.1 * old.square().mean()
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


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
        ({"n_dosed": -1}, "n_dosed is -1"),
        ({"n_redrawn": -1}, "n_redrawn is -1"),
        ({"n_resamples": 10}, "n_resamples is 10"),
    ],
)
def test_options_that_allow_no_verdict_are_refused_before_a_model_runs(organism, options, told):
    with pytest.raises((VerdictError, TaskError, ValueError), match=told):
        climbed(organism, "rl", **options)


def test_behaviours_that_make_no_contrast_are_refused(organism):
    with pytest.raises(TaskError, match="prompts would not differ"):
        reasoning_behaviour("Think. ", "Think. ")
    with pytest.raises(TaskError, match="regular expression"):
        matching("(")
    none = labelled_behaviour("odd", (), shown=bool)
    with pytest.raises(TaskError, match="none of the 30 problems"):
        assess(organism("rl"), none, problems("rl", 60, hardest=6))


def test_a_text_reasons_if_it_is_longer_than_an_answer():
    found = reasoning_behaviour("Think step by step. ", "Answer at once. ")
    assert not found.shown("The answer is 7.")
    assert found.shown("First we add 3 and 4, which makes 7, so that the answer must be 7.")
    assert matching(r"\bwait\b")("Hmm, Wait: no")
    task = Task(name="t", problems=(Problem(id="a", prompt="1 + 1 =", answer="2"),))
    asked = found.asked(task)
    assert asked["positive prompt"].problems[0].prompt == "Think step by step. 1 + 1 ="
    assert asked["plain prompt"].problems == task.problems
