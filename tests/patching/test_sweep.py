"""Sweeps agree with the one-cell loop, with plain models and with TransformerLens's patching."""

import warnings

import pytest
import torch

from elicit.patching import Contrast, PatchError, SlowSweepWarning, across, factorial, patch, within
from elicit.runs import Execution
from elicit.sites import KINDS, Site, SiteError, parse_site
from elicit.stats import Inference
from elicit.weights import grafted, part
from tests.capture import oracle
from tests.checkpoints import FAMILIES

FEW = Inference(n_resamples=100)
ALL = ("logit_diff", "log_prob", "probability", "kl")


def contrast_of(n=4, lengths=(7,), *, answers=1, seed=0, identical_start=0):
    """Random prompts with their corrupted siblings."""
    generator = torch.Generator().manual_seed(seed)

    def draw(k):
        return tuple(torch.randint(4, 60, (k,), generator=generator).tolist())

    clean = tuple(draw(lengths[i % len(lengths)]) for i in range(n))
    corrupted = tuple(
        (*row[:identical_start], *((t - 3) % 55 + 4 for t in row[identical_start:]))
        for row in clean
    )
    answer = tuple(draw(answers) for _ in range(n))
    wrong = tuple(((a[0] - 3) % 55 + 4, *a[1:]) for a in answer)
    return Contrast(
        clean=clean,
        corrupted=corrupted,
        answer=answer,
        wrong=wrong,
        id=tuple(f"p{i}" for i in range(n)),
        words=tuple(tuple(f"t{t}" for t in row) for row in clean),
    )


def names_of(architecture):
    skip = {"pattern", *(["resid_mid"] if architecture == "gpt_neox" else [])}
    return [kind for kind in KINDS if kind not in skip] + ["z.1.0", "k.1.1"]


def value(result, name):
    """An array of a result, or the values of an estimate."""
    found = getattr(result, name)
    return getattr(found, "value", found)


def same(one, other, atol=1e-5):
    for name in ("score", "host_score", "donor_score", "other_prompt", "noise"):
        a, b = value(one, name), value(other, name)
        torch.testing.assert_close(a, b, atol=atol, rtol=1e-5, equal_nan=True, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [*FAMILIES, "gpt_neox"])
