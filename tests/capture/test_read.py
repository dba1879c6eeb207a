"""What is read is what plain Hugging Face computes, and reading changes nothing."""

import pytest
import torch

from elicit.capture import Captured, CaptureError, capture, plan_chunks, stream
from elicit.edits import EditError, MaskAttention, Patch, Steer, at, edited, last, marked
from elicit.pair import hugging_face_model, load_pair
from elicit.runs import Execution
from elicit.sites import (
    Site,
    SiteError,
    attn_out,
    k,
    mlp_out,
    pattern,
    q,
    resid_mid,
    resid_post,
    resid_pre,
    v,
    z,
)
from tests import checkpoints

PARALLEL = {"gpt_neox"}
ROWS = [[5, 6, 7, 8, 9, 10, 11], [12, 13, 14], [15, 16, 17, 18, 19, 20]]
LAST = checkpoints.N_LAYERS - 1


def plain_model(written, architecture):
    """The checkpoint behind `paired(architecture).base`, never wrapped in a bridge."""
    from transformers import AutoModelForCausalLM

    from elicit.pair._guards import guarded

    with guarded():
        return AutoModelForCausalLM.from_pretrained(
            written(architecture, seed=1), dtype=torch.float32, attn_implementation="eager"
        ).eval()


def inputs_of(encoded):
    return {
        "input_ids": encoded.ids,
        "attention_mask": encoded.mask,
        "position_ids": encoded.position_ids,
        "use_cache": False,
    }


def n_hooks(model) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def layers_of(model):
    """The blocks of a plain model."""
    inner = getattr(model, "transformer", None) or getattr(model, "gpt_neox", None) or model.model
    return getattr(inner, "h", None) or inner.layers


def taps(block):
    """Plain modules of a block: output projection, and query, key, value projections if split."""
    attn = getattr(block, "attn", None) or getattr(block, "attention", None) or block.self_attn
    for out in ("o_proj", "c_proj", "dense"):
        if hasattr(attn, out):
            break
    fused = next((n for n in ("c_attn", "query_key_value", "qkv_proj") if hasattr(attn, n)), None)
    return getattr(attn, out), (getattr(attn, fused) if fused else None), attn


def split_fused(architecture, fused, n_heads, n_kv, d_head):
    """Queries, keys and values out of a fused projection, as each architecture lays them out."""
    n_rows, n_pos = fused.shape[:2]
    if architecture == "gpt_neox":  # head by head: its query, its key, its value
        whole = fused.view(n_rows, n_pos, n_heads, 3, d_head)
        return whole[..., 0, :], whole[..., 1, :], whole[..., 2, :]
    sizes = [n_heads * d_head, n_kv * d_head, n_kv * d_head]
    pieces = fused.split(sizes, dim=-1)
    return tuple(piece.view(n_rows, n_pos, -1, d_head) for piece in pieces)


