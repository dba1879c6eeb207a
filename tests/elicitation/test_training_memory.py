"""What training is forecast to need, held against what a forward keeps for its gradient."""

import pytest
import torch

from elicit.elicitation import training_memory
from elicit.elicitation.training._parametrised import layer_matrices, live_parameters
from elicit.pair import hugging_face_model
from elicit.runs import Execution

ROWS, TOKENS = 4, 60


def kept(side) -> tuple[int, int]:
    """Bytes a token that autograd keeps beside the weights, and ids of the vocabulary."""
    model = hugging_face_model(side.bridge)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen: dict[int, torch.Tensor] = {}

    def pack(saved: torch.Tensor) -> torch.Tensor:
        if saved.untyped_storage().data_ptr() not in weights:
            seen[saved.untyped_storage().data_ptr()] = saved
        return saved

    flags = [(p, p.requires_grad) for p in model.parameters()]
    try:
        for parameter, _ in flags:
            parameter.requires_grad_(True)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
            logits = model(input_ids=torch.ones(ROWS, TOKENS, dtype=torch.long)).logits
            logits.float().log_softmax(-1).sum()
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
    n = sum(saved.untyped_storage().nbytes() for saved in seen.values())
    return n // (ROWS * TOKENS), logits.shape[-1]


@pytest.mark.parametrize("name", ["rl", "b-rl"])
def test_kept_activations_are_as_forecast_within_a_third(organism, name):
    side = organism(name).side("base")
    measured, vocabulary = kept(side)
    few, more = (
        training_memory(side.bridge, "bias", execution=Execution(max_tokens=n)) for n in (1, 101)
    )
    a_token = (more - few) // 100
    # The forecast counts a logit four times: itself, logarithm, probability, gradient.
    assert 0.75 < (a_token - 16 * vocabulary) / (measured - 4 * vocabulary) < 1.33


def test_all_weights_take_a_copy_a_gradient_and_two_moments_and_vectors_none(organism):
    bridge = organism("rl").side("base").bridge
    bias, tiny, whole = (
        training_memory(bridge, kind, execution=Execution(max_tokens=1))
        for kind in ("bias", "tiny", "all")
    )
    weights = sum(p.nbytes for p in live_parameters(bridge).values())
    assert whole - bias == 4 * weights
    assert tiny - bias == 2 * sum(p.nbytes for p in layer_matrices(bridge).values())
