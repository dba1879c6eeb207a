"""What the base holds is brought out by its own feature, and what it never saw by nothing."""

import math
from dataclasses import replace
from types import MappingProxyType

import pytest

from elicit import features, organisms
from elicit.directions import PromptPairs, diff_mean
from elicit.edits import last
from elicit.elicitation import (
    Bench,
    FeatureControls,
    FeatureSteering,
    Goal,
    choose_arms,
    direction_arms,
    feature_arms,
    steer,
    try_mechanism,
)
from elicit.features import TrainConfig
from elicit.organisms import headed
from elicit.rollouts import Generation
from elicit.sites import resid_post
from elicit.tasks import Split, load_task

SITE = resid_post(4)
ASK = {
    "strengths": [0.5, 1.0],
    "generation": Generation(max_new_tokens=90, batch_size=1024),
}


class Studied:
    """A pair, an SAE of its base, and the feature that differs most between the two headers."""

    def __init__(self, pair, name, folder):
        task = load_task(organisms.resolve(f"organism:{name}").problems).subset(36, seed=0)
        self.pair, (self.choosing, self.test) = pair, task.split([0.5, 0.5], seed=0)
        self.notes, self.quiz = (headed(task, header) for header in ("notes", "quiz"))
        ids = {p.id for p in self.choosing}
        cot, direct = (
            [pair.alignment.plain(p.prompt) for p in side if p.id in ids]
            for side in (self.notes, self.quiz)
        )
        rows = [
            pair.alignment.plain(f"{head} {p.prompt} {body} answer {p.answer} .")
            for p in self.choosing
            for head, body in (("notes", p.trace), ("quiz", ""))
        ]
        config = TrainConfig(d_sae=128, k=8, n_steps=120, batch=256, lr=3e-3, buffer=4000)
        self.sae = features.train(
            pair, rows, folder / name, site=SITE, model="base", config=config, seed=0
        )
        self.measured = features.fidelity(pair, self.sae, rows, model="base")
        self.scores = features.cot_minus_direct(
            pair, self.sae, features.PromptContrast(cot=cot, direct=direct), model="base"
        )
        self.feature = self.scores.top(1, by="difference")[0]

    def means(self, *sites):
        pairs = PromptPairs(
            positive=headed(self.choosing, "notes"), negative=headed(self.choosing, "quiz")
        )
        return diff_mean(self.pair.side("base"), pairs, sites=sites)

    def goal(self, **options):
        markers = {"trace": lambda text: "so" in text.split()}
        return Goal(target=self.pair.side("post"), markers=markers, **options)

    def steered(self, arms, *, goal=MappingProxyType({}), **options):
        return steer(
            self.pair.side("base"), Split(choose=self.choosing, test=self.test), arms,
            **{**ASK, "goal": self.goal(**goal), **options},
        )  # fmt: skip

    def by_feature(self, **options):
        arms = feature_arms(
            self.sae, self.feature, where=last(), measured=self.measured, how="clamp",
            controls=FeatureControls(n_live=2, factor=3.0, n_random=2),
            baselines=[self.means(SITE).at(SITE)],
        )  # fmt: skip
        return self.steered(arms, **options)


@pytest.fixture(scope="module")
def studied(organism, tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("saes"), {}

    def study(name):
        if name not in made:
            made[name] = Studied(organism(name), name, folder)
        return made[name]

    return study


@pytest.mark.slow
def test_a_feature_of_the_base_closes_the_gap_on_other_problems_and_no_control_does(studied):
    one = studied("rl")
    assert one.scores.auroc[one.feature] == 1
    found = one.by_feature(goal={"wordings": {"notes": one.notes, "quiz": one.quiz}})
    test = found.test
    assert (found.choice.metric, found.choice.moved, found.choice.coherent) == (
        "accuracy", True, True
    )  # fmt: skip
    assert test.strength.tolist() == [found.choice.strength]
    assert (test.n_choose, test.n_problems) == (18, 18)
    assert (test.share.value[:, 0, 0] >= 0.9).all() and (test.share.low[:, 0, 0] > 0.7).all()
    controls = [i for i, kind in enumerate(test.kind) if kind == "control"]
    assert len(controls) == 5
    assert (test.share.value[:, controls, 0].abs() <= 0.1).all(), test.share.value[0, :, 0]
    # The plainer way does as much, and so does a prompt; a prompt for answers does not.
    assert test.kind[-1] == "baseline" and test.share.value[0, -1, 0] >= 0.9
    share = dict(zip(test.reference, test.reference_share.value[0].tolist(), strict=True))
    assert share["unsteered"] == 0 and share["target"] == 1
    assert share["notes"] >= 0.9 and abs(share["quiz"]) <= 0.15


@pytest.mark.slow
def test_the_difference_of_means_once_closes_the_gap_too_and_its_site_is_found(studied):
    one = studied("rl")
    sites = (resid_post(1), SITE)
    found = one.means(*sites)
    arms = [direction_arms(found.at(site), where=last()) for site in sites]
    options = {**ASK, "strengths": [1.0], "goal": one.goal()}
    place = choose_arms(one.pair.side("base"), one.choosing, arms, **options)
    assert place == 1
    test = one.steered(arms[place], strengths=[1.0]).test
    assert test.share.value[0, 0, 0] >= 0.9
    assert (test.share.value[0, 1:, 0].abs() <= 0.1).all()


@pytest.mark.slow
def test_nothing_brings_out_what_the_base_never_saw(studied):
    one = studied("created")
    found = one.by_feature()
    assert found.test.gap.clear[0] and not found.choice.moved
    # Nothing acts, so the strongest coherent push is what was tested.
    coherent = found.curve.coherent.value[0] >= found.curve.unsteered_coherent - 0.05
    assert found.choice.strength == found.curve.strength[coherent].max()
    assert (found.test.share.value[0, [0, -1], 0].abs() <= 0.1).all()
    # Hard pushes make some wrong answers right by chance; none does so clearly.
    assert (found.test.share.low[0] <= 0).all()
    assert not found.test.rate.value[1].any()


@pytest.mark.slow
def test_a_feature_is_a_mechanism_that_sees_nothing_if_its_sae_was_trained_on_base(studied):
    one = studied("rl")
    fit, choose = one.choosing.split([0.5, 0.5], seed=1)
    bench = Bench(
        pair=one.pair,
        fit=fit,
        choose=choose,
        test=one.test,
        behaviour=organisms.trace_behaviour(),
        generation=Generation(max_new_tokens=90, batch_size=1024),
        n_samples=0,
    )
    steering = FeatureSteering(
        sae=one.sae,
        feature=one.feature,
        how="clamp",
        strengths=(0.5, 1.0),
        controls=FeatureControls(n_live=1, factor=5.0, n_random=1),
    )
    base, post = (bench.tried(bench.writes(s), bench.test, sampled=False)
                  for s in (bench.base, bench.post))  # fmt: skip
    found = try_mechanism(steering, bench, base=base, post=post)
    assert (found.sees, found.control) == ("nothing", False)
    assert found.share.value >= 0.8
    # Which of 128 features it is, and which of two strengths.
    assert found.bits == 7 + 1
    known = replace(steering, trained_on="post")
    assert known.sees == "post weights"
    control = try_mechanism(replace(steering, control=True), bench, base=base, post=post)
    assert control.control and control.bits == pytest.approx(math.log2(6))
    # A live feature, the row in another order and a random direction, at two strengths each.
    assert len(control.rejected) == 3 * 2 - 1