def close(ours, theirs, real, *, atol=1e-5):
    return torch.allclose(ours[real], theirs[real], atol=atol, rtol=1e-5)


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
@torch.no_grad()
def test_what_is_read_is_what_a_plain_unwrapped_model_computes(paired, written, architecture):
    pair, plain = paired(architecture), plain_model(written, architecture)
    encoded = pair.alignment.pad(ROWS, padding="left")
    real = encoded.real
    sites = [
        site(layer) for layer in range(3) for site in (resid_pre, resid_post, z, q, k, v, pattern)
    ]
    ours = capture(pair.base, encoded, sites=sites, logits=True)

    seen: dict[tuple[str, int], torch.Tensor] = {}
    for layer, block in enumerate(layers_of(plain)):
        out, fused, attn = taps(block)
        out.register_forward_pre_hook(lambda _m, a, n=layer: seen.__setitem__(("z", n), a[0]))
        if fused is not None:
            fused.register_forward_hook(lambda _m, _a, o, n=layer: seen.__setitem__(("qkv", n), o))
        else:
            for kind in "qkv":
                module = getattr(attn, f"{kind}_proj")
                module.register_forward_hook(
                    lambda _m, _a, o, n=layer, x=kind: seen.__setitem__((x, n), o)
                )
    theirs = plain(**inputs_of(encoded), output_hidden_states=True, output_attentions=True)

    for layer in range(3):
        assert close(ours.at[resid_pre(layer)], theirs.hidden_states[layer], real)
        if layer < LAST:  # the last of Hugging Face's hidden states is after the final norm
            assert close(ours.at[resid_post(layer)], theirs.hidden_states[layer + 1], real)
        assert close(ours.at[z(layer)].flatten(2), seen["z", layer], real)
        n_heads, d_head = ours.at[q(layer)].shape[2:]
        n_kv = ours.at[k(layer)].shape[2]
        if ("qkv", layer) in seen:
            queries, keys, values = split_fused(
                architecture, seen["qkv", layer], n_heads, n_kv, d_head
            )
        else:
            queries, keys, values = (
                seen[x, layer].unflatten(-1, (-1, d_head)) for x in ("q", "k", "v")
            )
        assert close(ours.at[q(layer)], queries, real)
        assert close(ours.at[k(layer)], keys, real)
        assert close(ours.at[v(layer)], values, real)
        by_dest = ours.at[pattern(layer)].transpose(1, 2)
        assert close(by_dest, theirs.attentions[layer].transpose(1, 2), real)
    assert close(ours.logits, theirs.logits, real, atol=1e-4)


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
@torch.no_grad()
def test_the_residual_stream_is_bit_for_bit_the_wrapped_models_hidden_states(paired, architecture):
    pair = paired(architecture)
    encoded = pair.alignment.pad(ROWS)
    model = hugging_face_model(pair.base)
    theirs = model(**inputs_of(encoded), output_hidden_states=True).hidden_states
    ours = capture(pair.base, encoded, sites=[resid_pre(n) for n in range(3)] + [resid_post(1)])
    for n in range(3):
        assert torch.equal(ours.at[resid_pre(n)], theirs[n])
    assert torch.equal(ours.at[resid_post(1)], theirs[2])


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
@torch.no_grad()
def test_a_layer_leaves_what_entered_it_plus_what_attention_and_mlp_add(paired, architecture):
    pair = paired(architecture)
    encoded = pair.alignment.pad(ROWS, padding="right")
    kinds = [resid_pre, attn_out, mlp_out, resid_post]
    parallel = architecture in PARALLEL
    kinds += [] if parallel else [resid_mid]
    at = capture(pair.post, encoded, sites=[kind(n) for n in range(3) for kind in kinds]).at
    for n in range(3):
        before, attn, mlp = at[resid_pre(n)], at[attn_out(n)], at[mlp_out(n)]
        assert torch.allclose(before + attn + mlp, at[resid_post(n)], atol=1e-5)
        if not parallel:
            assert torch.equal(at[resid_mid(n)], before + attn)
            assert torch.equal(at[resid_mid(n)] + mlp, at[resid_post(n)])


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
@torch.no_grad()
def test_padding_on_either_side_leaves_the_tokens_alike(paired, architecture):
    pair = paired(architecture)
    sites = [kind(n) for n in range(3) for kind in (resid_post, z, k, attn_out)]
    read = {}
    for padding in ("left", "right"):
        encoded = pair.alignment.pad(ROWS, padding=padding)
        at = capture(pair.base, encoded, sites=[*sites, pattern(1)]).at
        read[padding] = (encoded.real, at)
    for site in sites:
        left, right = (at[site][real] for real, at in read.values())
        assert torch.allclose(left, right, atol=1e-5)
    (_, left), (_, right) = read.values()
    for row, length in enumerate(map(len, ROWS)):
        assert torch.allclose(
            left[pattern(1)][row, :, -length:, -length:],
            right[pattern(1)][row, :, :length, :length],
            atol=1e-5,
        )


