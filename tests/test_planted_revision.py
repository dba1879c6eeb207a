"""Layers that post-training changed show where the two models' readings first part."""

import pytest
import torch

from elicit import organisms
from elicit.revision import TokenRows, profile
from elicit.tasks import load_task

PLANTED = {"when-l3": 3, "b-when-l5": 5, "bias-l3": 3, "lora-l4": 4}


@pytest.mark.parametrize("name", list(PLANTED))
def test_readings_part_exactly_at_the_planted_layer(name, organism):
    """Below it the two models' lenses are the same to the last bit; from it on they are not."""
    pair = organism(name)
    task = load_task(organisms.resolve(name).problems).subset(20, seed=0)
    found = profile(pair, TokenRows.of_task(pair.alignment, task, decision=True), top_k=0)
    parts = [bool(layer.any()) for layer in found.kl_base_post]
    assert parts == [layer > PLANTED[name] for layer in range(pair.n_layers + 1)]
    assert found.jsd_base_post[: PLANTED[name] + 1].abs().max() == 0


def test_the_planted_decision_is_read_from_its_layer_on(organism):
    """Up to the plant both guess alike; at the end post says `so` and base does not."""
    pair = organism("when-l3")
    task = load_task(organisms.resolve("when-l3").problems).subset(20, seed=0)
    found = profile(pair, TokenRows.of_task(pair.alignment, task, decision=True), top_k=1)
    (so,) = (i for i, word in found.words().items() if word == "so")
    says = (found.top_id[..., 0] == so).double().mean(-1)
    assert torch.equal(says[0, :4], says[1, :4])
    assert says[1, -1] > 0.8 and says[0, -1] < 0.3
