"""A position means the same token with and without cache, alone and in a batch, padded anyhow."""

import pytest
import torch

from elicit.edits import (
    Ablate,
    MaskAttention,
    Patch,
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
from elicit.rollouts import TokenDraws, continue_ids
from elicit.sites import Site, attn_out, pattern, resid_mid, resid_post, resid_pre, v, z
from tests.checkpoints import ARCHITECTURES
from tests.edits.plain import ROWS, changed_plain, logits_of, padded, plain_model, read

N_NEW = 6
LENGTHS = torch.tensor([len(row) for row in ROWS])
MARKS = [[0, 2], [1], [0, 5], [3], [1], [0]]
"""Tokens of each row that `marked` names, two rows more than `ROWS`."""


def vector(seed=0):
    return 4 * torch.randn(32, generator=torch.Generator().manual_seed(seed))


def marks_on(mask):
    """The marks over padded columns."""
    place = mask.cumsum(-1) - 1
    return torch.stack(
        [torch.isin(place[i], torch.tensor(MARKS[i])) & mask[i].bool() for i in range(len(place))]
    )


def forms(mask):
    """Every form, with whether it names the token at a place of a row's own text."""
    return {
        "everywhere": (everywhere(), lambda i, p, n: True),
        "prompt": (prompt(), lambda i, p, n: p < n),
        "generated": (generated(), lambda i, p, n: p >= n),
        "first generated": (generated(0, 0), lambda i, p, n: p == n),
        "generated window": (generated(1, 3), lambda i, p, n: n + 1 <= p <= n + 3),
        "last": (last(), lambda i, p, n: p == n - 1),
        "at": (at(0, 2, -2), lambda i, p, n: p in (0, 2, n - 2)),
        "window": (window(2, 5), lambda i, p, n: 2 <= p <= 5),
        "open window": (window(4), lambda i, p, n: p >= 4),
        "marked": (marked(marks_on(mask)), lambda i, p, n: p in MARKS[i]),
    }


FORMS = list(forms(padded()[1]))


def generate(model, ids, mask, *, cache=True, n_new=N_NEW):
    """New tokens and the logits of each step, by Hugging Face's own loop."""
    out = model.original_model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=n_new, min_new_tokens=n_new,
        do_sample=False, use_cache=cache, pad_token_id=0, eos_token_id=None,
        return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    return out.sequences[:, ids.shape[1] :], torch.stack(out.logits, 1)


def teacher_forced(model, texts, side):
    """Logits of each row's own tokens over whole texts, padded on a side."""
    ids, mask = padded(texts, side)
    logits = logits_of(model, ids, mask)
    return [logits[i][mask[i].bool()] for i in range(len(texts))]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("form", FORMS)
def test_a_form_names_the_tokens_that_it_says(paired, form, side):
    model = paired("llama").base
    texts = [row + [20, 21, 22, 23] for row in ROWS]
    ids, mask = padded(texts, side)
    where, named = forms(mask)[form]
    site = resid_post(1)
    clean = read(model, site, ids, mask)
    with edited(model, [Steer(site, vector(), where=where)], prompt_lengths=LENGTHS):
        changed = (read(model, site, ids, mask) != clean).any(-1)
    for i, text in enumerate(texts):
        expected = [named(i, p, len(ROWS[i])) for p in range(len(text))]
        assert changed[i][mask[i].bool()].tolist() == expected
    assert not changed[mask == 0].any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
def test_a_cache_changes_nothing(paired, architecture, form):
    model = paired(architecture).base
    ids, mask = padded()
    where, _ = forms(mask)[form]
    edits = [
        Steer(resid_post(0), vector(), where=where),
        Steer(resid_mid(1), vector(1), where=where, rows=(0, 2, 3)),
        Ablate(z(1, 3), where=where),
        Steer(v(2, 1), vector()[:8], where=where, scale=torch.tensor([1.0, 2.0, 0.5, -1.0])),
    ]
    with edited(model, edits):
        tokens, logits = generate(model, ids, mask)
    with edited(model, edits):
        tokens_off, logits_off = generate(model, ids, mask, cache=False)
    assert torch.equal(tokens, tokens_off)
    assert torch.allclose(logits, logits_off, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits, generate(model, ids, mask)[1], atol=1e-3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_generation_with_a_cache_equals_teacher_forcing_and_plain_modules(
    paired, written, architecture
):
    model, plain = paired(architecture).base, plain_model(written(architecture, seed=1))
    ids, mask = padded()
    edits = [
        Patch(resid_pre(1), vector(), where=window(3, 8), scale=0.5),
        Ablate(z(1, 2), where=generated(1)),
        MaskAttention((2,), dest=generated(), src=at(1), heads=(0, 3)),
        Steer(attn_out(2), vector(1), where=generated(0, 2)),
    ]
    with edited(model, edits):
        tokens, logits = generate(model, ids, mask)
    texts = [row + new.tolist()[:-1] for row, new in zip(ROWS, tokens, strict=True)]
    for side in ("left", "right"):
        with edited(model, edits, prompt_lengths=LENGTHS):
            forced = teacher_forced(model, texts, side)
        for i, row in enumerate(ROWS):
            assert torch.allclose(forced[i][len(row) - 1 :], logits[i], atol=1e-5, rtol=1e-5)
    # The first edit alone against hooks on plain modules, in a whole text.
    full, full_mask = padded(texts)
    place = torch.where(full_mask == 1, full_mask.cumsum(-1) - 1, -1)
    meant = ((place >= 3) & (place <= 8))[..., None]
    change = lambda x: torch.where(meant, x + 0.5 * (vector() - x), x)  # noqa: E731
    with changed_plain(plain, "resid_pre", 1, change):
        expected = logits_of(plain, full, full_mask)
    with edited(model, edits[:1], prompt_lengths=LENGTHS):
        found = logits_of(model, full, full_mask)
    assert torch.allclose(found[full_mask == 1], expected[full_mask == 1], atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_row_is_the_same_alone_and_in_a_batch_padded_on_either_side(paired, form):
    model = paired("gpt2").base
    texts = [row + [20, 21, 22, 23] for row in ROWS]
    site = resid_post(1)

    def forced(rows, side):
        mask = padded([texts[i] for i in rows], side)[1]
        where = forms(padded(texts, side)[1])[form][0]
        if form == "marked":
            marks = marks_on(padded(texts, side)[1])[rows]
            where = marked(marks[:, :][:, -mask.shape[1] :] if side == "left" else
                           marks[:, : mask.shape[1]])  # fmt: skip
        with edited(model, [Steer(site, vector(), where=where)], prompt_lengths=LENGTHS[rows]):
            return teacher_forced(model, [texts[i] for i in rows], side)

    every = list(range(len(ROWS)))
    left, right = forced(every, "left"), forced(every, "right")
    for i in every:
        alone = forced([i], "right")[0]
        assert torch.allclose(left[i], alone, atol=1e-5)
        assert torch.allclose(right[i], alone, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_own_sampler_gives_each_row_its_own_edits_after_others_left_the_batch(paired, form):
    model = paired("llama").base
    rows = ROWS + [[30, 31], [33, 34, 35]]
    ids, mask = padded(rows)
    scale = torch.tensor([1.0, 0.2, -1.0, 2.0, 0.7, 1.5])
    where = at(0, -2) if form == "at" else forms(mask)[form][0]
    options = {"max_new_tokens": 8, "pad_id": 0}
    edit = Steer(resid_post(0), vector(), where=where, scale=scale)
    with edited(model, [edit]):
        free = continue_ids(model.original_model, ids, mask, stop_ids=[], **options)
    with edited(model, [edit]):
        expected = generate(model, ids, mask, n_new=8)[0]
    assert torch.equal(free, expected)
    # Sampled with a stream a row; tokens that end some rows early shrink the batch under others.
    options |= {"draws": TokenDraws(temperature=1.5, seeds=list(range(len(rows))))}
    with edited(model, [edit]):
        free = continue_ids(model.original_model, ids, mask, stop_ids=[], **options)
    stops = sorted({int(row[1]) for row in free[:3]})
    with edited(model, [edit]):
        inner = active(model.original_model)
        assert inner is not None and inner is active(model)
        new = continue_ids(model.original_model, ids, mask, stop_ids=stops, **options)
        again = continue_ids(model.original_model, ids, mask, stop_ids=stops, **options)
    assert torch.equal(new, again)  # a second run in the same block begins anew
    shrunk = 0
    for i, row in enumerate(free.tolist()):
        end = next((j + 1 for j, token in enumerate(row) if token in stops), len(row))
        assert new[i, :end].tolist() == row[:end]
        shrunk += end <= 2
    assert 0.4 * len(rows) < shrunk < len(rows)


def test_rows_and_donors_follow_their_rows_when_others_leave(paired):
    model = paired("llama").base
    rows = [row[:3] + [40 + i] for i, row in enumerate(ROWS)]
    ids, mask = padded(rows)
    donor = torch.stack([vector(i) for i in range(4)])
    edits = [
        Patch(resid_post(1), donor, where=generated(), rows=(1, 3), scale=0.5),
        Patch(resid_post(0), donor[:, None].expand(4, 4, 32), where=prompt(), scale=0.3),
    ]
    with edited(model, edits):
        free = continue_ids(
            model.original_model, ids, mask, max_new_tokens=8, stop_ids=[], pad_id=0
        )
    stops = [int(free[0, 1]), int(free[1, 1])]
    with edited(model, edits):
        new = continue_ids(
            model.original_model, ids, mask, max_new_tokens=8, stop_ids=stops, pad_id=0
        )
    for i, row in enumerate(free.tolist()):
        end = next((j + 1 for j, token in enumerate(row) if token in stops), len(row))
        assert new[i, :end].tolist() == row[:end]


@pytest.mark.parametrize("cache", [True, False])
def test_the_bridges_own_generation_agrees(paired, cache):
    model = paired("llama").base
    ids, mask = padded()
    edits = [Steer(resid_post(1), vector(), where=at(1, -1)), Ablate(z(0), where=generated(1))]
    with edited(model, edits):
        expected = generate(model, ids, mask)[0]
    with edited(model, edits):
        found = model.generate(
            ids, attention_mask=mask, max_new_tokens=N_NEW, do_sample=False, stop_at_eos=False,
            use_past_kv_cache=cache, return_type="tokens", verbose=False,
        )  # fmt: skip
    assert torch.equal(found[:, ids.shape[1] :], expected)


def test_a_bridge_called_by_itself_agrees_with_and_without_mask(paired):
    model = paired("gpt2").base
    ids, mask = padded([ROWS[0], ROWS[3] + [8]])
    edit = Steer(resid_post(1), vector(), where=at(-2))
    for given in ({}, {"attention_mask": mask}):
        with edited(model, [edit]), torch.no_grad():
            found = model(ids, **given)
            hidden = model.original_model.base_model(input_ids=ids, use_cache=False)  # no logits
        with edited(model, [edit]):
            assert torch.allclose(found, logits_of(model, ids, mask), atol=1e-5)
        assert hidden.last_hidden_state.shape[:2] == ids.shape


def test_a_long_prompt_written_in_pieces_keeps_its_positions(paired):
    from transformers import DynamicCache

    model = paired("mistral").base
    hf, text = model.original_model, torch.tensor([ROWS[2] + ROWS[0]])
    edits = [
        Steer(resid_post(0), vector(), where=window(2, 9)),
        MaskAttention((1, 2), dest=window(6), src=window(4, 5)),
    ]
    with edited(model, edits):
        expected = logits_of(model, text)
    cache, parts = DynamicCache(config=hf.config), []
    with edited(model, edits), torch.no_grad():
        for piece in text.split(5, dim=1):
            parts.append(hf(input_ids=piece, past_key_values=cache, use_cache=True).logits)
    assert torch.allclose(torch.cat(parts, 1), expected, atol=1e-5)


def test_a_run_that_is_cut_back_goes_on_from_there(paired):
    from transformers import DynamicCache

    model = paired("llama").base
    hf, text = model.original_model, torch.tensor([ROWS[2] + [8, 9]])
    edit = Steer(resid_post(0), vector(), where=generated(0, 1))
    with edited(model, [edit], prompt_lengths=torch.tensor([7])):
        expected = logits_of(model, text)
    cache = DynamicCache(config=hf.config)
    with edited(model, [edit]), torch.no_grad():
        hf(input_ids=text[:, :7], past_key_values=cache, use_cache=True)
        for wrong in (3, 4):
            hf(input_ids=torch.tensor([[wrong]]), past_key_values=cache, use_cache=True)
        cache.crop(-2)  # two tokens are taken back
        found = hf(input_ids=text[:, 7:], past_key_values=cache, use_cache=True).logits
    assert torch.allclose(found, expected[:, 7:], atol=1e-5)


def test_another_prompt_begins_another_run(paired):
    model = paired("llama").base
    edit = Steer(resid_post(1), vector(), where=last())
    texts = [torch.tensor([row]) for row in (ROWS[2], ROWS[0], ROWS[0])]
    expected = []
    for ids in texts:
        with edited(model, [edit]):
            expected.append(logits_of(model, ids))
    with edited(model, [edit]):
        for ids, logits in zip(texts, expected, strict=True):
            assert torch.equal(logits_of(model, ids), logits)


def test_ids_that_go_on_are_the_same_run_unless_it_is_restarted(paired):
    model = paired("llama").base
    short, whole = torch.tensor([ROWS[0]]), torch.tensor([ROWS[0] + [3, 4]])
    site = resid_post(1)
    edit = Steer(site, vector(), where=last())

    def changed():
        return (read(model, site, whole) != clean).any(-1)[0].nonzero()[:, 0].tolist()

    clean = read(model, site, whole)
    with edited(model, [edit]):
        logits_of(model, short)
        assert changed() == [len(ROWS[0]) - 1]
        active(model).restart()
        assert changed() == [whole.shape[1] - 1]


def test_blocks_in_blocks_follow_one_run_each_with_its_own_prompt(paired):
    model = paired("llama").base
    ids = torch.tensor([ROWS[2]])
    site = resid_post(1)
    clean = read(model, site, ids)
    outer = Steer(site, vector(), where=last())
    with edited(model, [outer]), edited(model, [outer], prompt_lengths=torch.tensor([3])):
        seen = (read(model, site, ids) != clean).any(-1)[0]
    assert seen.nonzero()[:, 0].tolist() == [2, 6]


@pytest.mark.parametrize("cache", [True, False])
def test_a_pattern_of_the_prompt_is_patched_under_generation(paired, cache):
    model = paired("mistral").base
    ids, mask = padded()
    donor = torch.rand(4, 7, 7, generator=torch.Generator().manual_seed(0)).tril() * mask[:, None]
    donor = donor / donor.sum(-1, keepdim=True).clamp(min=1e-3)
    edits = [Patch(pattern(1, 2), donor, where=prompt())]
    with edited(model, edits):
        tokens, logits = generate(model, ids, mask, cache=cache)
    texts = [row + new.tolist()[:-1] for row, new in zip(ROWS, tokens, strict=True)]
    full, full_mask = padded(texts)
    wide = torch.nn.functional.pad(donor, (0, N_NEW - 1, 0, N_NEW - 1))
    with edited(model, [Patch(pattern(1, 2), wide, where=prompt())], prompt_lengths=LENGTHS):
        expected = logits_of(model, full, full_mask)[:, -N_NEW:]
    assert torch.allclose(logits, expected, atol=1e-5)


def test_beams_that_change_places_keep_their_prompt(paired):
    model = paired("llama").base
    ids, mask = padded()
    edit = Steer(Site("resid_post", 1), vector(), where=at(0, -1))
    options = {
        "input_ids": ids, "attention_mask": mask, "max_new_tokens": 5, "num_beams": 3,
        "do_sample": False, "pad_token_id": 0, "eos_token_id": None,
    }  # fmt: skip
    with edited(model, [edit]):
        cached = model.original_model.generate(use_cache=True, **options)
    with edited(model, [edit]):
        assert torch.equal(model.original_model.generate(use_cache=False, **options), cached)
