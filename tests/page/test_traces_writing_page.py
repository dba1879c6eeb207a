"""Sections on calibration, corrections, length and markers, of thoughts built by hand."""

from dataclasses import replace

import pytest
import torch

from elicit.page import render
from elicit.page.traces.reach import votes_section, votes_sentence
from elicit.page.traces.text import complete_sentence
from elicit.page.traces.writing import writing_sections
from elicit.results import Estimate
from elicit.stats import Inference
from elicit.tasks import Problem
from elicit.traces import (
    Readings,
    Thought,
    Thoughts,
    VoteSweep,
    calibration,
    epistemic,
    length_against,
    reflection,
)
from elicit.verdicts import Scorecard
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


def test_votes_are_told_by_budget_and_no_more_than_their_intervals_say():
    found = VoteSweep(
        reading=("base", "post"),
        budget=torch.tensor([10, 40]),
        accuracy=known([[0.2, 0.4], [0.5, 0.5]]),
        difference=known([0.3, 0.05]),
        single=Estimate.missing(2, 2),
        n_votes=torch.tensor([[1.0, 4.0], [0.5, 2.0]]).double(),
        exhausted=torch.zeros(2, 2).double(),
        mean_tokens=torch.tensor([10.0, 20.0]).double(),
        n_samples=4,
        n_orders=24,
        level=0.95,
    )
    assert votes_sentence(found) == "Post’s votes are right more often at 10 tokens."
    even = replace(found, difference=known([0.05, -0.05]))
    assert votes_sentence(even).startswith("At no budget")
    both = replace(found, difference=known([0.3, -0.3]))
    assert "; base’s votes are right more often at 40" in votes_sentence(both)
    section = votes_section(found, 0)
    assert "10 in base and 20 in post" in section.lead
    # No thoughts of their own: nothing dotted.
    assert [trace.name for trace in found.figure().data] == ["base, votes", "post, votes"]
    page = render([found])
    assert "Votes at equal tokens" in page and "1.0 / 0.5" in page


def test_a_card_without_cut_texts_is_a_section_of_its_own_and_a_sentence():
    card = made.everything()[0]
    assert isinstance(card, Scorecard)
    rest = replace(card, n_cut=3, verdict="intact", n_problems=37)
    page = render([card, rest])
    assert "The same without texts that were cut short" in page
    assert "3 problems are left out" in page
    said = complete_sentence([card, rest])
    assert said == (
        "Without the 3 problems on which a text was cut short, the verdict is another, intact."
    )
    assert complete_sentence([card]) == ""
    assert complete_sentence([card, replace(rest, verdict=card.verdict, n_cut=1)]) == (
        "Without the 1 problem on which a text was cut short, the verdict is the same."
    )


def known(values: list) -> Estimate:
    value = torch.tensor(values).double()
    return Estimate(value=value, low=value - 0.1, high=value + 0.1)
