"""Sharpened texts: on a model whose texts can be listed, their shares are the listed ones."""

from dataclasses import replace
from itertools import product

import pytest
import torch

from elicit.pair import load_pair
from elicit.rollouts import (
    Generation,
    Particles,
    RolloutError,
    Rollouts,
    particle_rollouts,
    rollouts,
)
from elicit.runs import Execution, RunDirectory
from elicit.tasks import Problem, Task
from tests.rollouts.made import same, task_of

SHORT = Generation(stop_ids=(2,), max_new_tokens=3, batch_size=4096)
SHORTER = replace(SHORT, max_new_tokens=2)
WORDS = ["one", "two", "three", "four"]
GREEDY = Generation(stop_ids=(2, 5), max_new_tokens=6, batch_size=64)


@pytest.fixture(scope="module")
def toy(written):
    """A base of 8 tokens, three of which a text has at most."""
    folders = (written("llama", seed=seed, words=WORDS, d_vocab=8) for seed in (5, 6))
    return load_pair(*folders).side("base")


TASK = Task(name="toy", problems=(Problem(id="p", prompt="one two", answer="two"),))


def listed(side, alpha: float, generation=SHORT) -> dict[tuple[int, ...], float]:
    """Every text with its share of p(x)^alpha, from plain forwards."""
    prompt = side.alignment.prompt(TASK.problems[0].prompt, templated=False)
    longest = generation.max_new_tokens
    every = product(range(8), repeat=longest)
    texts = list(dict.fromkeys(ids[: ids.index(2) + 1] if 2 in ids else ids for ids in every))
    padded = [prompt + list(text) + [0] * (longest - len(text)) for text in texts]
    with torch.no_grad():
        logits = side.bridge.original_model(torch.tensor(padded)).logits.double().log_softmax(-1)
    log_probs = [
        sum(float(logits[row, len(prompt) - 1 + i, token]) for i, token in enumerate(text))
        for row, text in enumerate(texts)
    ]
    shares = (alpha * torch.tensor(log_probs)).softmax(0)
    return dict(zip(texts, shares.tolist(), strict=True))


def texts_of(found: Rollouts) -> list[tuple[int, ...]]:
    return [tuple(ids.tolist()) for ids in found.written.split(found.n_tokens.tolist())]


def weighed(runs: list[Particles]) -> dict[tuple[int, ...], float]:
    """Weighted shares of the texts, mean over runs."""
    found: dict[tuple[int, ...], float] = {}
    for one in runs:
        weights = one.log_weight.exp().flatten().tolist()
        for text, weight in zip(texts_of(one.rollouts), weights, strict=True):
            found[text] = found.get(text, 0.0) + weight / len(runs)
    return found


def distance(left: dict, right: dict) -> float:
    """Total variation."""
    return sum(abs(left.get(x, 0.0) - right.get(x, 0.0)) for x in {*left, *right}) / 2


@pytest.mark.slow(checked=True)
@pytest.mark.parametrize(
    ("alpha", "ramp", "generation"), [(1.0, 1, SHORTER), (4.0, 1, SHORT), (4.0, 3, SHORT)]
)
def test_the_shares_of_all_texts_are_those_of_the_sharpened_distribution(
    toy, alpha, ramp, generation
):
    exact = listed(toy, alpha, generation)
    assert len(exact) > 50
    options = {"alpha": alpha, "ramp": ramp, "particles": 4096, "generation": generation}
    runs = [particle_rollouts(toy, TASK, seed=seed, **options) for seed in range(8)]
    assert distance(weighed(runs), exact) < 0.02
    if alpha > 1:
        # The model itself is far from it, and so is sharpening token by token.
        assert distance(listed(toy, 1.0), exact) > 0.1
        cold = replace(generation, temperature=1 / alpha, n_samples=4096)
        drawn = texts_of(rollouts(toy, TASK, generation=cold))
        assert distance({x: drawn.count(x) / 4096 for x in set(drawn)}, exact) > 0.05