def test_a_sweep_across_is_the_one_cell_loop(paired, architecture):
    pair, contrast = paired(architecture), contrast_of(n=3, lengths=(6, 6, 6))
    swap = across(sites=names_of(architecture), positions=[2, -1], metrics=("logit_diff", "kl"))
    fast = patch(pair, contrast, swap, inference=FEW)
    slow = patch(pair, contrast, swap, inference=FEW, engine="loop")
    same(fast, slow)
    assert fast.effect.value.abs().max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "direction"), [("gpt2", "noise"), ("gemma3_text", "denoise")]
)
def test_a_sweep_within_is_the_one_cell_loop(paired, architecture, direction):
    pair, contrast = paired(architecture), contrast_of(n=2, lengths=(3, 4), answers=2)
    swap = within(
        direction,
        model="post",
        sites=["resid_pre", "z.heads", "mlp_out"],
        metrics=("log_prob", "probability", "kl"),
    )
    options = {"widths": (1, 2), "inference": FEW}
    fast = patch(pair, contrast, swap, **options)
    same(fast, patch(pair, contrast, swap, engine="loop", **options))


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "olmo2"])
def test_a_cross_model_cell_is_what_plain_models_with_hooks_give(paired, architecture):
    pair, contrast = paired(architecture), contrast_of()
    sites = [Site("resid_post", 1), Site("z", 2, 3), Site("v", 0, 1), Site("mlp_out", 1)]
    grid = patch(
        pair, contrast, across("base_to_post", sites=sites, positions=[2, -1]), inference=FEW
    )
    base, post = oracle.plain(architecture, 1), oracle.plain(architecture, 2)
    scores = torch.zeros(len(sites), 2, len(contrast))
    for row in range(len(contrast)):
        ids = torch.tensor([contrast.clean[row]])
        given = (ids, torch.ones_like(ids), torch.arange(7)[None])
        _, donor = oracle.run(base, architecture, *given, read=[s.whole for s in sites])
        for i, site in enumerate(sites):
            for j, pos in enumerate((2, 6)):
                value = donor[site.whole][0, pos : pos + 1]
                value = value if site.head is None else value[:, site.head]
                put = [(site, 0, pos, pos + 1, value)]
                logits, _ = oracle.run(post, architecture, *given, put=put)
                end = logits[0, -1]
                scores[i, j, row] = end[contrast.answer[row][0]] - end[contrast.wrong[row][0]]
    expected = scores.mean(-1).double()
    torch.testing.assert_close(grid.score[0, 0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_sweeps_within_are_those_of_transformer_lens(paired, architecture):
    """Its resid_mid is left out: an edit of it does not reach the stream there."""
    from transformer_lens import patching as theirs

    pair, contrast = paired(architecture), contrast_of(n=2)
    model = pair.base
    clean, corrupted = torch.tensor(contrast.clean), torch.tensor(contrast.corrupted)
    answer = torch.tensor(contrast.answer)[:, 0]
    wrong = torch.tensor(contrast.wrong)[:, 0]

    def metric(logits):
        end = logits[:, -1]
        return (end.gather(1, answer[:, None]) - end.gather(1, wrong[:, None])).mean()

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, cache = model.run_with_cache(clean)
        for ours, function in (
            ("resid_pre", theirs.get_act_patch_resid_pre),
            ("attn_out", theirs.get_act_patch_attn_out),
            ("mlp_out", theirs.get_act_patch_mlp_out),
        ):
            expected = function(model, corrupted, cache, metric)
            grid = patch(pair, contrast, within(sites=[ours]), controls=(), inference=FEW)
            assert (grid.score[0, 0] - expected).abs().max() < 1e-5, ours
        by_head = theirs.get_act_patch_attn_head_out_all_pos(model, corrupted, cache, metric)
        grid = patch(
            pair, contrast, within(sites=["z.heads"], positions="all"), controls=(), inference=FEW
        )
        assert (grid.score[0, 0, :, 0].reshape_as(by_head) - by_head).abs().max() < 1e-5
        by_pos = theirs.get_act_patch_attn_head_out_by_pos(model, corrupted, cache, metric)
        grid = patch(pair, contrast, within(sites=["z.heads"]), controls=(), inference=FEW)
        shaped = grid.score[0, 0].unflatten(0, (by_pos.shape[0], -1)).transpose(1, 2)
        assert (shaped - by_pos).abs().max() < 1e-5


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox", "gemma2"])
def test_the_other_models_whole_stream_makes_the_stitched_model(paired, architecture):
    """Post's embedding and lower layers in base: by activations and by weights."""
    pair, contrast = paired(architecture), contrast_of(answers=2)
    ids = torch.tensor(
        [(*row, *a[:-1]) for row, a in zip(contrast.clean, contrast.answer, strict=True)]
    )
    found = factorial(pair, contrast, metric="log_prob", inference=FEW)
    for boundary in range(pair.n_layers + 1):
        names = ["embed", *(f"L{layer}" for layer in range(boundary))]
        with grafted(pair, part(pair, "+".join(names))) as stitched, torch.no_grad():
            hf = stitched.original_model
            logits = hf(input_ids=ids, use_cache=False).logits[:, -2:]
        picked = logits.log_softmax(-1).gather(-1, torch.tensor(contrast.answer)[..., None])
        expected = picked[..., 0].sum(-1).double().mean()
        tied = hf.config.tie_word_embeddings
        if not tied:  # tied: base's unembedding goes with post's embedding
            here = found.cell.value[boundary, 0, 1, 0, 0]
            torch.testing.assert_close(here, expected, atol=1e-5, rtol=1e-5)
    ends = found.cell.value[:, 0]
    torch.testing.assert_close(ends[-1, 1, 0], ends[-1, 1, 1], atol=0, rtol=0)


@pytest.mark.slow
def test_a_factorial_is_the_one_cell_loop(paired):
    pair, contrast = paired("qwen2"), contrast_of(lengths=(6, 8), answers=2)
    for positions in ("all", [0, -1]):
        options = {
            "positions": positions,
            "metric": "probability",
            "inference": FEW,
        }
        fast = factorial(pair, contrast, **options)
        slow = factorial(pair, contrast, engine="loop", **options)
        torch.testing.assert_close(fast.cell.value, slow.cell.value, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(fast.off_manifold, slow.off_manifold, atol=1e-6, rtol=1e-4)


def test_nothing_before_the_first_difference_has_an_effect(paired):
    pair = paired("mistral")
    contrast = contrast_of(identical_start=3)
    grid = patch(pair, contrast, within(sites=["resid_pre", "mlp_out"]), inference=FEW)
    assert not grid.effect.value[..., :3].any()
    assert grid.effect.value[..., 3:].any()


def test_the_last_mlp_matters_only_where_it_is_read(paired):
    pair = paired("qwen2")
    last = Site("mlp_out", pair.n_layers - 1)
    grid = patch(pair, contrast_of(), across(sites=[last]), controls=(), inference=FEW)
    assert not grid.effect.value[..., :-1].any()
    assert grid.effect.value[..., -1].all()


def test_everything_from_the_donor_gives_the_donor(paired):
    pair, contrast = paired("phi3"), contrast_of(answers=2)
    top = Site("resid_post", pair.n_layers - 1)
    grid = patch(
        pair,
        contrast,
        within(sites=["resid_pre.0", top], positions="all", metrics=ALL[1:]),
        controls=(),
        inference=FEW,
    )
    donor = grid.donor_score.value[:, None].expand(-1, 1)
    torch.testing.assert_close(grid.score[0, :, 0], donor, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_neither_batches_nor_chunks_change_a_number(paired):
    pair, contrast = paired("gemma2"), contrast_of(n=6, lengths=(6, 8))
    swap = within(sites=["resid_pre", "z.heads"])
    large = patch(pair, contrast, swap, inference=FEW)
    small = patch(pair, contrast, swap, inference=FEW, execution=Execution(max_tokens=17))
    for name in ("score", "noise", "host_score", "donor_score"):
        torch.testing.assert_close(value(large, name), value(small, name), atol=1e-5, rtol=1e-5)


def test_the_same_seed_gives_the_same_bits_and_another_seed_other_noise(paired):
    pair, contrast = paired("llama"), contrast_of()
    one, two, three = (
        patch(
            pair,
            contrast,
            within(sites=["resid_pre"]),
            inference=Inference(seed=seed, n_resamples=100),
        )
        for seed in (1, 1, 2)
    )
    assert torch.equal(one.score, two.score) and torch.equal(one.noise.value, two.noise.value)
    assert torch.equal(one.score, three.score) and not torch.equal(
        one.noise.value, three.noise.value
    )


def test_the_other_prompt_of_a_control_is_another_problems_donor(paired):
    """Swapping the donors of two problems by hand gives the control's numbers."""
    from dataclasses import replace

    pair, contrast = paired("llama"), contrast_of(n=2)
    swap = within(sites=["resid_pre", "z.heads"], metrics=["log_prob"])
    grid = patch(pair, contrast, swap, controls=["other_prompt"], inference=FEW)
    swapped = replace(contrast, clean=contrast.clean[::-1])
    by_hand = patch(pair, swapped, swap, controls=(), inference=FEW)
    torch.testing.assert_close(
        grid.other_prompt.value + grid.host_score.value[0], by_hand.score[0], atol=1e-6, rtol=1e-6
    )
    assert (grid.other_prompt.value - grid.effect.value[0]).abs().max() > 1e-2
    assert grid.noise.value.isnan().all()


def test_noise_is_as_long_as_the_donors_difference(paired):
    from elicit.capture import decompose, run_trunk
    from elicit.patching import prepare
    from elicit.patching._cells import noise_like
    from elicit.patching.plan import batches_of

    pair, contrast = paired("llama"), contrast_of()
    plan = prepare(pair, contrast, within(sites=["z.heads", "mlp_out"]), controls=())
    (batch,) = batches_of(plan)
    model = decompose(pair.base)
    host = run_trunk(model, batch.host, keep=plan.sites)
    donor = run_trunk(model, batch.donor, keep=plan.sites)
    sources = {site.whole: donor.value(site) for site in plan.sites}
    for site, noise in noise_like(plan, batch, host, sources).items():
        value = host.value(site)
        torch.testing.assert_close(
            (noise - value).norm(dim=-1),
            (sources[site] - value).norm(dim=-1),
            atol=1e-5,
            rtol=1e-4,
        )


def test_a_killed_sweep_goes_on_to_the_same_bytes(paired, tmp_path):
    from elicit.runs import RunDirectory

    pair, contrast = paired("llama"), contrast_of(n=6, lengths=(6, 8))
    swap, options = across(sites=["resid_pre"]), {"inference": Inference(n_resamples=100, seed=3)}

    class Killed(Exception):
        pass

    class Stop:
        """Dies in the middle."""

        seen = 0

        def start(self, total, what):
            pass

        def advance(self, n=1, what=None):
            self.seen += n
            if self.seen > 200:
                raise Killed

        def stop(self):
            pass

    def open_run(path):
        return RunDirectory.open(path, kind="patch", arguments={}, identity={})

    with pytest.raises(Killed), open_run(tmp_path / "a") as run:
        patch(pair, contrast, swap, execution=Execution(checkpoint=run, progress=Stop()), **options)
    with open_run(tmp_path / "a") as run:
        resumed = patch(pair, contrast, swap, execution=Execution(checkpoint=run), **options)
        assert run.n_read >= 1
    with open_run(tmp_path / "b") as run:
        straight = patch(pair, contrast, swap, execution=Execution(checkpoint=run), **options)
    for name in ("score", "noise", "p"):
        assert torch.equal(value(resumed, name), value(straight, name))
    assert torch.equal(resumed.effect.low, straight.effect.low)


def test_an_unknown_architecture_takes_the_slow_way_with_one_warning(paired, monkeypatch):
    pair, contrast = paired("llama"), contrast_of(n=2)
    swap = across(sites=["resid_pre"], positions="last")
    expected = patch(pair, contrast, swap, inference=FEW)
    monkeypatch.setattr(pair.base.original_model.config, "model_type", "mamba9")
    with pytest.warns(SlowSweepWarning, match="mamba9") as caught:
        slow = patch(pair, contrast, swap, inference=FEW)
    assert len(caught) == 1
    same(slow, expected)
    with pytest.warns(SlowSweepWarning):
        factorial(pair, contrast, inference=FEW)


def test_progress_reaches_exactly_its_total(paired):
    pair, contrast = paired("llama"), contrast_of()

    class Count:
        total = done = 0

        def start(self, total, what):
            self.total += total

        def advance(self, n=1, what=None):
            self.done += n

        def stop(self):
            pass

    for engine in ("lanes", "loop"):
        count = Count()
        patch(
            pair,
            contrast,
            within(),
            widths=(1, 2),
            engine=engine,
            execution=Execution(progress=count),
            inference=FEW,
        )
        assert count.done == count.total > 0


@pytest.fixture
def unchecked():
    """Types are not checked at run time, as for a user."""
    from jaxtyping import config

    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


BAD = [
    ({"sites": ["resid_prr"]}, SiteError, "did you mean 'resid_pre'"),
    ({"sites": [parse_site("resid_pre.9")]}, SiteError, "layers 0 to 2"),
    ({"sites": ["z.0.7"]}, SiteError, "heads 0 to 3"),
    ({"sites": ["k.0.3"]}, SiteError, "key/value heads 0 to 1"),
    ({"sites": []}, SiteError, "sites is empty"),
    ({"sites": ["pattern"]}, PatchError, "no position to sweep"),
    ({"positions": [7]}, PatchError, "prompt of problem 'p0' has 7 tokens"),
    ({"positions": [-8]}, PatchError, "-7 to 6"),
    ({"positions": [1, 1]}, PatchError, "once"),
    ({"positions": []}, PatchError, "no column"),
    ({"positions": "middle"}, PatchError, "positions is 'middle'"),
    ({"positions": {"a": [(0, 9)] * 4}}, PatchError, "nothing or padding"),
    ({"positions": {"a": [(0, 2)]}}, PatchError, "1 problems"),
    ({"metrics": ["loss"]}, PatchError, "'loss' is not known"),
    ({"widths": [9]}, PatchError, "1 to 3 layers"),
    ({"widths": [0]}, PatchError, "1 to 3 layers"),
    ({"controls": ["luck"]}, PatchError, "no control 'luck'"),
    ({"engine": "warp"}, PatchError, "no engine 'warp'"),
]


@pytest.mark.parametrize(("options", "kind", "told"), BAD, ids=[str(b[0]) for b in BAD])
@pytest.mark.parametrize("swap", [within, across])
def test_what_cannot_be_swept_is_refused_before_any_model_runs(
    paired, monkeypatch, unchecked, swap, options, kind, told
):
    pair = paired("llama")

    def ran(*args, **kwargs):
        raise AssertionError("a model ran")

    monkeypatch.setattr(type(pair.base.original_model), "forward", ran)
    where = {name: options[name] for name in options if name in ("sites", "positions", "metrics")}
    how = {name: options[name] for name in options if name not in where}
    with pytest.raises(kind, match=told):
        patch(pair, contrast_of(), swap(**where), **how)


def test_a_direction_that_does_not_exist_is_refused(unchecked):
    for swap in (within, across):
        with pytest.raises(PatchError, match="sideways"):
            swap("sideways")


def test_a_logit_difference_of_several_tokens_is_refused(paired):
    with pytest.raises(PatchError, match="single token|one token"):
        patch(paired("llama"), contrast_of(answers=2), across(metrics=["logit_diff"]))


def test_a_sweep_within_needs_corrupted_prompts(paired, unchecked):
    contrast = contrast_of()
    bare = Contrast(
        clean=contrast.clean,
        corrupted=None,
        answer=contrast.answer,
        wrong=None,
        id=contrast.id,
        words=contrast.words,
    )
    with pytest.raises(PatchError, match="no corrupted prompts"):
        patch(paired("llama"), bare, within())
    with pytest.raises(PatchError, match="no wrong answers"):
        patch(paired("llama"), bare, across())
    with pytest.raises(PatchError, match="'both'.*'base'.*'post'"):
        patch(paired("llama"), contrast, within(model="both"))


def test_a_donor_that_is_not_a_number_is_refused_by_name(paired):
    pair = paired("llama")
    weight = pair.post.blocks[1].mlp.original_component.down_proj.original_component.weight
    kept = weight.data
    try:
        weight.data = torch.full_like(kept, torch.nan)
        with pytest.raises(PatchError, match="donor's .* is NaN or infinite on problem 'p0'"):
            patch(pair, contrast_of(), across(sites=["mlp_out.1"]), inference=FEW)
    finally:
        weight.data = kept
