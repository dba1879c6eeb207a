"""Candidates are evaluated on held-out problems beside rate-matched features; all must agree."""

import dataclasses

import pytest
import torch

from elicit.features import FeatureError, PromptContrast, conclude, held_out
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
        {0: "prompts", 3: "requested"},
        PromptContrast(cot=prompts["notes"][12:], direct=prompts["quiz"][12:]),
        model="base",
    )


def test_the_planted_feature_holds_and_another_does_not(held):
    assert held.n_problems == 36
    assert held.holds(0) and not held.holds(3)
    assert held.auroc[0] == 1 and held.p[0] < 1e-6
    assert held.found_by == ("prompts", "requested")
    assert held.difference.low[0] > 0
    assert held.control_difference.high[0] < held.difference.low[0]
    assert abs(held.control_auroc[0] - 0.5) < 0.35
    assert not {"0", "3"} & {f for line in held.matched for f in line.split()}
    with pytest.raises(FeatureError, match="feature 5 "):
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
    torch.testing.assert_close(held.difference.value, expected[[0, 3]], atol=1e-4, rtol=1e-4)


def test_no_contrast_is_refused(pair, planted, prompts):
    rows = prompts["notes"][:6]
    with pytest.raises(FeatureError, match="all 6 .*token by token"):
        PromptContrast(cot=rows, direct=rows)
    with pytest.raises(FeatureError, match="6 .*5"):
        PromptContrast(cot=rows, direct=prompts["quiz"][:5])
    both = PromptContrast(cot=rows, direct=prompts["quiz"][:6])
    with pytest.raises(FeatureError, match="feature 10 "):
        held_out(pair, planted, [10], both, model="base")


def test_a_candidate_survives_only_if_nothing_rejects_it(pair, planted, held):
    """Each verdict alone takes it out."""
    from elicit.features import ResamplingStability, TokenInjection
    from elicit.results import Estimate

    n, nan = 2, torch.full((2, 3), float("nan"), dtype=torch.float64)
    injection = TokenInjection(
        sae="x", site="x", model="x", n_texts=9, feature=torch.tensor([0, 3]),
        verdict=("context-dependent",) * 2, tokens=("a", "b"), reasoning=torch.zeros(n),
        plain=torch.zeros(n), form=("append",), injected=torch.zeros(n, 1),
        transfer=torch.zeros(n, 1), d=torch.zeros(n, 1), p=torch.ones(n, 1),
        control_d=torch.zeros(n, 1),
    )  # fmt: skip
    empty = torch.zeros(0, dtype=torch.long)
    resampling = ResamplingStability(
        sae="x", site="x", model="x", n_samples=1, window=1, temperature=1.0, least=0.5, level=0.95,
        feature=torch.tensor([0, 3]), verdict=("stable",) * 2, threshold=torch.ones(n),
        n_problems=torch.tensor([9, 9]), matched=("", ""), arm=("a", "b", "c"),
        rate=Estimate.missing(2, 3), excess=Estimate.missing(2, 3), token_rate=nan, shown_rate=nan,
        of=empty, row=empty, pos=empty, position_rate=empty.double(),
    )  # fmt: skip

    def survivors(*evidence):
        found = conclude(pair, planted, evidence, model="base", failed=[], n_choose=12, n_test=36)
        assert set(found.feature.tolist()) == ({0, 3} if held in evidence else set())
        return found.survivors

    assert survivors(held, injection, resampling) == (0,)
    driven = dataclasses.replace(injection, verdict=("token-driven", "weak"))
    assert survivors(held, driven, resampling) == ()
    lost = dataclasses.replace(resampling, verdict=("unclear", "stable"))
    assert survivors(held, injection, lost) == ()
    assert survivors(held, resampling) == ()
    assert survivors(held, injection) == ()
    assert survivors(injection, resampling) == ()


def test_the_picture_has_each_candidate_and_its_control(held):
    figure = held.figure()
    assert [list(trace.y) for trace in figure.data] == [["0", "3"]] * 2
