"""Profiles: every layer of both models, against plain formulas, whatever the blocks."""

import dataclasses

import pytest
import torch

from elicit import metrics
from elicit.capture import capture, unembed_of
from elicit.edits import Steer, edited
from elicit.pair import load_pair
from elicit.results import load_result
from elicit.revision import RevisionError, TokenRows, profile
from elicit.runs import Execution
from elicit.sites import resid_post, resid_pre
from elicit.texts import TextError

TEXTS = ["the dog is red", "one plus two equals three . wait", "a cat", "it was blue and green"]
STATISTICS = ("jsd", "kl", "entropy", "rank", "prob", "top", "top_prob")


@torch.no_grad()
def plain(model, row, d_vocab):
    """Log-probabilities of every layer and position, `[layer pos d_vocab]` in float64."""
    n_layers = len(model.blocks)
    sites = [resid_pre(0), *map(resid_post, range(n_layers))]
    found = capture(model, torch.tensor([row]), sites=sites, logits=True)
    layers = [unembed_of(model).logits(found.at[site])[0, :, :d_vocab] for site in sites[:-1]]
    # Of the last layer the model's own logits, so that a wrong final norm would show.
    layers.append(found.logits[0, :, :d_vocab])
    return metrics.log_probs(torch.stack(layers).double())


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
def test_every_statistic_is_the_plain_one(architecture, paired):
    pair = paired(architecture)
    traces = TokenRows.of_texts(pair.alignment, TEXTS)
    found = profile(pair, traces, top_k=3)
    for i, model in enumerate((pair.base, pair.post)):
        for row, ids in enumerate(traces.rows):
            own = found.row == row
            q = plain(model, ids, pair.d_vocab)[:, found.pos[own]]
            p = q[-1].expand_as(q)
            assert (found.jsd[i][:, own] - metrics.jsd(p, q)).abs().max() < 1e-5
            assert (found.kl[i][:, own] - metrics.kl(p, q)).abs().max() < 1e-5
            assert (found.entropy[i][:, own] - metrics.entropy(q)).abs().max() < 1e-5
            top = p[-1].argmax(-1)
            assert torch.equal(found.top[i][own], top)
            watched = q.gather(-1, top.expand(len(q), -1)[..., None])
            assert torch.equal(found.rank[i][:, own], (q > watched).sum(-1))
            assert (found.prob[i][:, own] - watched[..., 0].exp()).abs().max() < 1e-5
            best = q.topk(3, dim=-1)
            assert (found.top_log_prob[i][:, own] - best.values).abs().max() < 1e-4
            assert torch.equal(found.top_id[i][:, own], best.indices)
    both = [plain(model, traces.rows[1], pair.d_vocab) for model in (pair.base, pair.post)]
    own = found.row == 1
    p, q = (each[:, found.pos[own]] for each in both)
    assert (found.kl_base_post[:, own] - metrics.kl(p, q)).abs().max() < 1e-5
    assert (found.kl_post_base[:, own] - metrics.kl(q, p)).abs().max() < 1e-5
    assert (found.jsd_base_post[:, own] - metrics.jsd(p, q)).abs().max() < 1e-5


@pytest.mark.parametrize(
    "options",
    [{"memory": 64 * 4 * 4}, {"memory": 64 * 4 * 4 * 3}, {"max_tokens": 1}, {"max_tokens": 9}],
)
def test_blocks_and_chunks_change_nothing_but_rounding(options, paired):
    pair = paired("llama")
    whole, parts = profile(pair, TEXTS), profile(pair, TEXTS, execution=Execution(**options))
    for name in (*STATISTICS, "kl_base_post", "jsd_base_post"):
        a, b = getattr(whole, name), getattr(parts, name)
        assert torch.equal(a, b) if not a.is_floating_point() else (a - b).abs().max() < 1e-5
    assert parts.token == whole.token and torch.equal(parts.pos, whole.pos)


def test_one_model_reads_as_it_does_beside_the_other(paired):
    pair = paired("gemma2")
    both, alone = profile(pair, TEXTS), profile(pair, TEXTS, models=("post",))
    for name in STATISTICS:
        a, b = getattr(both, name)[1].double(), getattr(alone, name)[0].double()
        assert (a - b).abs().max() < 1e-5
    assert alone.kl_base_post is None and alone.model == ("post",)


def test_a_cross_head_reads_one_model_through_the_other(paired):
    pair = paired("llama")
    traces = TokenRows.of_texts(pair.alignment, TEXTS[:2])
    found = profile(pair, traces, head="base")
    row, own = traces.rows[1], found.row == 1
    sites = [resid_pre(0), *map(resid_post, range(pair.n_layers))]
    with torch.no_grad():
        there = capture(pair.post, torch.tensor([row]), sites=sites, logits=True)
        q = metrics.log_probs(
            torch.stack([unembed_of(pair.base).logits(there.at[s])[0] for s in sites]).double()
        )
        p = metrics.log_probs(there.logits[0].double()).expand_as(q)
    q, p = q[:, found.pos[own]], p[:, found.pos[own]]
    assert (found.kl[1][:, own] - metrics.kl(p, q)).abs().max() < 1e-5
    # Base is read by its own head, so its last layer is final; post's is not.
    assert not found.jsd[0, -1].any() and found.jsd[1, -1].min() > 0.01


