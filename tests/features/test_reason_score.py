"""ReasonScore in one pass is ReasonScore, and groups that stand nowhere are refused first."""

import math

import pytest
import torch

from elicit.capture import capture
from elicit.features import FeatureError, TokenGroups, reason_scores, token_groups
from elicit.features._reading import rows_of
from elicit.runs import Execution
from tests.features import made

WORDS = {"so": ["so"], "check": ["check"], "wait": ["wait"], "close": ["ok", "no"]}


def two_loops(pair, model, sae, rows, words, *, alpha=0.7, around=(1, 2)):
    """The paper's score, feature by feature and token by token."""
    left, right = around
    special = set(pair.tokenizer.all_special_ids)
    ids = {name: set(pair.tokenizer.convert_tokens_to_ids(list(w))) for name, w in words.items()}
    acts, near = [], []
    for row in rows:
        x = capture(model, torch.tensor([row]), sites=[sae.site]).at[sae.site][0].detach()
        codes = sae.encode(x)
        for i, token in enumerate(row):
            if i == 0 or token in special:
                continue
            window = {
                name
                for name, known in ids.items()
                for j in range(i - right, i + left + 1)
                if 0 <= j < len(row) and row[j] in known
            }
            acts.append(codes[i].tolist())
            near.append(window)
    mean, inside, outside = [], [], []
    for feature in range(sae.d_sae):
        per = []
        for name in words:
            mine = [a[feature] for a, w in zip(acts, near, strict=True) if name in w]
            per.append(math.fsum(mine) / len(mine))
        mean.append(per)
        some = [a[feature] for a, w in zip(acts, near, strict=True) if w]
        none = [a[feature] for a, w in zip(acts, near, strict=True) if not w]
        inside.append(math.fsum(some) / len(some))
        outside.append(math.fsum(none) / len(none))
    scores = []
    for feature in range(sae.d_sae):
        total = math.fsum(mean[feature])
        shares = [m / total for m in mean[feature]] if total else []
        entropy = -math.fsum(p * math.log(p) for p in shares if p > 0) / math.log(len(words))
        scores.append(
            inside[feature] / math.fsum(inside) * abs(entropy) ** alpha
            - outside[feature] / math.fsum(outside)
        )
    return torch.tensor(scores, dtype=torch.float64), torch.tensor(mean, dtype=torch.float64)


@pytest.mark.parametrize("options", [{}, {"alpha": 1.5, "around": (0, 3)}])
def test_one_pass_is_the_formula_feature_by_feature(pair, sae, traces, options):
    rows = traces[:9]
    found = reason_scores(
        pair,
        sae,
        rows,
        token_groups(pair, WORDS),
        model="post",
        execution=Execution(max_tokens=150),
        **options,
    )
    scores, mean = two_loops(pair, pair.post, sae, rows, WORDS, **options)
    torch.testing.assert_close(found.score, scores, atol=1e-7, rtol=1e-5)
    torch.testing.assert_close(found.mean, mean, atol=1e-4, rtol=1e-4)
    assert found.group == tuple(WORDS)
    assert found.top(1) == (int(scores.argmax()),)


def test_the_size_of_a_chunk_changes_rounding_alone(pair, sae, traces):
    groups = token_groups(pair, WORDS)
    one, two = (
        reason_scores(pair, sae, traces, groups, model="base", execution=Execution(max_tokens=n))
        for n in (30, 9000)
    )
    torch.testing.assert_close(one.score, two.score, atol=1e-8, rtol=1e-5)
    assert torch.equal(one.n_group, two.n_group)


def test_a_feature_of_every_word_beats_one_of_a_single_word(pair, traces):
    """Features that read single token embeddings, before any layer."""
    embedding = pair.base.original_model.get_input_embeddings().weight.detach()
    ids = {w: pair.tokenizer.convert_tokens_to_ids(w) for w in ("so", "check", "wait", "ok", "=")}
    readers = {
        "all": sum(embedding[ids[w]] for w in ("so", "check", "wait", "ok")),
        "one": embedding[ids["so"]],
        "other": embedding[ids["="]],
    }
    stack = torch.stack(list(readers.values()))
    # On until something else than its words is there.
    cosine = stack @ embedding.T
    own = torch.stack(
        [
            cosine[0, [ids[w] for w in ("so", "check", "wait", "ok")]].min(),
            cosine[1, ids["so"]],
            cosine[2, ids["="]],
        ]
    )
    sae = made.hand_made(stack, hook="blocks.0.hook_resid_pre", bias=-0.8 * own)
    found = reason_scores(pair, sae, traces, token_groups(pair, WORDS), model="base")
    score = found.score.tolist()
    assert score[0] > score[1] > score[2]
    assert found.entropy[0] > found.entropy[1]


def test_a_spelling_is_found_whole_and_inside_one_row(pair):
    ids = pair.tokenizer.convert_tokens_to_ids
    rows = [[1, ids("so"), ids("a")], [1, ids("b"), ids("so"), ids("check"), ids("a"), ids("a")]]
    tokens = rows_of(pair, rows)
    groups = TokenGroups(("both", "so"), (((ids("so"), ids("check")),), ((ids("so"),),)))
    near = groups.windows(tokens, left=1, right=1)
    assert near[0].nonzero()[:, 0].tolist() == [4, 5, 6, 7]
    # Not the first token of the second row, and nothing of it by a word of the first.
    assert near[1].nonzero()[:, 0].tolist() == [1, 2, 4, 5, 6]


def test_groups_without_tokens_are_refused_before_anything_runs(pair, sae, traces):
    with pytest.raises(FeatureError, match="the group 'hmm' has no tokens"):
        token_groups(pair, {"so": ["so"], "hmm": ["hmm"]})
    with pytest.raises(FeatureError, match="'so' is in both 'b' and 'a'"):
        token_groups(pair, {"a": ["so"], "b": ["so", "ok"]})
    with pytest.raises(FeatureError, match="1 groups"):
        token_groups(pair, {"a": ["so"]})
    ran = []
    handle = pair.post.original_model.register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        groups = token_groups(pair, {"so": ["so"], "paris": ["paris"]})
        with pytest.raises(FeatureError, match="no token of 'paris'"):
            reason_scores(pair, sae, traces, groups, model="post")
        near = token_groups(pair, {"so": ["so"], ";": [";"]})
        with pytest.raises(FeatureError, match="every token that counts is near a word"):
            reason_scores(pair, sae, traces, near, model="post", around=(50, 50))
        with pytest.raises(FeatureError, match="-1"):
            reason_scores(pair, sae, traces, near, model="post", around=(-1, 2))
    finally:
        handle.remove()
    assert not ran


def test_activations_of_both_signs_are_refused(pair, traces):
    from elicit.features import from_sae_lens

    module = made.random_module("abstopk", d_in=pair.d_model)
    with pytest.raises(FeatureError, match="both signs"):
        reason_scores(
            pair, from_sae_lens(module, name="x"), traces, token_groups(pair, WORDS), model="base"
        )