@torch.no_grad()
def test_keys_and_values_have_the_key_value_heads_and_a_head_is_a_slice(paired):
    pair = paired("qwen3")
    encoded = pair.alignment.pad(ROWS)
    wholes = [z(1), q(1), k(1), v(1), pattern(1)]
    heads = [Site(site.kind, 1, 1) for site in wholes]
    both = capture(pair.base, encoded, sites=[*wholes, *heads]).at
    alone = capture(pair.base, encoded, sites=heads).at
    assert [both[site].shape[2] for site in (q(1), k(1), v(1))] == [4, 2, 2]
    for whole, head in zip(wholes, heads, strict=True):
        expected = both[whole].select(1 if whole.kind == "pattern" else 2, 1)
        assert torch.equal(both[head], expected)
        assert torch.equal(alone[head], expected)


@torch.no_grad()
def test_only_what_is_asked_for_is_kept_and_logits_only_when_asked(paired):
    pair = paired("gpt2")
    encoded = pair.alignment.pad(ROWS)
    unembedded = []
    pair.base.unembed.register_forward_hook(lambda *_: unembedded.append(1))
    try:
        found = capture(pair.base, encoded, sites=[resid_post(LAST), z(0, 1)])
        assert found.logits is None
        assert not unembedded
        assert list(found.at) == [resid_post(LAST), z(0, 1)]
        mid = capture(pair.base, encoded, sites=[resid_mid(1)])
        assert list(mid.at) == [resid_mid(1)]
        found = capture(pair.base, encoded, sites=[], logits=True)
        assert len(unembedded) == 1
    finally:
        pair.base.unembed._forward_hooks.clear()
    expected = hugging_face_model(pair.base)(**inputs_of(encoded)).logits
    assert torch.equal(found.logits, expected)


@pytest.mark.parametrize(
    ("site", "begun", "finished"),
    [(resid_pre(0), 1, 0), (mlp_out(0), 1, 1), (resid_post(1), 2, 2), (z(2), 3, 2)],
)
@torch.no_grad()
def test_layers_above_the_last_site_do_not_run(paired, site, begun, finished):
    pair = paired("llama")
    encoded = pair.alignment.pad(ROWS)
    before = hugging_face_model(pair.base)(**inputs_of(encoded)).logits
    entered, left = [], []
    handles = [
        block.register_forward_pre_hook(lambda *_: entered.append(1)) for block in pair.base.blocks
    ]
    mlps = [block.mlp for block in pair.base.blocks]
    handles += [mlp.register_forward_hook(lambda *_: left.append(1)) for mlp in mlps]
    try:
        capture(pair.base, encoded, sites=[site])
    finally:
        for handle in handles:
            handle.remove()
    assert len(entered) == begun
    # Nor does the rest of the site's own layer.
    assert len(left) == finished
    after = hugging_face_model(pair.base)(**inputs_of(encoded)).logits
    assert torch.equal(before, after)


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
@torch.no_grad()
def test_capture_leaves_no_hook_also_after_an_exception(paired, architecture):
    model = paired(architecture).base
    encoded = paired(architecture).alignment.pad(ROWS)
    before = n_hooks(model)
    capture(model, encoded, sites=[z(0), resid_post(1)])
    capture(model, encoded, sites=[z(0), resid_post(2)], logits=True)
    assert n_hooks(model) == before

    def broken(*_):
        raise ZeroDivisionError

    handle = model.blocks[1].register_forward_pre_hook(broken)
    try:
        with pytest.raises(ZeroDivisionError):
            capture(model, encoded, sites=[z(0), resid_post(2)])
    finally:
        handle.remove()
    with pytest.raises(SiteError):
        capture(model, encoded, sites=[resid_pre(99)])
    assert n_hooks(model) == before


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
@torch.no_grad()
def test_rows_read_in_chunks_are_the_rows_read_at_once(paired, architecture):
    pair = paired(architecture)
    encoded = pair.alignment.pad(ROWS, padding="left")
    sites = [resid_post(0), z(1), k(1, 1), pattern(1), mlp_out(2)]
    whole = capture(pair.base, encoded, sites=sites, logits=True)
    for max_tokens in (1, 14, 21, 1000):
        parts = capture(pair.base, encoded, sites=sites, logits=True, max_tokens=max_tokens)
        assert list(parts.at) == list(whole.at)
        for site in sites:
            assert torch.allclose(parts.at[site], whole.at[site], atol=1e-5)
        assert torch.allclose(parts.logits, whole.logits, atol=1e-4)


