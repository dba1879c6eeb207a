"""A mistake in an edit is refused, with both values and a way out, before any layer runs."""

import pytest
import torch

from elicit.edits import (
    Ablate,
    Clamp,
    EditError,
    MaskAttention,
    Patch,
    ProjectOut,
    Steer,
    active,
    at,
    edited,
    everywhere,
    generated,
    last,
    marked,
    prompt,
    window,
)
from elicit.results import ElicitError
from elicit.sites import SiteError, k, pattern, resid_mid, resid_post, resid_pre, z
from tests.edits.plain import ROWS, logits_of, n_hooks, padded

SITE = resid_post(1)
ONES = torch.ones(32)


def refused(model, edit, match, *, ids=None, mask=None, error=EditError, **options):
    """The edit is refused before any block runs, and leaves no hook."""
    before, ran = n_hooks(model), []
    handle = model.blocks[0].register_forward_pre_hook(lambda m, a: ran.append(1))
    try:
        with pytest.raises(error, match=match), edited(model, [edit], **options):
            assert ids is not None, "refused too late: the block was entered"
            logits_of(model, ids, mask)
    finally:
        handle.remove()
    assert not ran
    assert n_hooks(model) == before
    assert active(model) is None


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Patch(SITE, torch.tensor([1.0, float("nan")])), "donor .* not finite in 1 of 2"),
        (lambda: Patch(SITE, torch.tensor([float("inf")])), "not finite"),
        (lambda: Patch(SITE, ONES, scale=float("nan")), "scale that is not finite"),
        (lambda: Patch(SITE, ONES, rows=()), "counted from 0"),
        (lambda: Patch(SITE, ONES, rows=(0, 0)), "each once"),
        (lambda: Patch(SITE, ONES, rows=(-1,)), r"rows=\(-1,\)"),
        (lambda: Steer(SITE, 0 * ONES), "norm 0"),
        (lambda: Steer(SITE, ONES * float("nan")), "not finite"),
        (lambda: Steer(pattern(0), ONES), "MaskAttention, Patch or Ablate"),
        (lambda: Clamp(SITE, 0 * ONES, 1.0), "norm 0"),
        (lambda: Clamp(SITE, ONES, float("nan")), "value that is not finite"),
        (lambda: ProjectOut(SITE, 0 * ONES), "norm 0"),
        (lambda: ProjectOut(pattern(0), ONES), "projected"),
        (lambda: Ablate(SITE, "mean"), "no value"),
        (lambda: Ablate(SITE, "resample"), "no value"),
        (lambda: Ablate(SITE, "zero", ONES), "how='zero' and a value"),
        (lambda: Ablate(SITE, "mean", ONES * float("nan")), "not finite"),
        (lambda: at(), "names no position"),
        (lambda: window(-1, 3), "holds no position"),
        (lambda: window(4, 3), r"window\(4, 3\)"),
        (lambda: generated(-1), "holds no position"),
        (lambda: marked(torch.zeros(2, 3).bool()), "without a mark"),
    ],
)  # fmt: skip
def test_values_that_no_model_can_take(make, match):
    with pytest.raises(EditError, match=match):
        make()


@pytest.mark.parametrize(
    ("edit", "match", "error"),
    [
        (Ablate(resid_post(3)), "layers 0 to 2", SiteError),
        (Ablate(z(0, 4)), "heads 0 to 3", SiteError),
        (Ablate(k(0, 2)), "key/value heads 0 to 1", SiteError),
        (Patch(SITE, torch.ones(31)), r"\[31\].*\[32\]", EditError),
        (Patch(SITE, torch.ones(1, 2, 3, 32)), "does not fit", EditError),
        (Patch(z(0), torch.ones(8)), r"\[8\].*\[4, 8\]", EditError),
        (Patch(z(0, 1), torch.ones(4, 7)), r"\[8\]", EditError),
        (Patch(k(0), torch.ones(4, 8)), r"\[2, 8\]", EditError),
        (Patch(pattern(0), torch.ones(3, 5, 5)), "with 4 heads", EditError),
        (Patch(pattern(0, 1), torch.ones(5)), "dest src", EditError),
        (Steer(SITE, torch.ones(2, 5, 32)), "one vector, or one a row", EditError),
        (Steer(SITE, torch.stack([ONES, 0 * ONES])), "norm 0 in row 1", EditError),
        (Clamp(SITE, torch.ones(2, 32), 1.0), "one direction", EditError),
    ],
)
def test_edits_that_do_not_fit_the_model(paired, edit, match, error):
    refused(paired("llama").base, edit, match, error=error)


def test_a_parallel_block_has_no_resid_mid(paired):
    refused(paired("gpt_neox").base, Ablate(resid_mid(0)), "side by side", error=SiteError)


def test_no_edit_at_all(paired):
    with pytest.raises(EditError, match="no edit"), edited(paired("llama").base, []):
        pass


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (Ablate(SITE, rows=(4,)), "row 4, and the batch has rows 0 to 3"),
        (Ablate(SITE, scale=torch.ones(3)), "3 scales and the batch 4 rows"),
        (Patch(SITE, torch.ones(3, 32)), "3 rows and the batch 4"),
        (Patch(SITE, torch.ones(4, 6, 32)), "6 positions and the prompts have 7"),
        (Patch(pattern(0), torch.rand(4, 4, 6, 6)), "6 positions and the prompts have 7"),
        (Patch(pattern(0, 0), torch.rand(7, 6)), "7 and 6 positions and the prompts have 7"),
        (Ablate(SITE, where=at(3)), "position 3, and the prompt of row 1 has 3 tokens"),
        (Ablate(SITE, where=at(0, -4)), "position -4, and the prompt of row 1 has 3 tokens"),
        (Ablate(SITE, where=at(5), rows=(2, 3)), "position 5, and the prompt of row 3 has 4"),
        (MaskAttention((0,), dest=at(3), src=at(0)), "row 1 has 3 tokens"),
        (MaskAttention((0,), dest=last(), src=at(9)), "row 0 has 5 tokens"),
        (MaskAttention((0,), dest=last(), src=at(0), rows=(7,)), "row 7"),
        (Ablate(SITE, where=marked(torch.ones(4, 6).bool())), "4 rows and 6 columns"),
        (Ablate(SITE, where=marked(torch.ones(4, 7).bool())), r"padding \(row 0, column 0\)"),
    ],
)
def test_edits_that_do_not_fit_the_prompts(paired, edit, match):
    ids, mask = padded()
    refused(paired("llama").base, edit, match, ids=ids, mask=mask)


