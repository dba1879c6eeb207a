"""Edits are exact on every architecture: against laws and against plain Hugging Face modules."""

import pytest
import torch

from elicit.edits import (
    Ablate,
    Clamp,
    Edit,
    EditError,
    MaskAttention,
    Patch,
    ProjectOut,
    Steer,
    active,
    at,
    edited,
    last,
    marked,
    shape_of,
)
from elicit.sites import KINDS, Site, pattern, resid_mid, resid_post, resid_pre, v, z
from tests.checkpoints import ARCHITECTURES
from tests.edits.plain import (
    ROWS,
    changed_plain,
    logits_of,
    n_hooks,
    padded,
    plain_model,
    read,
)

LAYER = 1


def sites_of(model, *, patterns=True) -> list[Site]:
    shape = shape_of(model)
    whole = [
        Site(kind, LAYER)
        for kind in KINDS
        if not (kind == "resid_mid" and shape.parallel) and (patterns or kind != "pattern")
    ]
    heads = [Site(s.kind, LAYER, shape.heads(s.kind) - 1) for s in whole if s.has_heads]
    return whole + heads


def width_of(model, site) -> list[int]:
    shape = shape_of(model)
    if not site.has_heads:
        return [shape.d_model]
    return [shape.d_head] if site.head is not None else [shape.heads(site.kind), shape.d_head]


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_patched_with_itself_changes_in_no_bit(paired, architecture, side):
    model = paired(architecture).base
    ids, mask = padded(side=side)
    clean = logits_of(model, ids, mask)
    edits = []
    for site in sites_of(model):
        donor = read(model, site, ids, mask)
        if site.head is not None:
            donor = donor.select(1 if site.kind == "pattern" else 2, site.head)
        edits.append(Patch(site, donor))
    with edited(model, edits):
        assert torch.equal(logits_of(model, ids, mask), clean)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scale_0_changes_no_bit_and_scale_1_some(paired, architecture):
    model = paired(architecture).base
    ids, mask = padded()
    clean = logits_of(model, ids, mask)

    def edits(site, scale) -> list[Edit]:
        width = width_of(model, site)
        return [
            Patch(site, seeded(*width), scale=scale),
            Steer(site, seeded(*width), scale=scale),
            Clamp(site, seeded(*width), 3.0, scale=scale),
            ProjectOut(site, seeded(*width), scale=scale),
            Ablate(site, scale=scale),
            Ablate(site, "mean", seeded(*width), scale=scale),
        ]

    sites = sites_of(model, patterns=False)
    for scale in (0.0, torch.zeros(len(ids))):
        with edited(model, [edit for site in sites for edit in edits(site, scale)]):
            assert torch.equal(logits_of(model, ids, mask), clean)
    for i, site in enumerate(sites):
        edit = edits(site, 1.0)[i % 6]
        with edited(model, [edit]):
            assert not torch.equal(logits_of(model, ids, mask), clean), edit


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_edits_equal_hooks_on_plain_hugging_face_modules(paired, written, architecture):
    model, plain = paired(architecture).base, plain_model(written(architecture, seed=1))
    ids, mask = padded()
    tokens = mask.bool()
    for site in sites_of(model, patterns=False):
        vector = seeded(*width_of(model, site))

        def change(x, site=site, vector=vector):
            x, new = x.clone(), x.clone()
            target = new if site.head is None else new[:, :, site.head]
            target += 0.5 * (2 * vector - target)  # a patch half-way to twice the vector
            return torch.where(tokens.reshape(*tokens.shape, *[1] * (x.ndim - 2)), new, x)

        with changed_plain(plain, site.kind, site.layer, change):
            expected = logits_of(plain, ids, mask)
        with edited(model, [Patch(site, 2 * vector, scale=0.5)]):
            found = logits_of(model, ids, mask)
        assert torch.allclose(found[tokens], expected[tokens], atol=1e-5), site
        assert not torch.allclose(found[tokens], logits_of(model, ids, mask)[tokens], atol=1e-3)


@pytest.mark.parametrize("architecture", [a for a in ARCHITECTURES if a != "gpt_neox"])
def test_an_edit_of_resid_mid_edits_the_residual_stream_itself(paired, written, architecture):
    model, plain = paired(architecture).base, plain_model(written(architecture, seed=1))
    ids, mask = padded()
    vector = seeded(32)
    with changed_plain(plain, "resid_mid", LAYER, lambda x: x + vector * mask[..., None]):
        expected = logits_of(plain, ids, mask)
    with edited(model, [Steer(resid_mid(LAYER), vector)]):
        found = logits_of(model, ids, mask)
        assert torch.allclose(found[mask == 1], expected[mask == 1], atol=1e-5)
        seen = read(model, resid_mid(LAYER), ids, mask)
    clean = read(model, resid_mid(LAYER), ids, mask)
    assert torch.allclose((seen - clean)[mask == 1], vector.expand(int(mask.sum()), -1), atol=1e-5)
    # The bridge's own hook there reaches the MLP alone.
    hook = (resid_mid(LAYER).hook, lambda x, hook: x + vector * mask[..., None])
    with model.hooks(fwd_hooks=[hook]):
        naive = logits_of(model, ids, mask)
    assert not torch.allclose(naive[mask == 1], expected[mask == 1], atol=1e-2)