@torch.no_grad()
def test_what_is_kept_cannot_be_changed_by_a_later_hook(paired):
    pair = paired("llama")
    encoded = pair.alignment.pad(ROWS)
    sites = [resid_pre(1), resid_post(0), z(1), z(1, 2), attn_out(1)]
    clean = capture(pair.base, encoded, sites=sites)

    def spoil(_module, _args, output):
        value = output[0] if isinstance(output, tuple) else output
        value.zero_()

    def spoil_input(_module, args, kwargs):
        (args[0] if args else kwargs["hidden_states"]).zero_()

    block, attn = pair.base.blocks[1], pair.base.blocks[1].attn
    handles = [
        attn.o.register_forward_hook(spoil),  # after z and before attn_out
        block.mlp.register_forward_hook(spoil),  # the residual stream goes on in place
        pair.base.blocks[2].register_forward_pre_hook(spoil_input, with_kwargs=True),
    ]
    try:
        found = capture(pair.base, encoded, sites=[*sites, resid_post(2)])
    finally:
        for handle in handles:
            handle.remove()
    for site in (resid_pre(1), resid_post(0), z(1), z(1, 2)):
        assert torch.equal(found.at[site], clean.at[site])
    assert not found.at[attn_out(1)].any()


@pytest.mark.parametrize(
    "site", [resid_pre(1), resid_mid(1), resid_post(1), attn_out(1), mlp_out(1), z(1), k(1)]
)
@torch.no_grad()
def test_under_another_hook_the_value_it_left_is_read(paired, site):
    pair = paired("llama")
    encoded = pair.alignment.pad(ROWS)
    model = pair.base
    written_at = attn_out(1) if site.kind == "resid_mid" else site
    clean = capture(model, encoded, sites=[site]).at[site]
    handle = model.hook_dict[written_at.hook].register_forward_hook(lambda _m, _a, o: o + 1)
    try:
        changed = capture(model, encoded, sites=[site]).at[site]
    finally:
        handle.remove()
    assert torch.allclose(changed, clean + 1, atol=1e-6)


@torch.no_grad()
def test_a_hook_on_the_block_itself_is_seen_as_the_next_layer_sees_it(paired):
    pair = paired("gemma2")
    encoded = pair.alignment.pad(ROWS)
    handle = pair.base.blocks[0].register_forward_hook(lambda _m, _a, o: o + 3)
    try:
        at = capture(pair.base, encoded, sites=[resid_post(0), resid_pre(1)]).at
    finally:
        handle.remove()
    assert torch.equal(at[resid_post(0)], at[resid_pre(1)])


KINDS = [resid_pre, resid_mid, resid_post, attn_out, mlp_out, z, q, k, v]
PLACES = [
    (architecture, kind)
    for architecture in checkpoints.ARCHITECTURES
    for kind in KINDS
    if kind is not resid_mid or architecture not in PARALLEL
]


@pytest.mark.parametrize(("architecture", "kind"), PLACES)
@torch.no_grad()
def test_inside_edits_the_edited_value_is_read(paired, architecture, kind):
    pair, site = paired(architecture), kind(1)
    encoded = pair.alignment.pad(ROWS)
    real = encoded.real
    clean = capture(pair.base, encoded, sites=[site]).at[site]
    vector = torch.randn(clean.shape[2:], generator=torch.Generator().manual_seed(0))
    with edited(pair.base, [Steer(site, vector=vector, scale=2.0)]):
        steered = capture(pair.base, encoded, sites=[site], logits=True)
        stopped = capture(pair.base, encoded, sites=[site]).at[site]
    expected = clean + 2.0 * vector
    assert torch.allclose(steered.at[site][real], expected[real], atol=1e-5)
    assert torch.equal(stopped, steered.at[site])
    donor = torch.roll(clean, 1, 0)
    with edited(pair.base, [Patch(site, donor=donor, where=last())]):
        patched = capture(pair.base, encoded, sites=[site]).at[site]
    # Left padding: the last column is every row's last token.
    assert torch.allclose(patched[:, -1], donor[:, -1], atol=1e-5)
    assert torch.allclose(patched[:, :-1][real[:, :-1]], clean[:, :-1][real[:, :-1]], atol=1e-6)


