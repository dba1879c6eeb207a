"""Gradients of a pair whose models are on two devices: run by `test_two_devices.py`.

Torch counts the devices when a process takes its first gradient, so pretended ones must come before
it: these tests have a process of their own.
"""

import pytest
import torch

from elicit.grafting import facts, integrate
from elicit.pair import load_pair
from elicit.patching import across, attribute
from elicit.tasks import load_task
from tests.checkpoints import WORDS
from tests.pair.test_two_devices import FEW, apart, same
from tests.patching.test_sweep import contrast_of
from tests.pretended import pretend


def test_integrated_gradients_cross_between_two_devices(written):
    names = written("llama", seed=1), written("llama", seed=2)
    one = load_pair(*names, dtype=torch.float64, check_parity=False)
    two = apart(*names, dtype=torch.float64)
    asked = [
        {"prompt": " ".join(WORDS[i : i + 4]), "answer": WORDS[9], "candidates": WORDS[9:11]}
        for i in range(10, 16)
    ]
    score = facts(load_task(asked, name="words"))
    same(*(integrate(pair, [score], nodes=2, max_nodes=2) for pair in (one, two)))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_gradients_are_taken_where_the_host_is(written, paired, order):
    # Torch runs no gradient on the second device of a kind that is written in Python.
    devices = [(pretend()[0], "cpu")[place] for place in order]
    two = apart(written("llama", seed=1), written("llama", seed=2), devices=devices)
    for direction in ("post_to_base", "base_to_post"):
        swap = across(direction, sites=("resid_post", "z"), positions=[-1], metrics=("kl",))
        same(*(attribute(pair, contrast_of(n=2), swap, inference=FEW)
               for pair in (paired("llama"), two)), tolerance=1e-5)  # fmt: skip
