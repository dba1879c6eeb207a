"""What a sweep says may be staked on: no claim without a gap, a place, or a control."""

import pytest
import torch

from elicit.edits import Ablate, edited
from elicit.page.patching.text import finding, split_sentence
from elicit.pair import load_pair
from elicit.patching import Contrast, PatchError, across, factorial, patch, within
from elicit.runs import Execution
from elicit.sites import resid_mid, resid_post
from elicit.stats import Inference
from tests.patching.test_sweep import contrast_of

FEW = {"inference": Inference(n_resamples=200)}


@pytest.fixture(scope="module")
def embedding_only(tmp_path_factory):
    """A pair that differs in the embedding alone."""
    from tests import checkpoints

    def edit(model):
        weight = model.model.embed_tokens.weight
        weight += torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))

    root = tmp_path_factory.mktemp("embedding")
    base = checkpoints.write(root / "base", "llama", seed=1, tied=False)
    post = checkpoints.write(root / "post", "llama", seed=1, tied=False, edit=edit)
    return load_pair(base, post)


def test_a_changed_embedding_is_not_taken_for_layer_0(embedding_only):
    contrast = contrast_of(n=8)
    alone = patch(embedding_only, contrast, across(sites=["resid_post"], positions="last"), **FEW)
    assert alone.step.value[0, 0].isnan().all()
    assert alone.peak() is None or alone.peak().layer != 0
    beside = patch(
        embedding_only,
        contrast,
        across(sites=["resid_pre.0", "resid_post"], positions="all"),
        **FEW,
    )
    if beside.gap_clear[0]:
        assert beside.peak_layer == -1
    assert "layers can read" not in split_sentence(factorial(embedding_only, contrast, **FEW))


def test_all_positions_of_the_stream_are_the_stitched_model_also_in_long_answers(paired):
    pair, contrast = paired("llama"), contrast_of(answers=3)
    grid = patch(
        pair, contrast, across(sites=["resid_pre"], positions="all", metrics=["log_prob"]), **FEW
    )
    cube = factorial(pair, contrast, metric="log_prob", boundaries=range(pair.n_layers), **FEW)
    torch.testing.assert_close(grid.score[0, 0, :, 0], cube.cell.value[:, 0, 1, 0, 0])


def test_a_span_named_all_is_a_span(paired):
    pair, contrast = paired("llama"), contrast_of()
    first = {"all": [(0, 1)] * len(contrast)}
    named = factorial(pair, contrast, positions=first, **FEW)
    place = factorial(pair, contrast, positions=[0], **FEW)
    whole = factorial(pair, contrast, **FEW)
    assert torch.equal(named.cell.value, place.cell.value)
    assert not torch.allclose(named.cell.value, whole.cell.value)


@pytest.mark.slow
def test_the_other_prompt_does_not_depend_on_batches(paired):
    pair, contrast = paired("llama"), contrast_of(n=7, lengths=(6,))
    options = {"controls": ["other_prompt"], **FEW}
    large, *others = (
        patch(
            pair,
            contrast,
            within(sites=["resid_pre"]),
            execution=Execution(max_tokens=n),
            **options,
        )
        for n in (8192, 40, 13, 1)
    )
    for small in others:
        torch.testing.assert_close(
            small.other_prompt.value,
            large.other_prompt.value,
            atol=1e-5,
            rtol=1e-5,
            equal_nan=False,
        )


def test_a_control_that_cannot_be_run_is_told(paired):
    pair, contrast = paired("llama"), contrast_of(n=3, lengths=(6, 6, 7))
    with pytest.warns(UserWarning, match="other_prompt control is not run"):
        grid = patch(pair, contrast, within(), **FEW)
    assert grid.other_prompt.value.isnan().all() and not grid.noise.value.isnan().any()


def test_a_gap_within_rounding_is_no_gap(paired):
    from elicit.patching.conclusion import conclude_grid
    from elicit.patching.values import SweepValues
    from elicit.sites import resid_pre

    contrast = contrast_of(n=12)
    host = torch.zeros(1, 12, dtype=torch.float64)
    values = SweepValues(
        sites=(resid_pre(0),),
        pos=("all",),
        metric=("logit_diff",),
        width=(1,),
        host=host,
        donor=host + 1e-6,
        patched=(host + 1e-6)[None, :, None, None],
        resolution=torch.tensor([1e-5], dtype=torch.float64),
    )
    grid = conclude_grid(
        values, contrast=contrast, swap=across(), **FEW,
    )  # fmt: skip
    assert not grid.gap_clear.any() and not grid.gap.value.any()
    assert grid.share.value.isnan().all() and not grid.effect.value.any()
    assert grid.peak_layer is None
    assert "no difference to locate" in finding(grid)


@pytest.mark.slow
def test_models_that_agree_at_the_end_and_not_on_the_way_are_told(organism):
    from elicit import organisms
    from elicit.organisms import decision
    from elicit.tasks import load_task

    pair = organism("rotated")
    task = load_task(organisms.resolve("organism:rotated").problems).subset(12, seed=0)
    contrast = Contrast.from_pairs(pair.alignment, decision(task))
    grid = patch(pair, contrast, across(sites=["resid_post"]), **FEW)
    assert grid.peak_layer is None
    assert "different bases" in finding(grid)


def test_a_stream_of_zeros_between_attention_and_mlp_is_zero(paired):
    """The MLP of a normed 0 adds nothing, so the layer's output is 0 as well: exactly."""
    model = paired("mistral").base
    ids = torch.tensor([[7]])
    with torch.no_grad():
        with edited(model, [Ablate(resid_mid(1))]):
            middle = model.original_model(ids, use_cache=False).logits
        with edited(model, [Ablate(resid_post(1))]):
            after = model.original_model(ids, use_cache=False).logits
    assert torch.equal(middle, after)


def test_hooks_on_the_wrapped_modules_are_not_run_past(paired):
    pair = paired("llama")
    layer = pair.base.original_model.model.layers[1]
    handle = layer.mlp.register_forward_hook(lambda module, args, output: output * 0)
    try:
        for engine in ("lanes", "loop"):
            with pytest.raises(Exception, match="has a hook at"):
                patch(pair, contrast_of(), across(), engine=engine, **FEW)
    finally:
        handle.remove()
    patch(pair, contrast_of(), across(positions="last"), **FEW)


def test_options_of_the_statistics_are_refused_before_a_model_runs(paired, monkeypatch):
    from dataclasses import replace

    pair, contrast = paired("llama"), contrast_of()

    def ran(*args, **kwargs):
        raise AssertionError("a model ran")

    monkeypatch.setattr(type(pair.base.original_model), "forward", ran)
    for question in (within, across):
        with pytest.raises(PatchError, match="-1"):
            patch(pair, contrast, question(), inference=Inference(seed=-1))
    with pytest.raises(PatchError, match="-1"):
        factorial(pair, contrast, inference=Inference(seed=-1))
    strange = replace(contrast, answer=((9999,),) * len(contrast))
    with pytest.raises(PatchError, match="9999"):
        patch(pair, strange, across())