@torch.no_grad()
def test_an_edit_above_the_last_site_is_told_to_be_unmade(paired):
    pair = paired("qwen2")
    steer = Steer(resid_post(2), vector=torch.ones(checkpoints.D_MODEL))
    with pytest.raises(EditError, match="never made"), edited(pair.base, [steer]):
        capture(pair.base, pair.alignment.pad(ROWS), sites=[resid_post(0)])


@torch.no_grad()
def test_each_capture_is_a_run_of_its_own_also_of_a_text_that_goes_on(paired):
    pair = paired("qwen2")
    steer = Steer(resid_post(0), vector=torch.ones(checkpoints.D_MODEL), where=last())
    long, site = torch.tensor([[5, 6, 7, 8]]), resid_post(0)
    with edited(pair.base, [steer]):
        capture(pair.base, long[:, :2], sites=[site])
        second = capture(pair.base, long, sites=[site]).at[site]
    with edited(pair.base, [steer]):
        alone = capture(pair.base, long, sites=[site]).at[site]
    assert torch.equal(second, alone)


def test_edits_of_single_rows_are_refused_in_chunks_and_others_are_made_in_each(paired):
    pair = paired("llama")
    encoded, ones = pair.alignment.pad(ROWS), torch.ones(checkpoints.D_MODEL)
    site = resid_post(0)
    marks = torch.zeros_like(encoded.mask, dtype=torch.bool)
    marks[1, -1] = True
    by_row = [
        Steer(site, vector=ones, rows=(1,)),
        Steer(site, vector=ones, scale=torch.tensor([1.0, 2.0, 3.0])),
        Steer(site, vector=ones.expand(3, -1)),
        Steer(site, vector=ones, where=marked(marks)),
        MaskAttention(layers=(0,), dest=last(), src=at(0), rows=(1,)),
    ]
    for edit in by_row:
        with pytest.raises(CaptureError, match="single rows"), edited(pair.base, [edit]):
            capture(pair.base, encoded, sites=[site], max_tokens=7)
        with pytest.raises(CaptureError, match="single rows"), edited(pair.base, [edit]):
            next(stream(pair.base, ROWS, sites=[site], pad_id=0))
        with edited(pair.base, [edit]):
            capture(pair.base, encoded, sites=[site])
    heads = Steer(z(0), vector=torch.ones(4, 8))
    with edited(pair.base, [Steer(site, vector=ones), heads]):
        whole = capture(pair.base, encoded, sites=[site]).at[site]
        parts = capture(pair.base, encoded, sites=[site], max_tokens=7).at[site]
        rows = {
            row: chunk.captured.at[site][place][chunk.encoded.real[place]]
            for chunk in stream(
                pair.base, ROWS, sites=[site], pad_id=0, execution=Execution(max_tokens=7)
            )
            for place, row in enumerate(chunk.rows)
        }
    assert torch.allclose(whole, parts, atol=1e-5)
    for row, values in rows.items():
        assert torch.allclose(values, whole[row][encoded.real[row]], atol=1e-5)


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
def test_gradients_at_a_read_site_are_those_of_adding_a_vector_there(paired, architecture):
    pair = paired(architecture)
    encoded = pair.alignment.pad(ROWS[:1])
    sites = [resid_pre(1), resid_post(1), attn_out(1), mlp_out(1), z(1), k(1), v(1)]
    found = capture(pair.base, encoded, sites=sites, logits=True)
    target = found.logits[0, -1, 5]
    grads = torch.autograd.grad(target, [found.at[site] for site in sites])
    plain = hugging_face_model(pair.base)
    for site, grad in zip(sites, grads, strict=True):
        shift = torch.zeros_like(grad.flatten(2)).requires_grad_()
        point = pair.base.hook_dict[site.hook]
        handle = point.register_forward_hook(lambda _m, _a, o, s=shift: o + s)
        try:
            logit = plain(**inputs_of(encoded)).logits[0, -1, 5]
        finally:
            handle.remove()
        (expected,) = torch.autograd.grad(logit, shift)
        assert expected.abs().max() > 0
        assert torch.allclose(grad.flatten(2), expected, atol=1e-5, rtol=1e-4)


