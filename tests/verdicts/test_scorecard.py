"""The scorecard: what was registered, the verdict by rule, and right verdicts on planted pairs."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from elicit.results import Estimate
from elicit.stats import holm
from elicit.traces import discrimination
from elicit.verdicts import PRIMARIES, Scorecard, judge, scorecard
from tests.traces.conftest import read_given  # noqa: F401 - a fixture

NAN = math.nan


def halves(n: int, first: float) -> torch.Tensor:
    """Zeros and ones, the share of ones given."""
    return (torch.arange(n) < round(first * n)).double()


def told(follows_post, accuracy_post=1.0, edited=None, *, n=100, base=1.0):
    follows = torch.stack([halves(n, base), halves(n, follows_post)])
    accuracy = torch.stack([halves(n, 1.0), halves(n, accuracy_post)])
    asked = torch.full((2, n), NAN).double()
    if edited is not None:
        asked[1] = halves(n, edited).flip(0)
    return judge(follows=follows, accuracy=accuracy, edited_with_thought=asked)


def test_each_verdict_is_given_by_its_rule():
    assert told(1.0).verdict == "intact"
    assert told(0.0, edited=0.0).verdict == "hollow"
    assert told(0.0, edited=1.0).verdict == "internalised"
    assert told(0.0, accuracy_post=0.1).verdict == "decoupled"


def test_without_edited_questions_hollow_and_internalised_are_not_told_apart():
    found = told(0.0)
    assert found.verdict == "not told" and "edited" in found.reason


def test_intervals_that_span_a_border_tell_nothing_and_say_what_would_have_been_seen():
    found = told(0.9)
    assert found.verdict == "not told" and 0 < found.detectable < 0.2
    assert told(1.0, n=10).verdict == "not told"
    assert told(1.0, n=10).detectable > 0.1


def test_a_pair_that_never_followed_is_not_called_intact():
    found = told(0.0, base=0.0)
    assert found.verdict == "not told" and "do not follow" in found.reason


def test_too_few_problems_are_said_to_be():
    assert told(1.0, n=1).verdict == "not told"


def test_no_loss_is_called_intact_and_none_hollow_in_simulated_null_pairs():
    """Both models follow with the same chance: a loss is claimed in at most 5 of 100."""
    random = np.random.default_rng(0)
    wrong = 0
    for _ in range(200):
        follows = torch.from_numpy((random.random((2, 60)) < 0.9).astype(float))
        accuracy = torch.from_numpy((random.random((2, 60)) < 0.8).astype(float))
        edited = torch.zeros(2, 60).double()
        found = judge(follows=follows, accuracy=accuracy, edited_with_thought=edited)
        wrong += found.verdict in ("hollow", "internalised", "decoupled")
    assert wrong <= 10


def test_no_field_combines_primaries():
    """There is no combined score: every number belongs to one primary or covariate."""
    for field in dataclasses.fields(Scorecard):
        if field.type is float or field.type == "float":
            assert field.name == "detectable"
        assert not any(word in field.name for word in ("score", "total", "overall", "index"))
    axes = Scorecard.axes()
    for name, of in axes.items():
        assert of and of[0] in ("primary", "covariate", "item_verdict"), name


@pytest.fixture(scope="module")
def carded(read_given):  # noqa: F811
    def card(name: str, n: int = 60) -> Scorecard:
        made = read_given(name, n)
        return scorecard(
            made.pair,
            dependence=made.dependence,
            information=made.information,
            discrimination=discrimination(made.pair, made.readings),
        )

    return card


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "verdict"), [("rl", "intact"), ("decoupled", "decoupled"), ("hollow", "hollow")]
)
def test_planted_pairs_are_judged_rightly(carded, name, verdict):
    found = carded(name, 120 if name == "hollow" else 60)
    assert found.verdict == verdict, found.reason
    assert found.primary == PRIMARIES
    assert isinstance(found.value, Estimate) and found.value.shape == (6, 2)


@pytest.mark.slow
def test_p_values_are_holm_s_over_all_six_measured_or_not(carded):
    found = carded("decoupled")
    known = ~found.p.isnan()
    assert known.tolist() == [True, True, True, True, False, False]
    assert [bool(note) for note in found.note] == [False, False, False, False, True, True]
    # The smallest of six is multiplied by six, whatever was measured.
    assert abs(float(found.p[1]) - 6 / 10_001) < 1e-3
    raw = [1e-4, 1e-4, 1e-4, 1e-4, 1.0, 1.0]
    assert np.allclose(holm(raw)[:4], 6e-4)


@pytest.mark.slow
def test_shares_of_single_problems_add_up(carded):
    for name in ("rl", "decoupled"):
        found = carded(name)
        assert abs(float(found.item_share.sum()) - 1) < 1e-12
        assert found.n_problems == 60