def test_a_pair_of_equals_differs_nowhere_exactly(organism, given_of):
    found = profile(organism("identity"), given_of("identity", 6))
    for name in ("kl_base_post", "kl_post_base", "jsd_base_post"):
        assert not getattr(found, name).any()
    for name in STATISTICS:
        assert torch.equal(*getattr(found, name).unbind())
    assert not found.jsd[:, -1].any() and not found.kl[:, -1].any() and not found.rank[:, -1].any()


def test_a_profile_under_edits_is_that_of_the_edited_model(paired):
    pair = paired("llama")
    vector = torch.randn(pair.d_model, generator=torch.Generator().manual_seed(0)) * 3
    with edited(pair.post, [Steer(site=resid_post(1), vector=vector)]):
        found = profile(pair, TEXTS[:1], models=("post",))
        q = plain(pair.post, TokenRows.of_texts(pair.alignment, TEXTS[:1]).rows[0], pair.d_vocab)
    q = q[:, found.pos]
    assert (found.jsd[0] - metrics.jsd(q[-1].expand_as(q), q)).abs().max() < 1e-5
    bare = profile(pair, TEXTS[:1], models=("post",))
    assert torch.equal(found.top_prob[0].shape and found.entropy[0, 0], bare.entropy[0, 0])
    assert (found.entropy[0, 2] - bare.entropy[0, 2]).abs().max() > 1e-3


def test_a_saved_profile_comes_back_with_its_words(tmp_path, paired):
    found = profile(paired("qwen3"), TEXTS)
    again = load_result(found.save(tmp_path / "a"))
    assert again.token == found.token and torch.equal(again.jsd, found.jsd)
    assert again.words() == found.words()
    frame = again.to_frame()
    assert len(frame) == 2 * 4 * len(found.token)
    assert set(frame["token"]) == set(found.token)


def test_a_killed_pass_goes_on_with_the_same_bytes(tmp_path, paired):
    class Kept:
        def __init__(self):
            self.kept, self.computed = {}, 0

        def get_or_compute(self, key, compute):
            if key not in self.kept:
                self.computed += 1
                self.kept[key] = compute()
            return self.kept[key]

    pair, cells = paired("llama"), Kept()
    whole = profile(pair, TEXTS, execution=Execution(max_tokens=10, checkpoint=cells))
    assert cells.computed > 1
    cells.kept.popitem()
    cells.computed = 0
    again = profile(pair, TEXTS, execution=Execution(max_tokens=10, checkpoint=cells))
    assert cells.computed == 1
    a = (whole.save(tmp_path / "a") / "values.safetensors").read_bytes()
    assert (again.save(tmp_path / "b") / "values.safetensors").read_bytes() == a


def test_models_of_unequal_vocabularies_are_read_on_what_both_know(written):
    pair = load_pair(written("llama", seed=1), written("llama", seed=2, d_vocab=72), vocab="shared")
    found = profile(pair, TEXTS[:2])
    row = TokenRows.of_texts(pair.alignment, TEXTS[:2]).rows[1]
    own = found.row == 1
    q = plain(pair.post, row, pair.d_vocab)[:, found.pos[own]]
    assert pair.d_vocab == 64
    assert (found.entropy[1][:, own] - metrics.entropy(q)).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"models": ()}, RevisionError, "()"),
        ({"models": ("tuned",)}, RevisionError, "tuned"),
        ({"top_k": -1}, RevisionError, "-1"),
        ({"top_k": 65}, RevisionError, "64"),
        ({"execution": Execution(memory=10)}, TextError, "10"),
    ],
)
def test_what_cannot_be_read_is_refused(options, error, named, paired):
    with pytest.raises(error) as refused:
        profile(paired("llama"), TEXTS, **options)
    assert named in str(refused.value)


def test_texts_without_a_prediction_are_refused(paired):
    pair = paired("llama")
    for texts in ([], ["the dog", ""], "the dog"):
        with pytest.raises(TextError):
            profile(pair, texts)
    for rows in (
        {"positions": ((1, 0),), "problem": ("a",)},
        {"positions": ((3,),), "problem": ("a",)},
        {"positions": ((1,),), "problem": ("a", "b")},
        {"positions": ((),), "problem": ("a",)},
        {"positions": ((1,),), "problem": ("a",), "difficulty": (1, 2)},
    ):
        with pytest.raises(TextError):
            TokenRows(rows=((1, 2, 3),), **rows)


def test_nan_logits_are_refused_and_named(written):
    pair = load_pair(written("llama", seed=5), written("llama", seed=6))
    with torch.no_grad():
        pair.post.get_parameter("blocks.1._original_component.input_layernorm.weight")[3] = (
            torch.nan
        )
    with pytest.raises(TextError, match="NaN"):
        profile(pair, TEXTS)


def test_traces_read_what_was_written_and_nothing_else(organism, given_of):
    pair, traces = organism("rl"), given_of("rl", 5)
    for row, positions in zip(traces.rows, traces.positions, strict=True):
        text = pair.alignment.decode([row[p + 1] for p in positions])
        assert text.startswith("so ") and "Q" not in text
    skipped = TokenRows.of_written([(1, 5)], [(7, 8, 2)], problem=["a"], skip=[2])
    assert skipped.positions == ((1, 2),) and skipped.rows == ((1, 5, 7, 8, 2),)
    assert dataclasses.replace(skipped, source="post").digest != skipped.digest
