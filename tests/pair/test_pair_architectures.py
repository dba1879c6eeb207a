"""Ten real architectures are wrapped soundly, and their live parameters are known by name."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from elicit.pair import load_pair, parameter_groups, weights_digest
from tests import checkpoints

TEXTS = ["the cat", "one plus two equals three . think : the dog is red", "a bird is blue"]


def logits(bridge, batch):
    with torch.no_grad():
        return bridge(
            batch.ids, attention_mask=batch.mask, position_ids=batch.position_ids, use_cache=False
        )


def plain(path):
    return AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def test_a_wrapped_model_computes_what_the_plain_one_computes(architecture, paired):
    pair = paired(architecture)
    batch = pair.alignment.encode(TEXTS)
    for bridge, name in ((pair.base, pair.base_name), (pair.post, pair.post_name)):
        with torch.no_grad():
            expected = plain(name)(
                input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.position_ids
            ).logits
        difference = (logits(bridge, batch) - expected)[batch.real].abs().max()
        assert difference <= 1e-4
        assert expected[batch.real].std() > 0.1  # a constant would agree with anything
    assert pair.parity is not None
    assert max(pair.parity) <= 1e-4


def test_the_pair_knows_its_shape(architecture, paired):
    pair = paired(architecture)
    assert (pair.n_layers, pair.d_model, pair.d_vocab) == (
        checkpoints.N_LAYERS, checkpoints.D_MODEL, checkpoints.D_VOCAB,
    )  # fmt: skip
    assert pair.architecture == architecture
    assert pair.attn_implementation == "eager"
    assert not pair.identical


def test_every_site_of_the_residual_stream_fires(architecture, paired):
    pair = paired(architecture)
    batch = pair.alignment.encode(TEXTS[:1])
    sites = ["hook_resid_pre", "hook_resid_post", "hook_attn_out", "hook_mlp_out"]
    sites += ["attn.hook_z", "attn.hook_pattern"]
    if architecture != "gpt_neox":  # attention and MLP in parallel: there is no middle
        sites.append("hook_resid_mid")
    names = [f"blocks.{layer}.{site}" for layer in range(pair.n_layers) for site in sites]
    assert set(names) <= set(pair.base.hook_dict)
    with torch.no_grad():
        _, cache = pair.base.run_with_cache(batch.ids, names_filter=names)
    assert set(names) <= set(cache.keys())


@pytest.mark.parametrize("padding", ["left", "right"])
def test_a_row_in_a_padded_batch_equals_the_row_alone(architecture, padding, paired):
    pair = paired(architecture)
    batch = pair.alignment.encode(TEXTS, padding=padding)
    together = logits(pair.post, batch)
    assert batch.lengths.unique().numel() > 1
    for row, text in enumerate(TEXTS):
        alone = logits(pair.post, pair.alignment.encode([text]))[0]
        assert (together[row][batch.real[row]] - alone).abs().max() <= 1e-5


def test_a_token_read_through_the_cache_equals_the_whole_row(architecture, paired):
    pair = paired(architecture)
    batch = pair.alignment.encode(TEXTS)
    whole = logits(pair.base, batch)[:, -1]
    with torch.no_grad():
        start = pair.base.original_model(
            input_ids=batch.ids[:, :-1],
            attention_mask=batch.mask[:, :-1],
            position_ids=batch.position_ids[:, :-1],
            use_cache=True,
        )
        last = pair.base.original_model(
            input_ids=batch.ids[:, -1:],
            attention_mask=batch.mask,
            position_ids=batch.position_ids[:, -1:],
            past_key_values=start.past_key_values,
            use_cache=True,
        ).logits[:, -1]
    assert (last - whole).abs().max() <= 1e-5


def test_groups_have_the_names_of_the_checkpoint_in_its_order(architecture, paired):
    pair = paired(architecture)
    model = plain(pair.base_name)
    assert list(parameter_groups(pair.base)) == [name for name, _ in model.named_parameters()]


def test_pieces_of_a_fused_parameter_hold_its_elements(architecture, paired):
    fused = [group for group in parameter_groups(paired(architecture).base).values() if group.fused]
    assert bool(fused) == (architecture in ("gpt2", "gpt_neox", "phi3"))
    for group in fused:
        pieces = torch.cat([piece.detach().flatten() for piece in group.live])
        assert torch.equal(pieces.sort().values, group.canonical.detach().flatten().sort().values)


def swap(into, other, names):
    """Point the named parameters of `into` at those of `other`; gives a function that undoes it."""
    ours, theirs = parameter_groups(into), parameter_groups(other)
    before = [(p, p.data) for name in names for p in ours[name].all]
    for name in names:
        for mine, its in zip(ours[name].all, theirs[name].all, strict=True):
            mine.data = its.data

    def undo():
        for parameter, data in before:
            parameter.data = data

    return undo


def test_a_swapped_parameter_moves_the_forward_as_in_the_plain_model(architecture, paired):
    pair = paired(architecture)
    batch = pair.alignment.encode(TEXTS)
    inputs = {"attention_mask": batch.mask, "position_ids": batch.position_ids}
    model, other = plain(pair.base_name), dict(plain(pair.post_name).named_parameters())
    clean = logits(pair.base, batch)
    for name, parameter in model.named_parameters():
        if ".0." in name or ".2." in name:
            continue  # the middle layer and what lies outside the layers stand for all
        undo, own = swap(pair.base, pair.post, [name]), parameter.data
        parameter.data = other[name].data
        try:
            with torch.no_grad():
                expected = model(input_ids=batch.ids, **inputs).logits
                inner = pair.base.original_model(input_ids=batch.ids, **inputs).logits
            moved = logits(pair.base, batch)
        finally:
            undo()
            parameter.data = own
        assert (moved - expected)[batch.real].abs().max() <= 1e-5, name
        assert torch.equal(moved, inner), name
        # Attention ignores what its keys' bias adds to all scores alike.
        assert "k_proj.bias" in name or not torch.equal(moved, clean), name
    assert torch.equal(logits(pair.base, batch), clean)


def test_everything_swapped_is_the_other_model_bit_for_bit(architecture, paired):
    pair = paired(architecture)
    batch = pair.alignment.encode(TEXTS)
    expected, clean = logits(pair.post, batch), logits(pair.base, batch)
    undo = swap(pair.base, pair.post, list(parameter_groups(pair.base)))
    try:
        assert torch.equal(logits(pair.base, batch)[batch.real], expected[batch.real])
        assert weights_digest(pair.base) == pair.post_digest
        said = [
            bridge.original_model.generate(
                input_ids=batch.ids, attention_mask=batch.mask, max_new_tokens=4, do_sample=False,
                pad_token_id=0, eos_token_id=None,
            )
            for bridge in (pair.base, pair.post)
        ]  # fmt: skip
        assert torch.equal(*said)
    finally:
        undo()
    assert torch.equal(logits(pair.base, batch), clean)
    assert weights_digest(pair.base) == pair.base_digest


def test_gradients_reach_exactly_the_live_parameters(architecture, paired):
    pair = paired(architecture)
    batch = pair.alignment.encode(TEXTS[:1])
    pair.post(batch.ids, attention_mask=batch.mask, use_cache=False).square().sum().backward()
    try:
        for name, group in parameter_groups(pair.post).items():
            assert all(piece.grad is not None for piece in group.live), name
            if group.fused:
                assert group.canonical.grad is None, name
    finally:
        for group in parameter_groups(pair.post).values():
            for parameter in group.all:
                parameter.grad = None


def test_the_digest_is_that_of_the_plain_model(architecture, paired):
    pair = paired(architecture)
    assert weights_digest(plain(pair.base_name)) == weights_digest(pair.base) == pair.base_digest


@pytest.mark.parametrize("fused", ["gpt2", "gpt_neox", "phi3"])
def test_a_piece_left_changed_changes_the_digest(fused, written):
    pair = load_pair(written(fused, seed=1), written(fused, seed=2))
    group = next(g for g in parameter_groups(pair.base).values() if g.fused)
    group.live[1].data = group.live[1].data * 2
    assert weights_digest(pair.base) != pair.base_digest


def test_tied_embeddings_are_one_group_with_two_names(written):
    pair = load_pair(written("qwen2", seed=1, tied=True), written("qwen2", seed=2, tied=True))
    groups = parameter_groups(pair.base)
    assert groups["model.embed_tokens.weight"].aliases == ("lm_head.weight",)
    assert "lm_head.weight" not in groups
