"""Attention that is taken away is gone, and the rest is what it was, scaled up to sum to 1."""

import pytest
import torch

from elicit.edits import EditError, MaskAttention, at, edited, everywhere, last, prompt, window
from elicit.sites import SiteError, pattern
from tests.checkpoints import ARCHITECTURES
from tests.edits.plain import ROWS, logits_of, masked_plain, padded, plain_model, read

LAYER = 1


def removed_by(mask, dest, src, heads, n_heads=4):
    """[batch head dest src] from conditions on positions in a row's own tokens."""
    place = torch.where(mask == 1, mask.cumsum(-1) - 1, -1)
    n = mask.sum(-1, keepdim=True)
    pairs = dest(place, n)[:, :, None] & src(place, n)[:, None] & (mask == 1)[:, None]
    chosen = torch.zeros(n_heads, dtype=torch.bool)
    chosen[list(heads)] = True
    return pairs[:, None] & chosen[None, :, None, None]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_masked_attention_is_a_score_of_minus_infinity(paired, written, architecture, side):
    model, plain = paired(architecture).base, plain_model(written(architecture, seed=1))
    ids, mask = padded(side=side)
    tokens = mask == 1
    removed = removed_by(mask, lambda p, n: p >= 2, lambda p, n: (p == 1) | (p == 2), (0, 3))
    # Keys 1 and 2 for dest 2 leave key 0; a window of 4 leaves each later token itself.
    with masked_plain(plain, LAYER, removed):
        expected = logits_of(plain, ids, mask)
    edit = MaskAttention((LAYER,), dest=window(2), src=at(1, 2), heads=(0, 3))
    with edited(model, [edit]):
        found = logits_of(model, ids, mask)
        seen = read(model, pattern(LAYER), ids, mask)
    assert torch.allclose(found[tokens], expected[tokens], atol=1e-5)
    clean = read(model, pattern(LAYER), ids, mask)
    kept = clean.masked_fill(removed, 0.0)
    kept = kept / kept.sum(-1, keepdim=True)
    assert torch.allclose(seen.transpose(1, 2)[tokens], kept.transpose(1, 2)[tokens], atol=1e-6)
    assert not seen[removed].any()
    assert clean[removed].any()


def test_all_heads_and_several_layers_are_masked_in_the_rows_named(paired, written):
    model, plain = paired("llama").base, plain_model(written("llama", seed=1))
    ids, mask = padded()
    removed = removed_by(mask, lambda p, n: p == n - 1, lambda p, n: p == 0, range(4))
    removed[1] = removed[3] = False
    with masked_plain(plain, 0, removed), masked_plain(plain, 2, removed):
        expected = logits_of(plain, ids, mask)
    with edited(model, [MaskAttention((0, 2), dest=last(), src=at(0), rows=(0, 2))]):
        found = logits_of(model, ids, mask)
    assert torch.allclose(found[mask == 1], expected[mask == 1], atol=1e-5)


def test_attention_to_nothing_is_refused_with_its_place(paired):
    model = paired("llama").base
    ids, mask = padded()
    with (
        pytest.raises(EditError, match=r"nothing to attend to at row 0, layer 1, head 0"),
        edited(model, [MaskAttention((LAYER,), dest=everywhere(), src=at(0))]),
    ):
        logits_of(model, ids, mask)


def test_attention_that_was_never_there_is_an_edit_never_made(paired):
    model = paired("llama").base
    ids, mask = padded()
    with (
        pytest.raises(EditError, match=r"MaskAttention\(.*never made"),
        edited(model, [MaskAttention((LAYER,), dest=at(0), src=at(1))]),
    ):
        logits_of(model, ids, mask)


def test_layers_and_heads_that_are_not_there_are_refused(paired):
    model = paired("llama").base
    for edit in (
        MaskAttention((3,), dest=last(), src=at(0)),
        MaskAttention((0,), dest=last(), src=at(0), heads=(4,)),
    ):
        with pytest.raises(SiteError, match="0 to"), edited(model, [edit]):
            pass
    for bad in ({"layers": ()}, {"layers": (-1,)}, {"layers": (0,), "heads": ()}):
        with pytest.raises(EditError, match="counted from 0"):
            MaskAttention(**bad, dest=last(), src=prompt())


def test_gradients_flow_through_masked_attention(paired):
    model = paired("llama").base
    ids = torch.tensor([ROWS[0]])
    embedded = model.original_model.get_input_embeddings()(ids).detach().requires_grad_()
    with edited(model, [MaskAttention((0, 1, 2), dest=window(1), src=at(0))]):
        out = model.original_model(inputs_embeds=embedded, use_cache=False).logits[0, -1]
    out.square().sum().backward()
    grad = embedded.grad.abs().sum(-1)[0]
    assert grad[0] == 0  # nobody looks at the first token any more
    assert (grad[1:] > 0).all()
    model.zero_grad()
