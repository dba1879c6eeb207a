"""Candidates are told on other problems beside features of like rate, and all tests must agree."""

import dataclasses

import pytest
import torch

from elicit.features import FeatureError, conclude, held_out
from tests.features import made

HOOK = "blocks.4.hook_resid_post"


@pytest.fixture(scope="module")
def planted(pair, prompts):
    """Feature 0 reads the difference of the two headers; the others anything but that."""
    from elicit.capture import capture
    from elicit.sites import resid_post

    site = resid_post(4)
    ends = {
        header: torch.stack(
            [
                capture(pair.base, torch.tensor([r]), sites=[site]).at[site][0, -1].detach()
                for r in rows[:12]
            ]
        )
        for header, rows in prompts.items()
    }
    gap = ends["notes"].mean(0) - ends["quiz"].mean(0)
    middle = (ends["notes"].mean(0) + ends["quiz"].mean(0)) / 2
    others = torch.randn(9, pair.d_model, generator=torch.Generator().manual_seed(1))
    others -= (others @ gap)[:, None] * gap / gap.norm() ** 2
    readers = torch.cat([gap[None] / gap.norm(), others / others.norm(dim=1, keepdim=True)])
    bias = -(readers @ middle)
    return made.hand_made(readers, hook=HOOK, bias=bias)


@pytest.fixture(scope="module")
def held(pair, planted, prompts):
    return held_out(
        pair,
        planted,
        [0, 3],
        cot=prompts["notes"][12:],
        direct=prompts["quiz"][12:],
        found_by=["prompts", "asked for"],
        on="base",
    )


def test_the_planted_feature_holds_and_another_does_not(held):
    assert held.n_problems == 36
    assert held.holds(0) and not held.holds(3)
    assert held.auroc[0] == 1 and held.p[0] < 1e-6
    assert held.difference_low[0] > 0
    assert held.control_difference_high[0] < held.difference_low[0]
    assert abs(held.control_auroc[0] - 0.5) < 0.35
    assert not {"0", "3"} & {f for line in held.matched for f in line.split()}
    with pytest.raises(FeatureError, match="feature 5 is no candidate"):
        held.holds(5)


def test_the_difference_is_that_of_the_activations(pair, planted, prompts, held):
    from elicit.capture import capture

    acts = [
        torch.stack(
            [
                planted.encode(
                    capture(pair.base, torch.tensor([r]), sites=[planted.site])
                    .at[planted.site][0, -1]
                    .detach()
                )
                for r in prompts[header][12:]
            ]
        )
        for header in ("notes", "quiz")
    ]
    expected = (acts[0] - acts[1]).double().mean(0)
    torch.testing.assert_close(held.difference, expected[[0, 3]], atol=1e-4, rtol=1e-4)


def test_no_contrast_is_refused(pair, planted, prompts):
    rows = prompts["notes"][:6]
    with pytest.raises(FeatureError, match="token by token, so no feature could tell them apart"):
        held_out(pair, planted, [0], cot=rows, direct=rows, on="base")
    with pytest.raises(FeatureError, match="6 prompts for a trace and 5 for an answer"):
        held_out(pair, planted, [0], cot=rows, direct=prompts["quiz"][:5], on="base")
    with pytest.raises(FeatureError, match="feature 10 is asked for"):
        held_out(pair, planted, [10], cot=rows, direct=prompts["quiz"][:6], on="base")


def test_a_candidate_stays_only_if_nothing_rejects_it(pair, planted, held):
    """Each verdict alone takes it out."""
    from elicit.features import Regeneration, TokenInjection

    n, nan = 2, torch.full((2, 3), float("nan"), dtype=torch.float64)
    injection = TokenInjection(
        sae="x", site="x", model="x", n_texts=9, feature=torch.tensor([0, 3]),
        verdict=("context-dependent",) * 2, tokens=("a", "b"), reasoning=torch.zeros(n),
        plain=torch.zeros(n), form=("append",), injected=torch.zeros(n, 1),
        transfer=torch.zeros(n, 1), d=torch.zeros(n, 1), p=torch.ones(n, 1),
        control_d=torch.zeros(n, 1),
    )  # fmt: skip
    empty = torch.zeros(0, dtype=torch.long)
    again = Regeneration(
        sae="x", site="x", model="x", n_samples=1, window=1, temperature=1.0, least=0.5, level=0.95,
        feature=torch.tensor([0, 3]), verdict=("stable",) * 2, threshold=torch.ones(n),
        n_problems=torch.tensor([9, 9]), matched=("", ""), arm=("a", "b", "c"), again=nan,
        again_low=nan, again_high=nan, excess=nan, excess_low=nan, excess_high=nan,
        token_again=nan, shown_again=nan, of=empty, row=empty, pos=empty, rate=empty.double(),
    )  # fmt: skip
    ask = {"model": "x", "failed": [], "n_choose": 12, "n_test": 36, "held": held}
    both = conclude(pair, planted, **ask, injection=injection, again=again)
    assert both.stays == (0,) and both.feature.tolist() == [0, 3]
    driven = dataclasses.replace(injection, verdict=("token-driven", "weak"))
    assert conclude(pair, planted, **ask, injection=driven, again=again).stays == ()
    lost = dataclasses.replace(again, verdict=("unclear", "stable"))
    assert conclude(pair, planted, **ask, injection=injection, again=lost).stays == ()
    assert conclude(pair, planted, **ask, injection=None, again=again).stays == ()
    assert conclude(pair, planted, **ask, injection=injection, again=None).stays == ()


def test_the_picture_has_each_candidate_and_its_control(held):
    figure = held.figure()
    assert [list(trace.y) for trace in figure.data] == [["0", "3"]] * 2
