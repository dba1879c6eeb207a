"""Weight integrated gradients add up, and agree with finite differences."""

from dataclasses import replace

import pytest
import torch

from elicit.grafting import Cost, GraftError, PartSweep, Score, integrate
from elicit.grafting.integrated import _gradient, _quadrature
from elicit.pair import weights_digest
from elicit.runs import Execution
from elicit.weights import interpolated, parts_of
from tests.grafting.test_sweep import small_task


def test_nodes_integrate_polynomials_exactly():
    for panels in (1, 2):
        nodes = _quadrature(16, panels)
        assert sum(w for _, w in nodes) == pytest.approx(1)
        assert sum(w * x**9 for x, w in nodes) == pytest.approx(0.1)


@pytest.mark.parametrize("max_tokens", [8192, 24])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "phi3"])
def test_the_gradient_is_the_slope_of_the_score(paired, architecture, max_tokens):
    pair = paired(architecture)
    score = Score(task=small_task(), metric="log_prob")
    sweep = PartSweep(pair=pair, score=score, execution=Execution(max_tokens=max_tokens))
    layers = parts_of(pair, "layer")
    found = _gradient(sweep, layers, 0.0)
    for i, layer in enumerate(layers):
        scores = []
        for step in (-1e-2, 1e-2):
            with interpolated(pair, layer, step) as model:
                scores.append(sweep.evaluate(model).mean().item())
        assert found[i].item() == pytest.approx((scores[1] - scores[0]) / 2e-2, rel=0.02, abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shuffled-l3", "shuffled-l1-l4", "b-shuffled-l2-l5"])
def test_attributions_add_up_to_the_gap_and_fall_on_the_planted_layers(organism, tasks_of, name):
    pair, (known, _) = organism(name), tasks_of(name, 50)
    found = integrate(pair, [known])
    assert found.completeness_error[0] <= 0.01
    assert found.attribution.sum() == pytest.approx(found.gap[0].item(), rel=0.01)
    planted = {int(x[1:]) for x in name.removeprefix("b-").split("-")[1:]}
    inside = [i for i, layer in enumerate(found.layer.tolist()) if layer in planted]
    outside = [i for i in range(len(found.part)) if i not in inside]
    assert (found.attribution[0, inside] < -0.01).all()
    assert not found.attribution[0, outside].any()


@pytest.mark.parametrize("max_tokens", [8192, 24])
def test_gradients_begin_at_the_first_layer_that_differs(organism, tasks_of, max_tokens):
    pair, (known, _) = organism("shuffled-l3"), tasks_of("shuffled-l3")
    task = known.task.subset(6, 0)
    sweep = PartSweep(
        pair=pair, score=replace(known, task=task), execution=Execution(max_tokens=max_tokens)
    )
    slow = replace(sweep, resume=False, cost=Cost())
    parts = parts_of(pair, "layer")
    calls = []
    _gradient(sweep, parts, 0.5)  # records the trunk
    handles = [
        pair.base.blocks[i].register_forward_hook(lambda *_, i=i: calls.append(i))
        for i in range(pair.n_layers)
    ]
    try:
        found = _gradient(sweep, parts, 0.5)
    finally:
        for handle in handles:
            handle.remove()
    assert min(calls) == 3
    assert torch.allclose(found, _gradient(slow, parts, 0.5), rtol=1e-4, atol=1e-7)


def test_a_task_without_a_gradient_is_refused(organism, tasks_of):
    known, asked = tasks_of("rl")
    with pytest.raises(GraftError):
        integrate(organism("rl"), [asked])
    with pytest.raises(GraftError):
        integrate(organism("rl"), [Score(task=known.task, metric="correct")])


@pytest.mark.slow
def test_gradients_and_flags_are_left_as_they_were(organism, tasks_of):
    pair, (known, _) = organism("shuffled-l1"), tasks_of("shuffled-l1")
    before = weights_digest(pair.base), weights_digest(pair.post)
    flags = [p.requires_grad for p in pair.base.parameters()]
    integrate(pair, [known], nodes=2, max_nodes=2)
    assert [p.requires_grad for p in pair.base.parameters()] == flags
    assert all(p.grad is None for p in pair.base.parameters())
    assert (weights_digest(pair.base), weights_digest(pair.post)) == before


def test_an_identical_pair_has_nothing_to_integrate(organism, tasks_of):
    found = integrate(organism("identity"), [tasks_of("identity")[0]], nodes=2)
    assert not found.attribution.any()
    assert found.gap[0] == 0
    assert torch.isnan(found.completeness_error[0])