def test_prompt_lengths_that_do_not_fit_the_batch(paired):
    model, edit = paired("llama").base, Ablate(SITE)
    ids, mask = padded()
    for lengths, match in [
        ([5, 3, 7], "3 rows and the batch 4"),
        ([5, 4, 7, 4], "4 tokens for row 1, and the first call has 3"),
    ]:
        refused(model, edit, match, ids=ids, mask=mask, prompt_lengths=torch.tensor(lengths))
    refused(model, edit, "a token at least", prompt_lengths=torch.tensor([0, 1]))


def test_a_mask_that_does_not_tell_padding(paired):
    model = paired("llama").base
    ids, mask = padded()
    wide = torch.zeros(4, 1, 7, 7)
    with (
        pytest.raises(EditError, match=r"attention_mask is \(4, 1, 7, 7\)"),
        edited(model, [Ablate(SITE)]),
    ):
        model.original_model(input_ids=ids, attention_mask=wide)
    with pytest.raises(EditError, match="2 rows and the tokens 4"), edited(model, [Ablate(SITE)]):
        model.original_model(input_ids=ids, attention_mask=mask[:2])


def test_a_donor_by_position_for_tokens_that_it_does_not_have(paired):
    model = paired("llama").base
    ids, mask = padded()
    options = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    for donor, site in [(torch.ones(4, 7, 32), SITE), (torch.rand(4, 4, 7, 7), pattern(0))]:
        for cache in (True, False):
            with (
                pytest.raises(EditError, match=r"where=prompt\(\)"),
                edited(model, [Patch(site, donor)]),
            ):
                model.original_model.generate(
                    input_ids=ids, attention_mask=mask, use_cache=cache, **options
                )
            with edited(model, [Patch(site, donor, where=prompt())]):
                model.original_model.generate(
                    input_ids=ids, attention_mask=mask, use_cache=cache, **options
                )


def test_a_cache_that_was_filled_elsewhere_and_rows_that_left_unsaid(paired):
    model = paired("llama").base
    hf, ids = model.original_model, torch.tensor([ROWS[0]] * 2)
    with torch.no_grad():
        cache = hf(input_ids=ids, use_cache=True).past_key_values
        with (
            pytest.raises(EditError, match="holds 5 tokens a row and 0"),
            edited(model, [Ablate(SITE)]),
        ):
            hf(input_ids=ids[:, :1], past_key_values=cache, use_cache=True)
        with (
            pytest.raises(EditError, match="had 2 rows and now has 1"),
            edited(model, [Ablate(SITE)]),
        ):
            cache = hf(input_ids=ids, use_cache=True).past_key_values
            cache.batch_select_indices(torch.tensor([1]))
            hf(input_ids=ids[:1, :1], past_key_values=cache, use_cache=True)


def test_a_layer_called_by_itself(paired):
    model = paired("llama").base
    with pytest.raises(EditError, match="called by itself"), edited(model, [Ablate(resid_pre(0))]):
        model.blocks[0].hook_in(torch.ones(1, 2, 32))


def test_an_edit_never_made_is_named_and_says_why(paired):
    model = paired("llama").base
    ids = torch.tensor([ROWS[0]])
    late = Steer(SITE, ONES, where=generated(2))
    with pytest.raises(EditError, match="no forward of this model ran"), edited(model, [late]):
        pass
    with (
        pytest.raises(EditError, match=r"Steer\(resid_post\.1.*generated\(2.*2 of 2.*never came"),
        edited(model, [Ablate(SITE), late]),
    ):
        logits_of(model, ids)
    other = paired("llama").post
    with pytest.raises(EditError, match="this very model"), edited(model, [Ablate(SITE)]):
        logits_of(other, ids)


def test_an_exception_in_the_block_comes_through_unchanged(paired):
    own = KeyError("mine")
    with pytest.raises(KeyError) as caught, edited(paired("llama").base, [Ablate(SITE)]):
        raise own
    assert caught.value is own
    assert caught.value.__context__ is None


def test_edits_are_printed_in_one_line_without_their_numbers():
    edit = Patch(z(3, 1), torch.ones(2, 7, 8), where=at(0, -1), rows=(1,), scale=0.5)
    assert repr(edit) == "Patch(z.3.1, where=at(0, -1), rows=(1,), scale=0.5, donor=[2, 7, 8])"
    assert repr(Ablate(SITE)) == "Ablate(resid_post.1, how=zero)"
    told = "MaskAttention(layers=(0, 1), dest=last(), src=window(2, 4))"
    assert repr(MaskAttention((0, 1), dest=last(), src=window(2, 4))) == told
    assert str(generated()) == "generated()"
    assert str(window(3)) == "window(3, None)"
    assert everywhere() == everywhere()
    assert len({at(1), at(1), at(2), marked(torch.ones(1, 2).bool())}) == 3
    assert issubclass(EditError, ElicitError)
