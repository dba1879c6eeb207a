"""A guided hybrid: laws of the token loop, what is refused, and pairs whose answer is planted."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from elicit import organisms
from elicit.elicitation import (
    GATES,
    ElicitationError,
    HybridDesign,
    HybridTraining,
    disagreements,
    fit_hybrid,
    measure_hybrid,
)
from elicit.results import load_result
from elicit.rollouts import Generation, Guidance, RolloutError, guided_rollouts, rollouts
from elicit.runs import Execution
from elicit.sites import resid_post
from elicit.tasks import Split, load_task

GREEDY = Generation(max_new_tokens=32)
SITE = resid_post(3)


class KeptInMemory:
    """A checkpoint that counts what was computed."""

    def __init__(self):
        self.kept, self.made = {}, 0

    def get_or_compute(self, key, compute):
        if key not in self.kept:
            self.kept[key] = compute()
            self.made += 1
        return self.kept[key]


@pytest.fixture(scope="module")
def parts():
    """Problems to fit, to choose and to test on."""
    task = load_task(organisms.resolve("organism:rl").problems, name="problems")
    short = replace(task, problems=tuple(p for p in task if (p.difficulty or 0) <= 3))
    return short.split((0.5, 0.15, 0.35), 0)


@pytest.fixture(scope="module")
def vector(organism):
    """Some vector about as long as the states it is added to."""
    width = organism("rl").side("base").bridge.cfg.d_model
    return torch.randn(width, generator=torch.Generator().manual_seed(1))


def pushed(switch: str, vector, *coefficients: float, **more) -> Guidance:
    return Guidance(
        switch=switch, site=SITE, vector=vector, coefficients=coefficients or (1.0,), **more
    )


@pytest.mark.slow(checked=True)
@pytest.mark.parametrize(
    ("how", "temperature"), [("none", 1.0), ("all", 0.0), ("oracle", 0.0), ("guardrail", 1.0)]
)
def test_a_push_of_nothing_leaves_every_token(organism, parts, vector, how, temperature):
    base, post = (organism("rl").side(name) for name in ("base", "post"))
    task = parts[1].subset(4, seed=0)
    n = 2 if temperature else 1
    generation = replace(GREEDY, temperature=temperature, n_samples=n)
    guidance = {
        "none": Guidance(switch="none"),
        "all": pushed("all", vector, 0.0),
        "oracle": pushed("oracle", vector, 0.0),
        "guardrail": pushed("all", vector, 0.0, 0.0, guardrail=True),
    }[how]
    found = guided_rollouts(base, task, guidance, guide=post, generation=generation, seed=4)
    plain = rollouts(base, task, generation=generation, seed=4)
    assert torch.equal(found.rollouts.written, plain.written)
    assert not found.n_changed.any()


def test_a_row_does_not_depend_on_its_batch(organism, parts, vector):
    base, task = organism("rl").side("base"), parts[1].subset(4, seed=0)
    guidance = pushed("random", vector, 2.0, rate=0.5)
    sampled = replace(GREEDY, temperature=1.0, n_samples=2)
    whole, small = (
        guided_rollouts(base, task, guidance, generation=replace(sampled, batch_size=size), seed=2)
        for size in (64, 3)
    )
    assert torch.equal(whole.rollouts.written, small.rollouts.written)
    assert torch.equal(whole.n_touched, small.n_touched)
    assert 0 < int(whole.n_touched.sum()) < int(whole.rollouts.n_tokens.sum())


def test_a_push_at_every_token_is_what_an_edit_of_all_of_them_does(organism, parts, vector):
    from elicit.edits import Steer, edited, generated, last

    base, task = organism("rl").side("base"), parts[1].subset(4, seed=0)
    found = guided_rollouts(base, task, pushed("all", vector, 0.7), generation=GREEDY)
    edits = [Steer(SITE, vector, scale=0.7, where=where) for where in (last(), generated())]
    with edited(base.bridge, edits):
        plain = rollouts(base, task, generation=GREEDY)
    assert torch.equal(found.rollouts.written, plain.written)
    assert torch.equal(found.n_touched, found.rollouts.n_tokens)


def test_the_first_gate_pushes_the_last_token_of_the_prompt_alone(organism, parts, vector):
    from elicit.edits import Steer, edited, last

    base, task = organism("rl").side("base"), parts[1].subset(4, seed=0)
    found = guided_rollouts(base, task, pushed("first", vector, 3.0), generation=GREEDY)
    with edited(base.bridge, [Steer(SITE, vector, scale=3.0, where=last())]):
        plain = rollouts(base, task, generation=GREEDY)
    assert torch.equal(found.rollouts.written, plain.written)
    assert found.n_touched.tolist() == [1] * len(task)


def test_post_that_picks_among_all_tokens_writes_its_own_text(organism, parts):
    base, post = (organism("rl").side(name) for name in ("base", "post"))
    task = parts[1].subset(4, seed=0)
    every = Guidance(switch="none", rerank=base.alignment.d_vocab)
    found = guided_rollouts(base, task, every, guide=post, generation=GREEDY)
    assert torch.equal(found.rollouts.written, rollouts(post, task, generation=GREEDY).written)


def test_guided_texts_that_were_kept_are_not_written_again(organism, parts, vector):
    base, task, kept = organism("rl").side("base"), parts[1].subset(4, seed=0), KeptInMemory()
    run = Execution(checkpoint=kept)
    write = {"generation": GREEDY, "execution": run}
    first = guided_rollouts(base, task, pushed("all", vector), **write)
    n_made = kept.made
    again = guided_rollouts(base, task, pushed("all", vector), **write)
    assert kept.made == n_made > 0
    assert torch.equal(first.rollouts.written, again.rollouts.written)
    guided_rollouts(base, task, pushed("all", vector, 0.5), **write)
    assert kept.made > n_made


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"switch": "learned", "site": SITE, "vector": torch.ones(2)}, "state_switch"),
        ({"switch": "all"}, "vector"),
        ({"switch": "none", "rerank": 1}, "rerank is 1"),
        ({"switch": "all", "site": SITE, "vector": torch.ones(2), "rerank": 3}, "rerank is 3"),
        (
            {"switch": "all", "site": SITE, "vector": torch.ones(2), "coefficients": (1.0, 2.0)},
            "without the guardrail",
        ),
        ({"switch": "none", "rate": 2.0}, "rate is 2"),
    ],
)
def test_guidance_that_means_nothing_is_refused(options, named):
    with pytest.raises(RolloutError, match=named):
        Guidance(**options)


def test_an_oracle_without_a_second_model_is_refused(organism, parts, vector):
    with pytest.raises(RolloutError, match="Pass guide="):
        guided_rollouts(organism("rl").side("base"), parts[1], pushed("oracle", vector))


@pytest.mark.parametrize(
    "options",
    [
        {"gates": ("first", "first")},
        {"gates": ("first", "random")},
        {"coefficients": (0.0,)},
        {"threshold": 1.0},
        {"n_random": 0},
    ],
)
def test_a_design_that_measures_nothing_is_refused(options):
    with pytest.raises(ElicitationError):
        HybridDesign(**options)


def test_an_identity_pair_has_no_disagreement_and_is_refused(organism, parts):
    with pytest.raises(ElicitationError, match="nothing that a guide could change"):
        disagreements(organism("identity"), parts[1].subset(4, seed=0), generation=GREEDY)


def test_base_and_post_disagree_once_a_text_where_the_trace_would_begin(organism, parts):
    found = disagreements(organism("rl"), parts[1], generation=GREEDY)
    first = found.at == 0
    assert first.double().mean() > 0.8
    begins = [text for text, at in zip(found.post_text, found.at.tolist(), strict=True) if not at]
    assert set(begins) == {"so"}
    assert 1 <= found.per_text.value.item() < 1.5


@pytest.fixture(scope="module")
def measured(organism, parts):
    """The fit and the hybrid of a pair, with few problems."""
    made = {}

    def measure(name: str, *, steps: int, guardrail: bool = False):
        if (name, guardrail) not in made:
            pair = organism(name)
            fit, choose, test = parts
            fitted = fit_hybrid(
                pair,
                fit,
                generation=GREEDY,
                training=HybridTraining(steps=steps, learning_rate=0.07),
            )
            split = Split(choose=choose.subset(8, seed=0), test=test)
            # Where nothing works, the gates that could be expected to are enough.
            gates = GATES if name == "rl" else ("oracle", "learned")
            design = HybridDesign(gates=gates, coefficients=(1.0,), guardrail=guardrail)
            marker = organisms.shows_trace
            made[name, guardrail] = (
                fitted,
                measure_hybrid(pair, split, fitted, design=design, shown=marker, generation=GREEDY),
            )
        return made[name, guardrail]

    return measure


@pytest.mark.slow
def test_a_latent_skill_comes_out_where_the_learned_switch_fires(measured):
    fitted, found = measured("rl", steps=25)
    at = found.of("learned")
    assert found.share.value[at] >= 0.95
    # One token of these short texts; of chains of one to six steps it is 2.8 to 3.7 %.
    assert found.touched.value[at] <= 0.07
    assert found.touched.value[at] <= 1.3 * found.differ.value
    assert not found.reads_post[at]
    assert found.traces.value[at] >= 0.95
    assert found.switch_at[0] > 0.9
    assert found.switch_at[1] < 0.05
    assert found.switch_auroc > 0.95
    assert fitted.log_prob_after > fitted.log_prob_before
    assert found.relative_norm > 0.1


@pytest.mark.slow
def test_controls_bring_nothing_out_of_it(measured):
    _, found = measured("rl", steps=25)
    for name in ("random", "none", "random vector 0"):
        assert found.share.value[found.of(name)].abs() <= 0.2, name
    # A vector at every token leaves no text that could be read.
    assert found.accuracy.value[found.of("all")] <= found.alone_accuracy.value[0]
    assert found.share.value[found.of("none")] == 0
    assert found.touched.value[found.of("none")] == 0


@pytest.mark.slow
def test_post_alone_does_the_same_by_picking_among_the_tokens_of_base(measured):
    _, found = measured("rl", steps=25)
    at = found.of("rerank, no vector")
    assert found.share.value[at] == pytest.approx(1.0, abs=0.05)
    assert found.reads_post[at]


@pytest.mark.slow
def test_a_hybrid_comes_back_from_disk_and_has_a_figure(measured, tmp_path: Path):
    _, found = measured("rl", steps=25)
    found.save(tmp_path / "hybrid")
    again = load_result(tmp_path / "hybrid")
    assert again.arm == found.arm
    assert torch.equal(again.share.value, found.share.value)
    assert len(found.figure().data) >= 4


@pytest.mark.slow
def test_a_skill_that_is_absent_does_not_come_out_of_any_gate(measured):
    _, found = measured("created", steps=12)
    assert found.per_text.value > 5
    assert bool((found.share.value <= 0.2).all()), dict(
        zip(found.arm, found.share.value.tolist(), strict=True)
    )


@pytest.mark.slow
def test_a_fit_of_another_base_is_refused(measured, organism, parts):
    fitted, _ = measured("rl", steps=25)
    with pytest.raises(ElicitationError, match="belongs to other states"):
        measure_hybrid(organism("created"), Split(choose=parts[1], test=parts[2]), fitted)


@pytest.mark.slow(checked=True)
def test_a_fit_that_was_killed_goes_on_to_the_same_bytes(organism, parts):
    task, kept = parts[0].subset(8, seed=0), KeptInMemory()
    how = {"generation": GREEDY, "training": HybridTraining(steps=3)}
    pair = organism("rl")
    first = fit_hybrid(pair, task, execution=Execution(checkpoint=kept), **how)
    made = kept.made
    again = fit_hybrid(pair, task, execution=Execution(checkpoint=kept), **how)
    assert kept.made == made
    alone = fit_hybrid(pair, task, **how)
    for other in (again, alone):
        assert torch.equal(first.vector, other.vector)
        assert first.switch.digest == other.switch.digest