def test_gradients_reach_single_heads_and_change_no_value(paired):
    pair = paired("llama")
    encoded = pair.alignment.pad(ROWS)
    sites = [z(1, 0), z(1, 2), z(1), pattern(2, 3), resid_mid(0)]
    found = capture(pair.base, encoded, sites=sites, logits=True)
    with torch.no_grad():
        plain = capture(pair.base, encoded, sites=sites, logits=True)
    assert torch.equal(found.logits, plain.logits)
    for site in sites:
        assert torch.equal(found.at[site], plain.at[site])
        assert found.at[site].requires_grad
        assert not plain.at[site].requires_grad
    total = found.logits[encoded.real].square().sum()
    whole, first, third = torch.autograd.grad(
        total, [found.at[z(1)], found.at[z(1, 0)], found.at[z(1, 2)]]
    )
    assert torch.equal(whole[:, :, 0], first)
    assert torch.equal(whole[:, :, 2], third)


def test_what_a_model_does_not_have_is_refused_before_anything_runs(paired, monkeypatch):
    pair = paired("gpt_neox")
    encoded = pair.alignment.pad(ROWS)
    ran = []
    handle = pair.base.blocks[0].register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        with pytest.raises(SiteError, match=r"resid_pre\.3 .* layers 0 to 2"):
            capture(pair.base, encoded, sites=[resid_pre(3)])
        with pytest.raises(SiteError, match=r"z\.0\.4 .* heads 0 to 3"):
            capture(pair.base, encoded, sites=[z(0, 4)])
        with pytest.raises(SiteError, match="side by side"):
            capture(pair.base, encoded, sites=[resid_mid(0)])
        with pytest.raises(CaptureError, match="nothing to read"):
            capture(pair.base, encoded, sites=[])
        with pytest.raises(CaptureError, match="max_tokens is 0"):
            capture(pair.base, encoded, sites=[z(0)], max_tokens=0)
        with pytest.raises(CaptureError, match="token id 64 .* ids 0 to 63"):
            capture(pair.base, torch.tensor([[1, 64]]), sites=[z(0)])
        with pytest.raises(CaptureError, match="token id -1 "):
            capture(pair.base, torch.tensor([[1, -1]]), sites=[z(0)])
        with pytest.raises(CaptureError, match="position 128 .* positions 0 to 127"):
            capture(pair.base, torch.full((1, 129), 5), sites=[z(0)])
        with pytest.raises(CaptureError, match="at least one token"):
            capture(pair.base, torch.zeros(0, 4, dtype=torch.long), sites=[z(0)])
        with pytest.raises(CaptureError, match="row 1 has no token"):
            stream(pair.base, [[5], []], sites=[z(0)], pad_id=0)
        with pytest.raises(CaptureError, match="no rows"):
            stream(pair.base, [], sites=[z(0)], pad_id=0)
        with pytest.raises(SiteError, match="layers 0 to 2"):
            stream(pair.base, ROWS, sites=[z(7)], pad_id=0)
        with pytest.raises(CaptureError, match="position 128"):
            stream(pair.base, [[5] * 129], sites=[z(0)], pad_id=0)
    finally:
        handle.remove()
    assert not ran
    heads = paired("llama")
    with pytest.raises(SiteError, match=r"k\.0\.2 .* key/value heads 0 to 1"):
        capture(heads.base, encoded, sites=[k(0, 2)])
    monkeypatch.setattr(Site, "hook", "blocks.0.attn.hook_nowhere")
    with pytest.raises(SiteError, match="no such hook point"):
        capture(pair.base, encoded, sites=[z(0)])