@pytest.mark.slow(checked=True)
def test_few_particles_are_drawn_anew_and_keep_to_the_distribution(toy):
    exact = listed(toy, 6.0)
    options = {"alpha": 6.0, "particles": 64, "ramp": 3, "generation": SHORT}
    runs = [particle_rollouts(toy, TASK, seed=seed, **options) for seed in range(40)]
    assert any(int(one.n_resamplings) for one in runs)
    assert all(float(one.least_ess) <= float(one.ess) + 1e-9 for one in runs)
    best = max(exact, key=lambda text: exact[text])
    assert weighed(runs)[best] == pytest.approx(exact[best], abs=0.05)
    drawn = [tuple(one.drawn().ids(0)) for one in runs]
    assert drawn.count(best) / 40 == pytest.approx(exact[best], abs=0.15)


def test_at_exponent_1_all_weights_are_equal_and_texts_are_the_model_s_own(paired):
    side = paired("llama").side("base")
    found = particle_rollouts(side, task_of(), alpha=1.0, particles=3, ramp=1, generation=GREEDY)
    assert found.log_weight.exp().tolist() == [[pytest.approx(1 / 3, abs=1e-12)] * 3] * 5
    assert not found.n_resamplings.any()
    own = rollouts(side, task_of(), generation=replace(GREEDY, temperature=1.0, n_samples=3))
    assert same(found.rollouts, own)


def test_texts_do_not_depend_on_the_batch_and_come_back_from_a_checkpoint(paired, tmp_path):
    side, options = paired("llama").side("base"), {"alpha": 3.0, "particles": 8}
    found = particle_rollouts(side, task_of(), generation=GREEDY, **options)
    assert found.n_resamplings.any()
    alone = replace(GREEDY, batch_size=1)
    assert same(
        particle_rollouts(side, task_of(), generation=alone, **options).rollouts, found.rollouts
    )
    with RunDirectory.open(tmp_path / "run", kind="rollouts", arguments={}, identity={}) as run:
        kept = {"generation": GREEDY, "execution": Execution(checkpoint=run), **options}
        first = particle_rollouts(side, task_of(), **kept)
        n = run.n_computed
        again = particle_rollouts(side, task_of(), **kept)
        assert run.n_computed == n > 0
        particle_rollouts(side, task_of(), **{**kept, "alpha": 2.0})
        assert run.n_computed == 2 * n
    for one in (first, again):
        assert same(one.rollouts, found.rollouts)
        assert torch.equal(one.log_weight, found.log_weight)
        assert torch.equal(one.chosen, found.chosen)


def test_log_probabilities_are_those_of_the_texts(paired):
    side = paired("llama").side("base")
    found = particle_rollouts(side, task_of(), alpha=3.0, particles=8, generation=GREEDY)
    for row in (0, 9, 30):
        prompt, ids = found.rollouts.prompt_ids(row), found.rollouts.ids(row)
        with torch.no_grad():
            logits = side.bridge.original_model(torch.tensor([prompt + ids])).logits[0]
        each = logits.double().log_softmax(-1)[len(prompt) - 1 : -1]
        total = each.gather(1, torch.tensor(ids)[:, None]).sum()
        assert found.log_prob.flatten()[row] == pytest.approx(float(total), abs=1e-4)


def test_impossible_options_are_refused(paired):
    side = paired("llama").side("base")
    for options in ({"alpha": 0.0}, {"alpha": float("inf")}, {"alpha": 2.0, "particles": 0}):
        with pytest.raises(RolloutError, match="raised to alpha"):
            particle_rollouts(side, task_of(), generation=GREEDY, **options)
    with pytest.raises(RolloutError, match=r"temperature 1/alpha = 0\.5"):
        particle_rollouts(side, task_of(), alpha=2.0, generation=Generation(temperature=1.0))
