"""Falsification rejects a feature that reads a token, and not one that reads a state."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from elicit import features
from elicit.capture import capture
from elicit.edits import edited, last
from elicit.features import (
    FeatureError,
    Injection,
    PromptContrast,
    cot_minus_direct,
    injection_verdict,
    reason_scores,
    token_groups,
    token_injection,
)
from elicit.features._inject import inject
from elicit.features._reading import rows_of
from elicit.features._two_sample import cohens_d
from elicit.features.activations import top_activations
from elicit.runs import Execution
from tests.features import made

LAYER = "blocks.4.hook_resid_post"
TOKEN, STATE = 0, 1


def activations(pair, rows, site):
    return [
        capture(pair.base, torch.tensor([row]), sites=[site]).at[site][0].detach() for row in rows
    ]


@pytest.fixture(scope="module")
def planted(pair, chains, facts, prompts):
    """Feature 0 is on at the token `so`, feature 1 where a trace has been decided on."""
    from elicit.sites import resid_post

    site, so = resid_post(4), pair.tokenizer.convert_tokens_to_ids("so")
    traces = [
        pair.alignment.plain(f"notes {chain.question} {chain.trace} answer {chain.answer} .")
        for chain in chains
    ]
    # The token is read off by least squares, from traces and from a few facts that hold it.
    seen = traces[:24] + [[*row[:4], so, *row[4:]] for row in facts[:20]] + facts[:20]
    x = torch.cat([found[1:] for found in activations(pair, seen, site)]).double()
    is_so = torch.tensor([i == so for row in seen for i in row[1:]]).double()
    wide = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], 1)
    fit = torch.linalg.solve(
        wide.T @ wide + 1e-2 * torch.eye(wide.shape[1], dtype=torch.float64), wide.T @ is_so
    ).float()
    # The state is the mean difference of the two headers at the last token of the prompt.
    ends = {
        header: torch.stack([found[-1] for found in activations(pair, rows[:24], site)])
        for header, rows in prompts.items()
    }
    gap = ends["notes"].mean(0) - ends["quiz"].mean(0)
    middle = (ends["notes"].mean(0) + ends["quiz"].mean(0)) / 2
    others = torch.randn(6, pair.d_model, generator=torch.Generator().manual_seed(0))
    # The state reaches far into most directions; these others must not read it too.
    others = others - (others @ gap)[:, None] * gap / gap.norm() ** 2
    others = others / others.norm(dim=1, keepdim=True)
    # ReasonScore goes by shares of the sum over features, so all are brought to one size.
    fit = 80 * fit
    readers = torch.cat([fit[None, :-1], gap[None] / gap.norm(), others])
    bias = torch.stack([fit[-1] - 40, -(middle @ gap) / gap.norm()])
    bias = torch.cat([bias, -(x.float() @ others.T).mean(0)])
    return made.hand_made(readers, hook=LAYER, bias=bias), traces[24:]


@pytest.mark.slow
def test_only_the_reader_of_a_token_is_rejected(pair, planted, facts):
    sae, traces = planted
    found = token_injection(
        pair,
        sae,
        [TOKEN, STATE],
        reasoning=traces,
        plain=facts[20:],
        model="base",
        injection=Injection(seed=1),
    )
    assert found.verdict == ("token-driven", "context-dependent")
    assert found.rejected == (TOKEN,)
    assert found.tokens[TOKEN].split()[0] == "so"
    assert found.tokens[STATE].split()[0] == "A"
    assert (found.reasoning > 0).all() and not found.plain.any()
    # Tokens of the texts themselves do to neither what its own do to the first.
    assert found.control_d.abs().max() < 0.2 < 0.8 < found.d[TOKEN].min()
    assert not found.injected[STATE].any()


@pytest.mark.slow(checked=True)
def test_both_are_found_by_the_scores_that_falsification_is_for(pair, planted, prompts):
    sae, traces = planted
    rest = {header: rows[24:] for header, rows in prompts.items()}
    found = cot_minus_direct(
        pair, sae, PromptContrast(cot=rest["notes"], direct=rest["quiz"]), model="base"
    )
    assert found.top(1) == (STATE,) and found.auroc[STATE] == 1
    # The decision is made right before the first `so`, so a score of words names both.
    groups = token_groups(pair, {"so": ["so"], "A": ["A"]})
    scored = reason_scores(pair, sae, traces, groups, model="base")
    assert set(scored.top(2)) == {TOKEN, STATE}, scored.score


@pytest.mark.slow
def test_the_feature_of_the_state_turns_answers_into_traces(pair, planted, prompts):
    """What falsification leaves standing is tested by writing it: at the decision token alone."""
    sae, _ = planted
    so = pair.tokenizer.convert_tokens_to_ids("so")
    rows = prompts["quiz"][24:]
    encoded = pair.alignment.pad(rows)

    def p_trace(*edits):
        with torch.no_grad(), edited(pair.base, edits) if edits else nullcontext():
            logits = capture(pair.base, encoded, sites=[], logits=True).logits
        return logits[:, -1].softmax(-1)[:, so].mean().item()

    notes = activations(pair, prompts["notes"][24:], sae.site)
    value = sae.encode(torch.stack([x[-1] for x in notes]))[:, STATE].mean().item()
    assert p_trace() < 0.05
    assert p_trace(features.clamp(sae, STATE, 2 * value, where=last())) > 0.9
    assert p_trace(features.clamp(sae, STATE, 2 * value, where=last(), scale=0.0)) == p_trace()
    for control in range(2, 8):
        assert p_trace(features.add(sae, control, 2 * value, where=last())) < 0.3


def test_the_same_seed_puts_the_same_tokens_in_the_same_places(pair, planted, facts):
    sae, traces = planted
    ask = {"reasoning": traces, "plain": facts[20:40], "model": "base"}
    one, two = (
        token_injection(pair, sae, [0, 1], **ask, injection=Injection(seed=3)) for _ in range(2)
    )
    for name in ("d", "p", "injected", "control_d"):
        assert torch.equal(getattr(one, name).nan_to_num(), getattr(two, name).nan_to_num())


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("prepend", [1, 90, 91, 92, 5, 6, 7, 8, 9, 10]),
        ("append", [1, 5, 6, 7, 8, 9, 10, 90, 91, 92]),
        ("intersperse", [1, 5, 6, 90, 7, 91, 8, 9, 92, 10]),
    ],
)
def test_forms_put_each_token_where_they_say(form, expected):
    rng = np.random.default_rng(0)
    row, tokens = [1, 5, 6, 7, 8, 9, 10], [(90,), (91,), (92,)]
    found = inject(row, tokens, form, special=frozenset({1}), rng=rng)
    if form == "intersperse":
        assert [i for i in found if i < 90] == row
        places = [found.index(i) for i in (90, 91, 92)]
        assert places == sorted(places) and min(np.diff(places)) >= 2
    else:
        assert found == expected


def test_replacing_keeps_the_length_and_runs_stay_together():
    row, special = [1, *range(10, 20)], frozenset({1})
    rng = np.random.default_rng(0)
    found = inject(row, [(90,), (91,)], "replace", special=special, rng=rng)
    assert len(found) == len(row) and {90, 91} < set(found) and found[0] == 1
    for form, gram in (("bigram", (90, 91)), ("trigram", (90, 91, 92))):
        found = inject(row, [gram, gram], form, special=special, rng=rng)
        assert [i for i in found if i < 90] == row
        text = " ".join(map(str, found))
        assert text.count(" ".join(map(str, gram))) == 2


@pytest.mark.parametrize(
    ("d", "p", "verdict"),
    [
        ([0.1, 0.9], [0.5, 0.001], "token-driven"),
        ([0.9, 0.1], [0.02, 0.5], "weak"),
        ([0.6, 0.1], [0.009, 0.5], "partial"),
        ([0.9, 0.6], [0.2, 0.009], "partial"),
        ([0.3, 0.0], [0.04, 1.0], "weak"),
        ([0.19, 3.0], [0.001, 0.06], "context-dependent"),
        ([-2.0, 0.0], [0.001, 1.0], "context-dependent"),
        ([float("inf"), 0.0], [0.001, 1.0], "token-driven"),
    ],
)
def test_the_verdict_follows_cohens_sizes(d, p, verdict):
    assert injection_verdict(torch.tensor(d), torch.tensor(p)) == verdict


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        ([0.9, 0.1], "token-driven"),
        ([0.4, 0.1], "partial"),
        # However many standard deviations it is, most of the rise is not the token's.
        ([0.1, 0.9], "weak"),
        ([float("nan"), 0.0], "token-driven"),
    ],
)
def test_a_small_share_of_the_rise_does_not_make_a_feature_one_of_tokens(share, verdict):
    d, p = torch.tensor([9.0, 0.1]), torch.tensor([1e-9, 0.5])
    assert injection_verdict(d, p, torch.tensor(share)) == verdict


def test_tops_are_those_of_a_plain_search(pair, sae, traces):
    rows = rows_of(pair, traces[:8])
    features = (5, 0, 40)
    found = top_activations(
        pair.side("post"), sae, rows, features, n=6, execution=Execution(max_tokens=100)
    )
    x = torch.cat(
        [
            capture(pair.post, torch.tensor([row]), sites=[sae.site]).at[sae.site][0].detach()
            for row in traces[:8]
        ]
    )
    acts = sae.encode(x)[:, list(features)] * rows.counted[:, None]
    for i in range(3):
        best = acts[:, i].sort(descending=True, stable=True)
        torch.testing.assert_close(found.value[i], best.values[:6], atol=1e-4, rtol=1e-4)
        assert found.index[i].tolist() == best.indices[:6].tolist()
        per_id = {
            int(t): acts[(rows.ids == t) & rows.counted, i].mean().item()
            for t in rows.ids[rows.counted].unique()
        }
        ranked = sorted(per_id, key=lambda t: -per_id[t])[:6]
        assert found.token[i].tolist() == [t if per_id[t] > 0 else -1 for t in ranked]
        assert found.n_active[i] == (acts[:, i] > 0).sum()
    by_row = torch.stack([acts[rows.row == r].amax(0) for r in range(8)])
    torch.testing.assert_close(found.row_max, by_row, atol=1e-4, rtol=1e-4)


def test_what_cannot_be_falsified_is_refused(pair, planted, facts, traces):
    sae, reasoning = planted
    ask = {"reasoning": reasoning, "plain": facts[:20], "model": "base"}
    with pytest.raises(FeatureError, match="feature 8 is out of range"):
        token_injection(pair, sae, [8], **ask)
    with pytest.raises(FeatureError, match="3 texts"):
        token_injection(pair, sae, [0], **{**ask, "plain": facts[:3]})
    with pytest.raises(FeatureError, match="n_tokens is 0"):
        Injection(n_tokens=0)
    with pytest.raises(FeatureError, match=r"features \[1\] .* texts"):
        token_injection(pair, sae, [1], **{**ask, "reasoning": facts})


def test_d_of_equal_samples_is_0():
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    assert not cohens_d(x, x).any()


def test_the_picture_has_a_point_for_each_form_and_its_control(pair, planted, facts):
    sae, traces = planted
    found = token_injection(pair, sae, [0, 1], reasoning=traces, plain=facts[20:30], model="base")
    figure = found.figure()
    assert [len(trace.x) for trace in figure.data] == [12, 12]
    assert "context-dependent" in found._repr_html_()
