"""Contrasts agree with scipy and scikit-learn, and name what separates two sets of positions."""

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from elicit.capture import capture
from elicit.features import FeatureError, PromptContrast, contrast_scores, cot_minus_direct
from elicit.features._two_sample import cohens_d, two_sample
from elicit.runs import Execution
from elicit.stats import benjamini_hochberg, holm
from tests.features import made


@pytest.mark.parametrize("seed", [0, 1])
def test_two_samples_are_those_of_scipy_and_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    first = np.maximum(rng.normal(0.3, 1, (37, 9)).round(1), 0)
    second = np.maximum(rng.normal(0.0, 1.4, (23, 9)).round(1), 0)
    first[:, 4] = second[:, 4] = 0
    found = two_sample(torch.tensor(first), torch.tensor(second))
    for i in range(9):
        labels = [1] * 37 + [0] * 23
        values = np.concatenate([first[:, i], second[:, i]])
        assert found.auroc[i] == pytest.approx(roc_auc_score(labels, values), abs=1e-12)
        if i == 4:
            assert found.p[i] == 1 and found.d[i] == 0 and found.auroc[i] == 0.5
            continue
        theirs = mannwhitneyu(first[:, i], second[:, i], method="asymptotic")
        assert found.p[i] == pytest.approx(theirs.pvalue, rel=1e-10)
        pooled = np.sqrt((36 * first[:, i].var(ddof=1) + 22 * second[:, i].var(ddof=1)) / 58)
        gap = first[:, i].mean() - second[:, i].mean()
        assert found.d[i] == pytest.approx(gap / pooled, rel=1e-10)


def test_sets_that_do_not_vary_and_differ_are_infinitely_far_apart():
    d = cohens_d(torch.tensor([[1.0, 1.0], [1.0, 1.0]]), torch.tensor([[0.0, 2.0], [0.0, 2.0]]))
    assert d.tolist() == [float("inf"), float("-inf")]


@pytest.fixture(scope="module")
def labelled(traces):
    rows = traces[:12]
    ends = [(i, -1) for i in range(12)] + [(0, 5)]
    return rows, ends, [(i, 3) for i in range(12)] + [(1, 4)]


@pytest.mark.parametrize("unit", ["row", "position"])
def test_scores_are_those_of_the_labelled_positions(pair, sae, labelled, unit):
    rows, positive, negative = labelled
    found = contrast_scores(
        pair,
        sae,
        rows,
        positive=positive,
        negative=negative,
        model="post",
        unit=unit,
        execution=Execution(max_tokens=90),
    )
    acts = [
        sae.encode(
            capture(pair.post, torch.tensor([row]), sites=[sae.site]).at[sae.site][0].detach()
        )
        for row in rows
    ]

    def values(places):
        if unit == "position":
            return torch.stack([acts[row][pos] for row, pos in places])
        kept = {row: [acts[r][p] for r, p in places if r == row] for row, _ in places}
        return torch.stack([torch.stack(kept[row]).mean(0) for row in sorted(kept)])

    expected = two_sample(values(positive), values(negative))
    torch.testing.assert_close(found.auroc, expected.auroc, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.p, expected.p, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(found.d, expected.d, atol=1e-4, rtol=1e-3)
    assert np.array_equal(found.p_holm.numpy(), holm(found.p.numpy()))
    assert np.array_equal(found.p_bh.numpy(), benjamini_hochberg(found.p.numpy()))
    assert found.n_positive == (12 if unit == "row" else 13)
    means = values(positive).double().mean(0) - values(negative).double().mean(0)
    torch.testing.assert_close(found.difference, means, atol=1e-4, rtol=1e-4)


def test_swapping_the_sets_turns_every_sign(pair, sae, labelled):
    rows, positive, negative = labelled
    one = contrast_scores(pair, sae, rows, positive=positive, negative=negative, model="base")
    two = contrast_scores(pair, sae, rows, positive=negative, negative=positive, model="base")
    assert torch.equal(one.difference, -two.difference)
    assert torch.equal(one.d, -two.d)
    torch.testing.assert_close(one.auroc, 1 - two.auroc)
    assert torch.equal(one.p, two.p)


def test_the_direction_of_the_decision_is_ranked_first(pair, prompts):
    """Feature 5 of random ones reads the mean difference of the two headers at the last token."""
    from elicit.sites import resid_post

    x = {
        header: torch.stack(
            [
                capture(pair.base, torch.tensor([row]), sites=[resid_post(4)]).at[resid_post(4)][
                    0, -1
                ]
                for row in rows[:20]
            ]
        ).detach()
        for header, rows in prompts.items()
    }
    direction = x["notes"].mean(0) - x["quiz"].mean(0)
    readers = torch.randn(12, pair.d_model, generator=torch.Generator().manual_seed(1))
    readers[5] = direction
    readers = readers / readers.norm(dim=1, keepdim=True)
    middle = (x["notes"].mean(0) + x["quiz"].mean(0)) / 2
    sae = made.hand_made(readers, hook="blocks.4.hook_resid_post", bias=-(readers @ middle))
    # Ranked on other problems than the direction was taken from.
    rest = {header: rows[20:] for header, rows in prompts.items()}
    found = cot_minus_direct(
        pair, sae, PromptContrast(cot=rest["notes"], direct=rest["quiz"]), model="base"
    )
    assert found.top(1, by="difference") == found.top(1) == (5,)
    assert found.auroc[5] == 1 and found.p_holm[5] < 0.01


def test_empty_and_mixed_up_contrasts_are_refused(pair, sae, traces):
    def ask(positive, negative):
        return contrast_scores(
            pair, sae, traces[:3], positive=positive, negative=negative, model="base"
        )

    with pytest.raises(FeatureError, match="the negative positions are 0 independent values"):
        ask([(0, 1), (1, 1)], [])
    with pytest.raises(FeatureError, match="1 independent value .unit: row."):
        ask([(0, 1), (1, 1)], [(2, 1), (2, 2)])
    with pytest.raises(FeatureError, match="in both sets"):
        ask([(0, 1), (1, 1)], [(2, 1), (1, 1)])
    with pytest.raises(FeatureError, match="names row 3"):
        ask([(0, 1), (3, 1)], [(2, 1), (1, 1)])
    with pytest.raises(FeatureError, match="names position 400 of row 1"):
        ask([(0, 1), (1, 400)], [(2, 1), (1, 1)])
    for cot, direct in ((traces[:3], traces[:2]), (traces[:1], traces[1:2])):
        with pytest.raises(FeatureError, match=f"{len(cot)} .*{len(direct)}"):
            PromptContrast(cot=cot, direct=direct)
