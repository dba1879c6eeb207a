"""A model in which the layer where each token's prediction settles was written by hand."""

import torch
from torch import nn

N_LAYERS = 8
GUESS, ANSWER = 4, 5
"""Ids predicted before and after a class's layer has written."""
CLASSES: dict[int, tuple[int, ...]] = {
    10: (0,),
    11: (2,),
    12: (5,),
    13: (7,),
    14: (1, 3, 6),
    15: (),
}
"""Input id to the layers that swap its prediction between guess and answer, in order."""
FIRST_HIT = {10: 1, 11: 3, 12: 6, 13: 8, 14: 2, 15: 1}
"""Depth by the first hit: the block after which the prediction first is the final one."""
LAST_EXIT = {10: 1, 11: 3, 12: 6, 13: 8, 14: 7, 15: 1}
"""Depth by the last exit: id 14 comes near after block 2, leaves after 4, comes back after 7."""


def plant(model: nn.Module) -> None:
    """Write a Llama of `N_LAYERS` layers and width 32: dims 0-15 hold the class, 16-31 the word.

    Every swap keeps the stream's norm, so the numbers below hold in every layer.
    """
    for parameter in model.parameters():
        parameter.zero_()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.fill_(1.0)
    embed, head = model.get_input_embeddings().weight, model.lm_head.weight
    for place, (token, layers) in enumerate(CLASSES.items()):
        embed[token, place] = 1.0
        embed[token, 16 + GUESS if layers else 16 + ANSWER] = 1.0
        for i, layer in enumerate(layers):
            mlp = model.model.layers[layer].mlp
            # The normed class is 4 here: silu(40) * 4 = 160, and the way out divides it away.
            mlp.gate_proj.weight[place, place] = 10.0
            mlp.up_proj.weight[place, place] = 1.0
            way = 1.0 if i % 2 == 0 else -1.0
            mlp.down_proj.weight[16 + ANSWER, place] = way / 160
            mlp.down_proj.weight[16 + GUESS, place] = -way / 160
    head[GUESS, 16 + GUESS] = head[ANSWER, 16 + ANSWER] = 8.0


def rows() -> tuple[tuple[int, ...], ...]:
    """One row with every class twice, after bos."""
    return ((1, *CLASSES, *reversed(CLASSES)),)


def planted(depths: dict[int, int]) -> torch.Tensor:
    """Depth of each position of `rows` but bos's."""
    return torch.tensor([depths[token] for token in rows()[0][1:]])
