"""What training needs beside the models, in bytes."""

import torch
from torch import nn

from elicit.elicitation.training._parametrised import layer_matrices, live_parameters
from elicit.elicitation.training.plans import Trainable
from elicit.runs import Execution

_KEPT = 1.5
"""Numbers kept for the gradient, over what the matrices of the layers read and write: norms,
activations and patterns are kept too. 1.2 to 1.8 on Llama of 135M and the two embedded worlds."""
_LOGITS = 16
"""Bytes of one logit, its logarithm, probability and gradient."""


def training_memory(
    bridge: nn.Module, trainable: Trainable, *, execution: Execution = Execution()
) -> int:
    """Bytes that training needs at its largest: copies, gradients, moments, kept activations.

    Args:
        bridge: The model; its weights are not read.
        trainable: What is trained.
        execution: Tokens and logits of a forward.
    """
    live, matrices = live_parameters(bridge), layer_matrices(bridge)
    half = any(p.dtype in (torch.float16, torch.bfloat16) for p in live.values())
    held = 0
    if trainable == "all":
        # A copy and its gradient, two moments, and of half precision float32 masters with theirs.
        held = sum(2 * p.nbytes + (16 if half else 8) * p.numel() for p in live.values())
    elif trainable != "bias":
        held = sum(2 * p.nbytes for p in matrices.values())
    vocabulary = int(getattr(bridge.cfg, "d_vocab", 0) or 1)
    n_tokens = max(1, min(execution.max_tokens, execution.memory // (_LOGITS * vocabulary)))
    width = sum(sum(p.shape) for p in matrices.values())
    itemsize = next(iter(live.values())).element_size()
    return held + n_tokens * round(_KEPT * itemsize * width + _LOGITS * vocabulary)
