"""Training where the truth is known: a latent skill comes out, an absent one does not."""

from dataclasses import replace

import pytest
import torch

from elicit.elicitation import (
    FormatReward,
    GrpoPlan,
    RandomReward,
    TrainingError,
    collateral,
    fine_tune,
    grpo,
    trace_documents,
    training_means,
)
from elicit.elicitation.training.plans import FineTunePlan
from elicit.organisms import resolve, shows_trace
from elicit.pair import weights_digest
from elicit.rollouts import answer_task
from elicit.tasks import load_task
from tests.elicitation.chains import ANSWERS, chains

PLAN = GrpoPlan(groups=12, steps=16, generation=ANSWERS)
FIT, CHOOSE, TEST = (60, 11), (24, 12), (40, 13)


def share_right(side, trained=None):
    """Of the test problems, greedily, before or after training."""
    if trained is None:
        return float(answer_task(side, chains(*TEST), generation=ANSWERS).correct.double().mean())
    with trained.applied(side):
        return share_right(side)


@pytest.fixture(scope="module")
def latent(organism):
    return organism("rl").side("base")


@pytest.fixture(scope="module")
def absent(organism):
    return organism("created").side("base")


@pytest.mark.slow
@pytest.mark.parametrize("trainable", ["all", "bias"])
def test_rewards_for_answers_bring_out_a_latent_skill(latent, trainable):
    digest = weights_digest(latent.bridge)
    found = grpo(latent, chains(*FIT), choose=chains(*CHOOSE), trainable=trainable, plan=PLAN)
    assert share_right(latent) < 0.5 and share_right(latent, found) >= 0.95
    assert weights_digest(latent.bridge) == digest
    # A thousand bits or two told, and most of them about texts that were right already.
    assert 0 < found.bits < 2500 and found.sees == "answers"
    assert found.stopped in ("right", "reward") and bool(found.chosen_right.double().mean() > 0.9)
    assert found.of("length")[-1] > found.of("length")[0]
    if trainable == "bias":
        assert found.trained_digest == digest and found.n_trained == 576
        facts = load_task(resolve("organism:rl").facts).subset(60, seed=0)
        damage = collateral(
            latent, found, facts=facts, problems=chains(12, 14), opener="so", generation=ANSWERS
        )
        assert bool((damage.facts.value > 0.9).all() and (damage.forced.value > 0.9).all())


@pytest.mark.slow
def test_the_same_rewards_do_nothing_where_the_skill_is_absent(absent):
    found = grpo(
        absent, chains(*FIT), choose=chains(*CHOOSE), plan=replace(PLAN, steps=8, stop_right=2.0)
    )
    assert abs(share_right(absent, found) - share_right(absent)) <= 0.2
    assert found.stopped == "steps" and float(found.of("reward")[-4:].mean()) < 0.45
    with found.applied(absent):
        texts = answer_task(absent, chains(*TEST), generation=ANSWERS).completion
    assert not any(shows_trace(text) for text in texts)


@pytest.mark.slow
def test_random_rewards_leave_greedy_answers_where_they_were(latent):
    plan = replace(PLAN, steps=4, stop_right=2.0)
    found = grpo(latent, chains(*FIT), reward=RandomReward(), plan=plan)
    assert found.moved and found.bits == 0 and found.sees == "nothing"
    assert abs(share_right(latent, found) - share_right(latent)) <= 0.2


@pytest.mark.slow
def test_solutions_bring_out_a_latent_skill_within_a_few_bits(latent):
    plan = FineTunePlan(steps=8, every=4, generation=ANSWERS)
    found = fine_tune(latent, trace_documents(chains(160, 15)), choose=chains(*CHOOSE), plan=plan)
    assert share_right(latent, found) >= 0.95 and found.bits < 1500


def test_the_form_is_rewarded_where_no_text_has_it_and_nothing_is_learned(absent):
    plan = replace(PLAN, steps=6, groups=4, group=2, constant="keep")
    found = grpo(absent, chains(8, 11), reward=FormatReward(), plan=plan)
    assert found.stopped == "constant" and not found.moved and found.bits == 0


def test_mechanisms_that_train_are_known_by_name():
    assert training_means("bias").sees == "answers" and training_means("random-reward").control
    with pytest.raises(TrainingError, match="critic"):
        training_means("critique")


@pytest.mark.slow
def test_trl_trains_to_the_same_end(latent):
    pytest.importorskip("trl", reason="the extra `train` is not installed")
    plan = replace(PLAN, backend="trl", every=5, steps=15)
    found = grpo(latent, chains(*FIT), choose=chains(*CHOOSE), plan=plan)
    assert share_right(latent, found) >= 0.9 and found.backend == "trl"
    assert torch.equal(found.of("with gradient") > 0, torch.ones(len(found.of("reward"))) > 0)


@pytest.mark.slow
@pytest.mark.parametrize("trainable", ["all", "lora"])
def test_trl_makes_the_same_updates_of_the_same_documents(latent, trainable):
    pytest.importorskip("trl", reason="the extra `train` is not installed")
    plan = FineTunePlan(steps=5, every=5, warm_up=3, generation=ANSWERS)
    documents = trace_documents(chains(40, 15))
    ours, theirs = (
        fine_tune(latent, documents, trainable=trainable, plan=replace(plan, backend=backend))
        for backend in ("own", "trl")
    )
    for measure in ("loss", "bits", "gradient norm", "tokens"):
        # Adam divides by gradients near 0, whose rounding is the kernels' own.
        assert torch.allclose(ours.of(measure), theirs.of(measure), rtol=1e-4, atol=1e-6), measure
    assert ours.parameters.keys() == theirs.parameters.keys() and ours.bits > 100
    assert abs(ours.bits - theirs.bits) < 1e-3


def test_trl_is_asked_for_where_it_is_not_installed(latent):
    try:
        import trl  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        with pytest.raises(TrainingError, match="elicit-interp\\[train\\]"):
            grpo(latent, chains(4, 11), plan=replace(PLAN, backend="trl"))
    else:
        with pytest.raises(TrainingError, match="'bias'"):
            grpo(latent, chains(4, 11), trainable="bias", plan=replace(PLAN, backend="trl"))
