"""Calibration and markers of both models' thoughts, against counts by hand."""

from dataclasses import replace

import pytest
import torch

from elicit.stats import Inference
from elicit.traces import Readings, calibration, epistemic
from elicit.traces.discrimination import right_of

FEW = Inference(n_resamples=100)


@pytest.fixture(scope="module")
def alike(read_given):
    """A reading in which post says exactly what base says."""
    made = read_given("answers-only")
    book = made.ledger
    twice = {
        name: getattr(book, name)[[0, 0]] for name in ("candidate_log_prob", "entropy", "log_prob")
    }
    return made, Readings.of_given(made.thoughts, replace(book, **twice))


@pytest.mark.slow(checked=True)
def test_a_model_beside_itself_is_calibrated_alike(alike):
    made, readings = alike
    found = calibration(made.pair, readings, inference=FEW)
    assert bool((found.difference.value == 0).all())
    assert torch.equal(found.value.value[:, 0], found.value.value[:, 1])
    told = epistemic(made.pair, readings, markers=("so",), inference=FEW)
    assert bool((told.difference.value == 0).all())


def test_the_brier_score_is_the_mean_square_and_splits(read_given):
    made = read_given("answers-only")
    found = calibration(made.pair, made.readings, inference=FEW)
    part = {name: found.value.value[i] for i, name in enumerate(found.measure)}
    for m, reading in enumerate(made.readings.both):
        sure = torch.stack([c.share[-1].max() for c in reading.curves()]).double()
        right = right_of(reading).double()
        assert float(part["Brier score"][m]) == pytest.approx(float(((sure - right) ** 2).mean()))
        assert float(part["uncertainty"][m]) == pytest.approx(float(right.var(correction=0)))
        assert int(found.n_errors[m]) == int((1 - right).sum())
        assert float(found.accuracy[m]) == pytest.approx(float(right.mean()))
        assert float(found.risk.value[m, -1]) == pytest.approx(1 - float(right.mean()))
        assert int(found.n_in_bin[m].sum()) == len(right)


def test_markers_are_counted_by_length_on_each_models_own_texts(read_given):
    made = read_given("rl")
    ids = made.readings.problem[:6]
    few = made.thoughts.only(ids)
    book = made.ledger.only(ids)
    # One text of post's says `maybe` twice, at the beginning and before a value.
    said = ("maybe " + book.text[0].replace("=", "maybe", 1), *book.text[1:])
    own = Readings.of_own(
        (replace(few, source="base"), book), (replace(few, source="post"), replace(book, text=said))
    )
    found = epistemic(made.pair, own, markers=("maybe", "wait"), inference=FEW)
    assert found.count.tolist() == [[0, 2], [0, 0], [0, 2]]
    n = int(found.n_tokens[1])
    assert float(found.per_100_tokens.value[0, 1]) == pytest.approx(200 / n)
    assert float(found.difference.value[0]) == pytest.approx(200 / n)
    assert found.n_marked.tolist()[0] == 0 and found.n_values[0] == found.n_values[1]