@torch.no_grad()
def test_a_site_that_the_forward_does_not_pass_is_an_error_and_no_empty_result(paired):
    pair = paired("llama")
    encoded = pair.alignment.pad(ROWS)
    attn = pair.base.blocks[1].attn
    kept = attn.__dict__.get("forward")
    attn.__dict__["forward"] = lambda hidden_states, *_a, **_k: (hidden_states, None)
    try:
        with pytest.raises(CaptureError, match=r"without passing z\.1"):
            capture(pair.base, encoded, sites=[z(0), z(1)])
    finally:
        attn.__dict__.pop("forward")
        if kept is not None:
            attn.__dict__["forward"] = kept


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
@torch.no_grad()
def test_in_bfloat16_the_parts_still_add_up_bit_for_bit(written, architecture):
    pair = load_pair(
        written(architecture, seed=1), written(architecture, seed=2), dtype=torch.bfloat16
    )
    encoded = pair.alignment.pad(ROWS)
    at = capture(
        pair.base,
        encoded,
        sites=[resid_pre(1), attn_out(1), resid_mid(1), mlp_out(1), resid_post(1)],
    ).at
    assert at[resid_mid(1)].dtype == torch.bfloat16
    assert torch.equal(at[resid_mid(1)], at[resid_pre(1)] + at[attn_out(1)])
    assert torch.equal(at[resid_post(1)], at[resid_mid(1)] + at[mlp_out(1)])


@torch.no_grad()
def test_token_ids_without_a_mask_are_all_tokens(paired):
    pair = paired("mistral")
    ids = torch.tensor([ROWS[0], ROWS[0][::-1]])
    bare = capture(pair.base, ids, sites=[resid_post(2)])
    full = capture(pair.base, pair.alignment.pad(ids.tolist()), sites=[resid_post(2)])
    assert isinstance(bare, Captured)
    assert torch.equal(bare.at[resid_post(2)], full.at[resid_post(2)])


@pytest.mark.parametrize("padding", ["left", "right"])
def test_a_stream_gives_every_row_once_with_the_values_of_the_row_alone(paired, padding):
    pair = paired("gemma3_text")
    generator = torch.Generator().manual_seed(0)
    lengths = [3, 9, 1, 5, 9, 2, 7, 4]
    rows = [torch.randint(4, 60, (n,), generator=generator).tolist() for n in lengths]
    told = []

    class Watch:
        def start(self, total, what):
            told.append(total)

        def advance(self, n=1, what=None):
            told.append(n)

        def stop(self):
            told.append("stop")

    seen = []
    sites = [resid_post(2), z(0, 3)]
    chunks = stream(
        pair.base,
        rows,
        sites=sites,
        pad_id=0,
        execution=Execution(max_tokens=18, progress=Watch()),
        padding=padding,
    )
    for chunk in chunks:
        assert chunk.encoded.ids.numel() <= 18
        for place, row in enumerate(chunk.rows):
            real = chunk.encoded.real[place]
            assert chunk.encoded.ids[place][real].tolist() == rows[row]
            with torch.no_grad():
                alone = capture(pair.base, torch.tensor([rows[row]]), sites=sites)
            for site in sites:
                value = chunk.captured.at[site]
                assert not value.requires_grad
                assert torch.allclose(value[place][real], alone.at[site][0], atol=1e-5)
        seen += chunk.rows
    assert sorted(seen) == list(range(len(rows)))
    assert told[0] == sum(told[1:-1]) == len(rows)
    assert told[-1] == "stop"


def test_a_stream_that_is_left_early_says_so_and_leaves_no_hook(paired):
    pair = paired("llama")
    before = n_hooks(pair.base)
    chunks = stream(
        pair.base, ROWS, sites=[resid_post(0)], pad_id=0, execution=Execution(max_tokens=7)
    )
    next(chunks)
    assert torch.is_grad_enabled()
    assert n_hooks(pair.base) == before
    chunks.close()


def test_chunks_hold_like_lengths_and_no_more_than_asked():
    chunks = plan_chunks([3, 9, 1, 5, 9, 2, 7, 4], 18)
    assert chunks == [[1, 4], [6, 3], [7, 0, 5, 2]]
    assert plan_chunks([30, 2], 10) == [[0], [1]]
    assert sorted(sum(plan_chunks([1] * 10, 4), [])) == list(range(10))
