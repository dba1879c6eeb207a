"""A forward taken up again at any layer is the forward itself."""

import pytest
import torch

from elicit.capture import full_logits, logits_at, record, run_layers
from elicit.weights import grafted, layer_interval
from tests import checkpoints


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids = torch.randint(4, 60, (3, 11), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[0, 7:] = 0
    mask[1, :2] = 0  # one row is padded on the left
    return ids, mask, (mask.cumsum(-1) - 1).clamp(min=0)


ROW, POS = torch.tensor([0, 0, 1, 2]), torch.tensor([3, 6, 10, 10])


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
@torch.no_grad()
def test_resuming_at_any_layer_gives_the_plain_logits(paired, architecture):
    pair = paired(architecture)
    expected = full_logits(pair.base, *batch())[ROW, POS]
    trunk = record(pair.base, *batch())
    for layer in range(pair.n_layers + 1):
        resid = run_layers(pair.base, trunk, trunk.resid[layer], first=layer)
        assert torch.allclose(logits_at(pair.base, resid, ROW, POS), expected, atol=1e-5)
        assert torch.equal(resid, trunk.resid[-1])


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
@torch.no_grad()
def test_layers_of_post_run_inside_base_are_the_grafted_model(paired, architecture):
    pair = paired(architecture)
    base, post = record(pair.base, *batch()), record(pair.post, *batch())
    resid = run_layers(pair.post, post, base.resid[1], first=1, last=1)
    resid = run_layers(pair.base, base, resid, first=2)
    stitched = logits_at(pair.base, resid, ROW, POS)
    with grafted(pair, layer_interval(pair, 1, 1)) as model:
        expected = full_logits(model, *batch())[ROW, POS]
    assert torch.allclose(stitched, expected, atol=1e-5)


@torch.no_grad()
def test_recording_leaves_no_hook_also_after_an_exception(paired):
    pair = paired("llama")

    def n_hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in pair.base.modules())

    before = n_hooks()
    record(pair.base, *batch())
    assert n_hooks() == before
    with pytest.raises(Exception, match="index|range|size"):
        record(pair.base, torch.full((1, 3), 10_000), torch.ones(1, 3, dtype=torch.long),
               torch.arange(3)[None])  # fmt: skip
    assert n_hooks() == before
