"""Markers counted as whole words, and hedging that is planted or absent."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress

from elicit import load_result
from elicit.stats import Inference
from elicit.traces import (
    MARKERS,
    TraceError,
    frequency_matched,
    hedging_slope,
    marked_before,
    marker_rates,
)

HOW = Inference(n_resamples=200, seed=4)


def counted(text: str, *markers: str) -> list[int]:
    found = marker_rates([text], torch.tensor([9]), torch.tensor([0]), markers=markers)
    return found.count[:, 0].tolist()


@pytest.mark.parametrize(
    ("text", "marker", "times"),
    [
        ("Wait, wait. WAIT! (wait) wait—no", "wait", 5),
        ("waiting awaits await waiter wait_for wait2", "wait", 0),
        ("mighty almighty might-have check-in", "might", 0),
        ("It might've been; the 'might' of it", "might", 2),
        ("recheck checks checked re-check", "check", 0),
        ("let  me\ncheck. Let me check", "let me check", 2),
        ("a ? b ; b ? c", "?", 2),
        ("naïve naïveté", "naïve", 1),
    ],
)
def test_a_marker_is_a_word_of_its_own(text, marker, times):
    assert counted(text, marker) == [times, times]


@given(st.sampled_from(MARKERS), st.text("abcxyz", min_size=1, max_size=4), st.booleans())
def test_letters_beside_a_marker_always_make_another_word(marker, letters, before):
    joined = letters + marker if before else marker + letters
    assert counted(f"so {joined} it is", marker)[0] == 0
    assert counted(f"so {letters} {marker} it is", marker)[0] == 1


def test_rates_are_ratios_of_sums_and_any_adds_up():
    texts = ["wait maybe wait", "maybe", "nothing here", "wait"]
    tokens, problem = torch.tensor([50, 10, 30, 10]), torch.tensor([0, 0, 1, 2])
    found = marker_rates(texts, tokens, problem, markers=("wait", "maybe", "hmm"), inference=HOW)
    assert found.marker == ("wait", "maybe", "hmm", "any")
    assert found.per_text.value.tolist() == pytest.approx([3 / 4, 2 / 4, 0, 5 / 4])
    assert found.per_100_tokens.value.tolist() == pytest.approx([3, 2, 0, 5])
    # A marker that was never seen is not certain to be absent.
    assert float(found.per_100_tokens.high[2]) > 0 and float(found.per_100_tokens.low[2]) == 0


def test_longer_texts_of_the_same_words_have_the_same_rate_and_more_markers():
    texts = ["wait so it is", "so it is what it is", "maybe wait", "it is"] * 5
    tokens = torch.tensor([len(text.split()) for text in texts])
    problem = torch.arange(20)
    once = marker_rates(texts, tokens, problem, inference=HOW)
    twice = marker_rates([f"{t} {t}" for t in texts], 2 * tokens, problem, inference=HOW)
    torch.testing.assert_close(once.per_100_tokens.value, twice.per_100_tokens.value)
    torch.testing.assert_close(once.per_100_tokens.low, twice.per_100_tokens.low)
    torch.testing.assert_close(2 * once.per_text.value, twice.per_text.value)


def test_a_marker_counts_for_the_value_after_it_and_no_other():
    text = "wait a = 4 ; b = 7 ; c = 2 wait"
    places = [text.index(digit) for digit in "472"]
    assert marked_before(text, places, ["wait"]).tolist() == [True, False, False]
    later = "a = 4 ; wait b = 7 ; c = 2"
    places = [later.index(digit) for digit in "472"]
    assert marked_before(later, places, ["wait"]).tolist() == [False, True, False]
    assert marked_before("", [], ["wait"]).tolist() == []
    with pytest.raises(TraceError, match="do not rise"):
        marked_before(text, [9, 4], ["wait"])


def test_controls_are_the_words_whose_frequency_is_nearest():
    texts = ["wait " * 8 + "so " * 7 + "then " * 30 + "x1 " * 8, "maybe the the Maybe a"]
    assert frequency_matched(texts, ("wait", "maybe", "hmm")) == ("so", "the")
    assert frequency_matched(texts, ("wait",), each=2) == ("so", "then")
    with pytest.raises(TraceError, match="controls of their frequency"):
        frequency_matched(["wait here"], ("wait",), each=2)
    with pytest.raises(TraceError, match="0 markers occur"):
        frequency_matched(["nothing here"], ("wait",))


def planted(n: int = 40, per: int = 4, *, hedges: bool, seed: int = 0):
    """Values sure or guessed; a hedger marks exactly the guessed ones, another at random."""
    rng = np.random.default_rng(seed)
    guessed = rng.uniform(size=n * per) < 0.4
    entropy = np.where(guessed, 1.77, 0.01) + rng.uniform(0, 0.01, n * per)
    marked = guessed if hedges else rng.uniform(size=n * per) < 0.4
    control = rng.uniform(size=n * per) < 0.4
    problem = np.arange(n).repeat(per)
    return (
        torch.tensor(entropy),
        torch.tensor(marked),
        torch.tensor(problem),
        torch.tensor(control),
    )


def test_a_planted_hedger_is_found_and_its_controls_are_flat(tmp_path):
    entropy, marked, problem, control = planted(hedges=True)
    found = hedging_slope(
        entropy, marked, problem, controls={"so": control}, n_bins=2, inference=HOW
    )
    assert float(found.slope.value) == pytest.approx(1 / 1.76, rel=0.02)
    assert float(found.slope.low) > 0.5 and float(found.auroc.value) == 1
    assert abs(float(found.control_slope.value)) < 0.15
    assert float(found.above_controls.low) > 0.3
    assert float(found.rate_by_entropy.value[-1]) > 0.7
    again = load_result(found.save(tmp_path / "r"))
    assert again.to_frame().equals(found.to_frame())


def test_random_markers_have_no_slope_and_no_markers_none_above_chance():
    entropy, marked, problem, _ = planted(hedges=False)
    found = hedging_slope(entropy, marked, problem, inference=HOW)
    assert not bool(found.slope.clear) and bool(found.above_controls.value.isnan())
    never = hedging_slope(entropy, torch.zeros_like(marked), problem, inference=HOW)
    assert float(never.slope.value) == 0 and float(never.rate.high) > 0
    assert bool(never.auroc.value.isnan()) and never.n_marked == 0


def test_the_slope_is_scipy_s_and_a_copy_of_each_value_is_no_evidence():
    rng = np.random.default_rng(0)
    entropy = rng.gamma(1.0, size=90)
    marked = torch.tensor(rng.uniform(size=90) < np.minimum(entropy / 4, 1))
    problem = torch.arange(90) // 3
    found = hedging_slope(torch.tensor(entropy), marked, problem, inference=HOW)
    assert float(found.slope.value) == pytest.approx(linregress(entropy, marked.double()).slope)
    copied = hedging_slope(
        torch.tensor(entropy).repeat(5), marked.repeat(5), problem.repeat(5), inference=HOW
    )
    torch.testing.assert_close(copied.slope.low, found.slope.low)


def test_entropy_that_does_not_vary_has_no_slope_and_what_is_none_is_refused():
    marked, problem = torch.tensor([True, False, True]), torch.arange(3)
    flat = hedging_slope(torch.full((3,), 0.7), marked, problem, inference=HOW)
    assert bool(flat.slope.value.isnan()) and float(flat.auroc.value) == 0.5
    with pytest.raises(TraceError, match="1 values is negative"):
        hedging_slope(torch.tensor([0.1, -0.2, 0.3]), marked, problem)
    with pytest.raises(TraceError, match="0 bins"):
        hedging_slope(torch.rand(3), marked, problem, n_bins=0)
    with pytest.raises(TraceError, match="empty or there twice"):
        counted("text", "wait", "Wait")
    with pytest.raises(TraceError, match="with gaps"):
        marker_rates(["a", "b"], torch.tensor([1, 1]), torch.tensor([0, 2]))
