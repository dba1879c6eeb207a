"""Activations from the engine that serves a model."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.edits import active
from elicit.engines import engine_of, pushes_of
from elicit.pair import Encoded, device_of, hugging_face_model
from elicit.sites import Site
from elicit.surroundings import foreign_hook


def from_engine(
    model: nn.Module, sites: Sequence[Site], encoded: Encoded
) -> Mapping[Site, Float[Tensor, "batch pos d_model"]] | None:
    """Activations of a batch, 0 at padding; None where no engine gives exactly these."""
    engine = None if torch.is_grad_enabled() else engine_of(model)
    if engine is None or foreign_hook(model, edits=False):
        return None
    if any(engine.refuses(site) for site in sites):
        return None
    block = active(model)
    blocks = () if block is None else block.stack
    edits = [edit for one in blocks for edit in one.edits]
    lengths = encoded.mask.sum(1).tolist()
    told = None if block is None else block.prompt_lengths
    prompts = lengths if told is None or len(told) != len(lengths) else told.tolist()
    pushes = [
        pushes_of(edits, row, int(prompt), int(n))
        for row, (prompt, n) in enumerate(zip(prompts, lengths, strict=True))
    ]
    steps = [step for push in pushes if push is not None for step in push.steps]
    if any(push is None for push in pushes) or any(engine.refuses(s.site) for s in steps):
        return None
    device = device_of(hugging_face_model(model))
    ids, real = encoded.ids.cpu(), encoded.mask.bool().cpu()
    at: dict[Site, Tensor] = {}
    for row, push in enumerate(pushes):
        for site, value in engine.read(ids[row][real[row]].tolist(), sites, push).items():
            if site not in at:
                at[site] = value.new_zeros((*ids.shape, value.shape[-1]), device=device)
            at[site][row, real[row].to(device)] = value.to(device)
    for one in blocks:
        one.swap_made([True] * len(one.edits))
    return at