def test_resid_mid_sees_what_edits_before_it_wrote_also_in_other_blocks(paired):
    model = paired("llama").base
    ids, mask = padded()
    donor = seeded(32)
    with edited(model, [Patch(resid_mid(LAYER), donor)]):
        expected = logits_of(model, ids, mask)
    upstream = Steer(resid_pre(LAYER), seeded(32, seed=1))
    attention = Ablate(Site("attn_out", LAYER))
    mid = Patch(resid_mid(LAYER), donor)
    with edited(model, [mid, attention, upstream]):  # in the order of the model, not of the list
        assert torch.allclose(
            logits_of(model, ids, mask)[mask == 1], expected[mask == 1], atol=1e-5
        )
    with edited(model, [mid]), edited(model, [upstream, attention]):
        assert torch.allclose(
            logits_of(model, ids, mask)[mask == 1], expected[mask == 1], atol=1e-5
        )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_resid_post_is_resid_pre_and_what_both_components_add(paired, architecture):
    model = paired(architecture).base
    ids, mask = padded()
    pre, added, mlp, post = (
        read(model, Site(kind, LAYER), ids, mask)
        for kind in ("resid_pre", "attn_out", "mlp_out", "resid_post")
    )
    assert torch.allclose(post, pre + added + mlp, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_edit_at_a_position_changes_nothing_before_it(paired, architecture):
    model = paired(architecture).base
    ids = torch.tensor([ROWS[2]])
    clean = logits_of(model, ids)
    for site in sites_of(model, patterns=False):
        with edited(model, [Patch(site, seeded(*width_of(model, site)), where=at(4))]):
            found = logits_of(model, ids)
        assert torch.equal(found[:, :4], clean[:, :4]), site
        assert not torch.equal(found[:, 4:], clean[:, 4:]), site


@pytest.mark.parametrize("architecture", ["llama", "mistral", "gemma2", "qwen3", "phi3", "gpt2"])
def test_a_key_value_head_acts_on_its_own_query_heads(paired, architecture):
    model = paired(architecture).base
    ids = torch.tensor([ROWS[2]])
    shape = shape_of(model)
    group = shape.n_heads // shape.n_kv_heads
    for kv in range(shape.n_kv_heads):
        readers = range(kv * group, (kv + 1) * group)
        with edited(model, [Ablate(v(LAYER, kv))]):
            found = logits_of(model, ids)
        with edited(model, [Ablate(z(LAYER, head)) for head in readers]):
            assert torch.allclose(found, logits_of(model, ids), atol=1e-6)
        clean = read(model, pattern(LAYER), ids)
        with edited(model, [Steer(Site("k", LAYER, kv), seeded(shape.d_head))]):
            changed = (read(model, pattern(LAYER), ids) != clean).any(-1).any(-1)[0]
        assert changed.nonzero()[:, 0].tolist() == list(readers)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_zeroed_pattern_is_a_zeroed_head_and_a_donor_pattern_is_that_pattern(
    paired, architecture
):
    model = paired(architecture).base
    ids, mask = padded()
    with edited(model, [Ablate(pattern(LAYER, 2), where=last())]):
        found = logits_of(model, ids, mask)
    with edited(model, [Ablate(z(LAYER, 2), where=last())]):
        assert torch.equal(found, logits_of(model, ids, mask))
    other = torch.softmax(seeded(len(ids), 4, ids.shape[1], ids.shape[1]), -1)
    with edited(model, [Patch(pattern(LAYER), other)]):
        seen = read(model, pattern(LAYER), ids, mask)
    tokens = mask.bool()
    assert torch.equal(seen.transpose(1, 2)[tokens], other.transpose(1, 2)[tokens])
    with edited(model, [Patch(pattern(LAYER, 1), other[0, 1])]):
        seen = read(model, pattern(LAYER), ids, mask)
    assert torch.equal(seen[2, 1], other[0, 1])
    assert not torch.equal(seen[2, 0], other[0, 0])


def test_clamp_sets_the_projection_and_projecting_out_sets_it_to_0(paired):
    model = paired("llama").base
    ids, mask = padded()
    direction = seeded(32)
    unit = direction / direction.norm()
    for edit, value in [
        (Clamp(resid_post(LAYER), direction, 2.5), 2.5),
        (ProjectOut(resid_post(LAYER), 7 * direction), 0.0),
    ]:
        clean = read(model, resid_post(LAYER), ids, mask)
        with edited(model, [edit]):
            seen = read(model, resid_post(LAYER), ids, mask)
        along = (seen @ unit)[mask == 1]
        assert torch.allclose(along, torch.full_like(along, value), atol=1e-5)
        across = seen - (seen @ unit)[..., None] * unit
        assert torch.allclose(across, clean - (clean @ unit)[..., None] * unit, atol=1e-5)


@pytest.mark.parametrize("kind", ["resid_post", "z"])
def test_one_scale_a_row_is_one_run_a_scale(paired, kind):
    model = paired("llama").base
    ids = torch.tensor([ROWS[0]] * 4)
    site, doses = Site(kind, LAYER), torch.tensor([0.0, 0.3, 1.0, -2.0])
    width = width_of(model, site)
    for make in (
        lambda scale: Steer(site, seeded(*width), scale=scale),
        lambda scale: Patch(site, seeded(*width), scale=scale),
        lambda scale: Clamp(site, seeded(*width), 1.0, scale=scale),
    ):
        with edited(model, [make(doses)]):
            together = logits_of(model, ids)
        for i, dose in enumerate(doses.tolist()):
            with edited(model, [make(dose)]):
                assert torch.equal(logits_of(model, ids)[i], together[i])


@pytest.fixture(scope="module")
def half(written):
    """A pair in half precision, and one with attention that is not eager."""
    from elicit.pair import Loading, load_pair

    folders = written("llama", seed=1), written("llama", seed=2)
    return (
        load_pair(*folders, dtype=torch.bfloat16, check_parity=False),
        load_pair(*folders, loading=Loading(attn_implementation="sdpa")),
    )


def test_edits_are_exact_in_half_precision(half):
    model = half[0].base
    ids, mask = padded()
    clean = logits_of(model, ids, mask)
    assert clean.dtype == torch.bfloat16
    with edited(model, [Patch(s, read(model, s, ids, mask)) for s in sites_of(model)[:10]]):
        assert torch.equal(logits_of(model, ids, mask), clean)
    doses = torch.tensor([0.0, 0.3, 1.0, -2.1])
    same = torch.tensor([ROWS[0]] * 4)
    for make in (
        lambda scale: Steer(resid_mid(LAYER), seeded(32), scale=scale),
        lambda scale: Patch(resid_post(LAYER), seeded(32), scale=scale),
        lambda scale: Clamp(resid_post(LAYER), seeded(32), 1.0, scale=scale),
    ):
        with edited(model, [make(doses)]):
            together = logits_of(model, same)
        for i, dose in enumerate(doses.tolist()):
            with edited(model, [make(dose)]):
                assert torch.equal(logits_of(model, same)[i], together[i])


def test_edits_do_not_depend_on_the_kind_of_attention(half, paired):
    ids, mask = padded()
    edits = [
        MaskAttention((0, 2), dest=last(), src=at(0)),
        Ablate(pattern(1, 2), where=last()),
        Steer(Site("q", 1, 3), seeded(8), where=at(-1)),
    ]
    with edited(half[1].base, edits):
        found = logits_of(half[1].base, ids, mask)
    with edited(paired("llama").base, edits):
        expected = logits_of(paired("llama").base, ids, mask)
    assert torch.allclose(found[mask == 1], expected[mask == 1], atol=1e-5)


def test_one_donor_a_row_and_one_a_row_and_position_reach_their_own_rows(paired):
    model = paired("llama").base
    ids, mask = padded()
    donors, mine = seeded(4, 32), mask == 1
    for donor in (donors, donors[:, None].expand(4, ids.shape[1], 32)):
        with edited(model, [Patch(resid_post(LAYER), donor, rows=(1, 3))]):
            seen = read(model, resid_post(LAYER), ids, mask)
        clean = read(model, resid_post(LAYER), ids, mask)
        for row in range(4):
            expected = donors[row].expand(int(mine[row].sum()), 32) if row in (1, 3) else None
            own = seen[row][mine[row]]
            assert torch.equal(own, clean[row][mine[row]] if expected is None else expected)


def test_edits_at_one_site_are_made_in_the_order_given(paired):
    model = paired("llama").base
    ids, site = torch.tensor([ROWS[0]]), resid_post(LAYER)
    vector, donor = seeded(32), seeded(32, seed=1)

    def after(*edits):
        with edited(model, list(edits)):
            return read(model, site, ids)[0, 0]

    assert torch.equal(after(Patch(site, donor), Steer(site, vector)), donor + vector)
    assert torch.equal(after(Steer(site, vector), Patch(site, donor)), donor)
    with edited(model, [Patch(site, donor)]):  # an inner block comes after an outer one
        assert torch.equal(after(Steer(site, vector)), donor + vector)
        assert torch.equal(read(model, site, ids)[0, 0], donor)
    with edited(model, [Steer(site, vector)]):
        assert torch.equal(after(Patch(site, donor)), donor)
        read(model, site, ids)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_hook_is_left_after_a_block_nor_after_an_exception_in_it(paired, architecture):
    model = paired(architecture).base
    ids, mask = padded()
    clean, before = logits_of(model, ids, mask), n_hooks(model)
    edits = [Ablate(site) for site in sites_of(model)]
    with edited(model, edits):
        assert n_hooks(model) > before
        assert not torch.equal(logits_of(model, ids, mask), clean)
    assert n_hooks(model) == before
    with pytest.raises(ZeroDivisionError), edited(model, edits):
        _ = 1 / 0
    assert n_hooks(model) == before
    with pytest.raises(IndexError), edited(model, edits):
        logits_of(model, ids + 1000, mask)  # fails inside the model
    with pytest.raises(EditError, match="never made"), edited(model, edits):
        pass
    assert n_hooks(model) == before
    assert active(model) is None
    assert torch.equal(logits_of(model, ids, mask), clean)


def test_a_reset_of_other_hooks_leaves_the_edits_on(paired):
    model = paired("llama").base
    ids = torch.tensor([ROWS[0]])
    with edited(model, [Ablate(resid_post(LAYER))]):
        found = logits_of(model, ids)
        model.reset_hooks()
        assert torch.equal(logits_of(model, ids), found)


def test_edits_write_no_tensor_in_place(paired):
    model = paired("llama").base
    ids = torch.tensor([ROWS[0]])
    _, clean = model.run_with_cache(ids)
    kept = {name: tensor.clone() for name, tensor in clean.items()}
    with edited(model, [Ablate(Site(kind, 2)) for kind in KINDS]):
        _, cache = model.run_with_cache(ids)
    for name, tensor in cache.items():
        if name.startswith("blocks.1."):  # shares storage with what layer 2 edits
            assert torch.equal(tensor, kept[name]), name
    assert all(torch.equal(tensor, kept[name]) for name, tensor in clean.items())


def test_gradients_flow_through_every_edit(paired):
    model = paired("llama").base
    ids = torch.tensor([ROWS[0]] * 2)
    donor, vector, scale = seeded(32), seeded(32, seed=1), torch.tensor([0.0, 1.0])
    for tensor in (donor, vector, scale):
        tensor.requires_grad_()
    edits = [
        Patch(resid_pre(0), donor, scale=scale),
        Steer(resid_mid(1), vector),
        Clamp(resid_post(1), vector, 1.0, scale=0.5),
        Ablate(z(2, 1)),
        ProjectOut(resid_post(2), donor, scale=0.5),
    ]
    with edited(model, edits):
        model.original_model(input_ids=ids, use_cache=False).logits.square().mean().backward()
    assert donor.grad is not None and donor.grad.abs().sum() > 0
    assert vector.grad is not None and vector.grad.abs().sum() > 0
    assert scale.grad is not None and (scale.grad != 0).all()
    model.zero_grad()


def test_the_gradient_of_the_scale_is_the_slope_of_the_effect(paired):
    model = paired("llama").base
    ids = torch.tensor([ROWS[0]])
    vector = seeded(32)

    def metric(scale):
        with edited(model, [Steer(resid_post(1), vector, scale=scale, where=at(-1))]):
            out = model.original_model(input_ids=ids, use_cache=False).logits
        return out[0, -1, 7] - out[0, -1, 8]

    scale = torch.zeros(1, requires_grad=True)
    (slope,) = torch.autograd.grad(metric(scale), scale)
    with torch.no_grad():
        difference = (metric(1e-2) - metric(-1e-2)) / 2e-2
    assert torch.allclose(slope[0], difference, rtol=1e-2)


def test_a_donor_of_another_dtype_is_brought_to_the_activation(paired):
    model = paired("llama").base
    ids = torch.tensor([ROWS[0]])
    donor = seeded(32).double()
    with edited(model, [Patch(resid_post(LAYER), donor)]):
        seen = read(model, resid_post(LAYER), ids)
    assert seen.dtype == torch.float32
    assert torch.equal(seen[0, 0], donor.float())


def test_marks_name_single_tokens_of_single_rows(paired):
    model = paired("gpt2").base
    ids, mask = padded()
    marks = torch.zeros_like(ids).bool()
    marks[0, 4] = marks[2, 0] = marks[2, 6] = True
    site = resid_post(LAYER)
    clean = read(model, site, ids, mask)
    with edited(model, [Steer(site, seeded(32), where=marked(marks))]):
        assert torch.equal((read(model, site, ids, mask) != clean).any(-1), marks)
