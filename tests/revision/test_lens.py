"""A lens after the last layer is the model itself, and no lens is read where it means nothing."""

import pytest
import torch

from elicit.capture import capture, unembed_of
from elicit.pair import hugging_face_model
from elicit.revision import Lens, LogitLens, RevisionError, TunedLens, lens_logits
from elicit.revision.lens import check_lens, normed
from elicit.sites import resid_post, resid_pre
from tests.checkpoints import ARCHITECTURES, D_MODEL, D_VOCAB, N_LAYERS

SITES = [resid_pre(0), *(resid_post(layer) for layer in range(N_LAYERS))]


def ids(n_rows=3, n_pos=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, D_VOCAB, (n_rows, n_pos), generator=generator)


def made(head, *, n_layers=N_LAYERS, d_model=D_MODEL, seed=0, size=0.1, dtype=torch.float32):
    """A lens with random maps, fitted for a head by its digest."""
    generator = torch.Generator().manual_seed(seed)
    return TunedLens(
        weight=size * torch.randn(n_layers, d_model, d_model, generator=generator, dtype=dtype),
        bias=size * torch.randn(n_layers, d_model, generator=generator, dtype=dtype),
        variant="affine",
        model="a model",
        head="its head",
        head_digest=head.digest(),
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_after_the_last_layer_the_logit_lens_is_the_model(paired, architecture):
    model = paired(architecture).base
    found = capture(model, ids(), sites=SITES, logits=True)
    read = lens_logits(
        LogitLens(), unembed_of(model), found.at[SITES[-1]], layer=N_LAYERS, n_layers=N_LAYERS
    )
    assert torch.equal(read, found.logits)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
@torch.no_grad()
def test_every_layer_is_read_as_transformer_lens_reads_it(paired, architecture):
    model = paired(architecture).base
    head = unembed_of(model)
    found = capture(model, ids(), sites=SITES)
    names = [site.hook for site in SITES]
    _, cache = model.run_with_cache(ids(), names_filter=names, prepend_bos=False)
    softcap = getattr(hugging_face_model(model).config, "final_logit_softcapping", None)
    for layer, site in enumerate(SITES):
        ours = lens_logits(LogitLens(), head, found.at[site], layer=layer, n_layers=N_LAYERS)
        theirs = model.unembed(model.ln_final(cache[site.hook]))
        if softcap is not None:
            # TransformerLens's own lens leaves the softcap out; the model's logits have it.
            theirs = torch.tanh(theirs / softcap) * softcap
        assert (ours - theirs).abs().max() < 1e-5 * max(1.0, theirs.abs().max())


@torch.no_grad()
def test_a_tuned_lens_adds_its_map_to_the_stream_before_the_head_reads_it(paired):
    model = paired("llama").base
    head = unembed_of(model)
    lens = made(head)
    resid = capture(model, ids(), sites=SITES).at[SITES[1]]
    # The form of Belrose et al.'s repository: unembed(h + translator(h)), translator nn.Linear.
    translator = torch.nn.Linear(D_MODEL, D_MODEL)
    translator.weight.copy_(lens.weight[1])
    translator.bias.copy_(lens.bias[1])
    theirs = model.unembed(model.ln_final(resid + translator(resid)))
    ours = lens_logits(lens, head, resid, layer=1, n_layers=N_LAYERS)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert not torch.allclose(ours, head.logits(resid), atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_lens_that_adds_nothing_is_the_logit_lens_bit_for_bit(paired, dtype):
    lens = made(unembed_of(paired("llama").base), size=0.0)
    resid = torch.randn(5, D_MODEL, generator=torch.Generator().manual_seed(1)).to(dtype)
    for layer in range(N_LAYERS):
        read = lens.state(resid, layer=layer)
        assert read.dtype == dtype
        assert torch.equal(read, LogitLens().state(resid, layer=layer))


def test_a_lens_in_float32_is_not_rounded_by_the_stream_it_reads(paired):
    lens = made(unembed_of(paired("llama").base))
    resid = torch.randn(5, D_MODEL, generator=torch.Generator().manual_seed(1)).bfloat16()
    exact = lens.state(resid.float(), layer=0)
    assert torch.equal(lens.state(resid, layer=0), exact.bfloat16())


def test_saved_and_loaded_a_lens_gives_the_same_states_and_bytes(paired, tmp_path):
    lens = made(unembed_of(paired("llama").base))
    lens.save(tmp_path / "a")
    found = TunedLens.load(tmp_path / "a")
    found.save(tmp_path / "b")
    resid = torch.randn(5, D_MODEL, generator=torch.Generator().manual_seed(1))
    assert torch.equal(found.state(resid, layer=1), lens.state(resid, layer=1))
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    # A row for every weight would be hundreds of millions for a model of usual size.
    assert len(found.to_frame()) == N_LAYERS * D_MODEL


def test_both_lenses_keep_the_protocol():
    assert isinstance(LogitLens(), Lens)


@torch.no_grad()
def test_the_norm_is_applied_as_often_as_was_asked(paired):
    head = unembed_of(paired("llama").base)
    state = torch.randn(4, D_MODEL, generator=torch.Generator().manual_seed(2))
    once = head.norm(state)
    assert torch.equal(normed(head, state, norm="none"), state)
    assert torch.equal(normed(head, state), once)
    assert torch.equal(normed(head, state, norm="twice"), head.norm(once))


def test_a_lens_of_another_head_is_refused_and_names_both_digests(paired):
    pair = paired("llama")
    base, post = unembed_of(pair.base), unembed_of(pair.post)
    lens = made(base)
    check_lens(lens, base, n_layers=N_LAYERS, name="base")
    with pytest.raises(RevisionError, match=rf"{base.digest()[:12]}.*{post.digest()[:12]}"):
        check_lens(lens, post, n_layers=N_LAYERS, name="post")


@pytest.mark.parametrize("shape", [{"n_layers": N_LAYERS + 1}, {"d_model": D_MODEL // 2}])
def test_a_lens_of_another_depth_or_width_is_refused(paired, shape):
    head = unembed_of(paired("llama").base)
    with pytest.raises(RevisionError, match="another model"):
        check_lens(made(head, **shape), head, n_layers=N_LAYERS, name="base")


@pytest.mark.parametrize(("layer", "d_model"), [(N_LAYERS, D_MODEL), (-1, D_MODEL), (0, 16)])
def test_a_layer_or_width_that_the_lens_does_not_have_is_refused(paired, layer, d_model):
    lens = made(unembed_of(paired("llama").base))
    with pytest.raises(RevisionError, match="another model"):
        lens.state(torch.zeros(2, d_model), layer=layer)
