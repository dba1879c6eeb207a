"""Sections on calibration, corrections, length and markers, of thoughts built by hand."""

import pytest
import torch

from elicit.page import render
from elicit.page.traces.writing import writing_sections
from elicit.stats import Inference
from elicit.tasks import Problem
from elicit.traces import (
    Readings,
    Thought,
    Thoughts,
    calibration,
    epistemic,
    length_against,
    reflection,
)
from tests.page import made_traces as made

N = 12
HEDGED = made.TEXT.replace("b = 5 + 4 = 9", "wait 5 +4 = 9")
FEW = Inference(n_resamples=100)


@pytest.fixture(scope="module")
def results(organism):
    def of(text: str):
        book = made.ledger(n=N, text=text)
        items = tuple(
            Thought(
                problem=Problem(id=f"p{i}", prompt="Q", answer="7", difficulty=i % 3),
                text=text,
                answer="7",
            )
            for i in range(N)
        )
        readings = Readings.of_given(Thoughts(task="t", source="given", items=items), book)
        pair = organism("rl")
        asked = (calibration, reflection, epistemic)
        made_of = [ask(pair, readings, inference=FEW) for ask in asked]
        return [*made_of, length_against(pair, readings, inference=FEW)]

    return {text: of(text) for text in (made.TEXT, HEDGED)}


def test_words_that_never_occur_have_no_section(results):
    names = [[s.id for s in writing_sections(results[text])] for text in (made.TEXT, HEDGED)]
    assert names[0] == ["calibration-0", "lengths-3"]
    assert names[1] == ["calibration-0", "reflection-1", "epistemic-2", "lengths-3"]


def test_every_number_of_them_is_on_the_page(results):
    page = render(results[HEDGED])
    for word in ("Brier score", "fixed by a correction", "wait", "with being right", "debiased"):
        assert word in page
    # Each of 12 thoughts says `wait` once in 24 tokens.
    assert "4.17 in base and 4.17 in post" in page


def test_corrections_of_thoughts_that_go_right_fix_and_break_as_written(results):
    found = results[HEDGED][1]
    # Base is wrong before and after the step; post is right before it and wrong after it.
    rows = {name: found.estimate.value[i].tolist() for i, name in enumerate(found.metric)}
    assert rows["steps of correction"] == [1, 1]
    assert rows["fixed by a correction"][0] == 0 and rows["broken by a correction"][1] == 1
    base, post = found.figure().data
    assert (base.name, post.name) == ("base", "post")
    assert torch.tensor(post.x[2]).item() == 1
