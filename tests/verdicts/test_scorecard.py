"""The scorecard: what was registered, the verdict by rule, and right verdicts on planted pairs."""

import dataclasses
import math

import numpy as np
import torch

from elicit.verdicts import Scorecard, judge

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
