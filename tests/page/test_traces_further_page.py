"""Sections on shifts, reach, crossed texts and anchors say what their results show, no more."""

import math
import re
from dataclasses import replace
from typing import Any

import pytest
import torch

from elicit.page import render
from elicit.page.traces.anchors import anchors_section, views
from elicit.page.traces.crossing import crossing_section, crossing_sentence
from elicit.page.traces.reach import crossover_sentence, reach_section
from elicit.page.traces.shifts import shifts_section, shifts_sentence
from tests.page import made_traces
from tests.page import made_traces_further as made
from tests.page.made import HOSTILE
from tests.page.test_traces_page import own

INF = math.inf


def tables(section: Any) -> list[Any]:
    return [item for item in section.items if hasattr(item, "rows")]


def texts(table: Any) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def titles(page: str) -> list[str]:
    return re.findall(r'<h2 id="([a-z]+)', page)


def test_sections_come_after_discrimination_and_before_the_texts():
    page = own(render([*made.everything(), *made_traces.everything()]))
    order = [name for name in titles(page) if name not in ("methods", "provenance")]
    assert order == [
        "scorecard", "dependence", "information", "conclusion", "discrimination",
        "shifts", "reach", "crossing", "anchors", "receivers", "thoughts",
    ]  # fmt: skip


@pytest.mark.parametrize("place", range(6))
def test_each_result_alone_has_its_section_and_figure(place):
    page = own(render([made.everything()[place]]))
    assert titles(page)[0] in ("shifts", "reach", "crossing", "anchors", "receivers")
    assert '<div class="plot"' in page


def test_both_divergences_stand_side_by_side_with_what_few_tokens_hold():
    said = shifts_sentence(made.shifts())
    assert "0.250 [0.200, 0.300] of the tokens of the given thoughts" in said
    assert (
        "most divergent 1 % of tokens holds 0.63 of KL(base‖post) and 0.01 of KL(post‖base)" in said
    )
    table = tables(shifts_section(made.shifts(), 0, ()))[0]
    assert table.head[2:4] == ("KL(base‖post)", "KL(post‖base)")
    assert [row[2].split()[0] for row in texts(table)] == ["9.00"] * 3
    assert "2 tokens whose KL is infinite are left out" in table.caption
    assert "entropy of 0.31 nats" in table.caption


def test_forks_that_read_alike_are_one_row_with_the_most_divergent_in_its_context():
    ledger = made_traces.ledger()
    rows = texts(tables(shifts_section(made.shifts(), 0, [ledger]))[1])
    assert rows[0][0] == "so" and rows[0][2:4] == ["2", "0.40"]
    assert rows[0][1].startswith("p0: |a| = 2 + 3") and rows[0][-1] == "1 of 2"
    assert "; b |=| 5 + 4" in rows[1][1]


def test_a_fork_without_its_text_is_named_by_its_place():
    rows = texts(tables(shifts_section(made.shifts(at=3), 0, ()))[1])
    assert rows[0][1] == "p0, token 3"
    unplaced = made_traces.ledger(placed=False)
    assert texts(tables(shifts_section(made.shifts(at=3), 0, [unplaced]))[1])[0][1] == rows[0][1]


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((INF, INF, INF), "Base overtakes post at no k up to 8; of larger k this says nothing."),
        (
            (INF, 4.0, INF),
            "at no k up to 8 (other draws of the problems leave room for it from k = 4",
        ),
        ((4.0, 2.0, INF), "at k = 4 (interval: from k = 2 on, or at none up to 8)."),
        ((4.0, 2.0, 8.0), "at k = 4 (interval: k = 2 to 8)."),
        ((1.0, 1.0, 1.0), "Base passes more than post already at k = 1, in other draws as well."),
        ((math.nan,) * 3, "Whether base overtakes post was not measured."),
    ],
)
def test_the_crossover_is_said_no_further_than_was_sampled(ends, said):
    assert said in crossover_sentence(made.reach(ends))


def test_reach_shows_chance_and_checked_thoughts_beside():
    section = reach_section(made.reach(), 0)
    assert "base passes 0.70 (above chance +0.10 [0.05, 0.15]; verified 0.35)" in section.lead
    figure = made.reach().figure()
    assert [trace.name for trace in figure.data if trace.line.dash == "dot"] == [
        "chance (base)", "chance (post)",
    ]  # fmt: skip
    assert {trace.xaxis for trace in figure.data} == {"x", "x2"}
    unchecked = made.reach(checked=False)
    assert {trace.xaxis for trace in unchecked.figure().data} == {"x"}
    assert "verified" not in reach_section(unchecked, 0).lead


def test_coverage_of_a_handful_of_problems_is_not_drawn():
    many, few = (reach_section(made.reach(n_solved=n), 0) for n in (20, 3))
    assert len([item for item in many.items if hasattr(item, "data")]) == 2
    assert len([item for item in few.items if hasattr(item, "data")]) == 1
    assert "Post solves 3 problems" in few.lead and "too few" in few.lead


def test_crossed_texts_are_told_with_what_was_used_and_the_control():
    said = crossing_sentence(made.crossing())
    assert "at most 1 token of post where the models differ (jsd ≥ 0.1), 1.00 used a text" in said
    assert "base is right in 1.00 instead of 0.30 (change +0.70 [0.60, 0.80])" in said
    assert "at random places (0.50 used) the change is +0.10 [" in said
    both = crossing_section([made.crossing("base"), made.crossing("post")])
    assert len([item for item in both.items if hasattr(item, "data")]) == 2
    taken = texts(tables(both)[0])
    assert taken[0] == ["so", "answer", "post", "base", "0", "2"]


def test_the_control_of_crossed_texts_is_grey_and_each_model_keeps_its_colour():
    figure = made.crossing("post").figure()
    colors = [trace.marker.color for trace in figure.data]
    control = colors[3]
    assert colors[4] == control and colors.count(control) == 2
    other = [trace.marker.color for trace in made.crossing("base").figure().data]
    assert (colors[0], colors[-1]) == (other[-1], other[0])


def test_steps_are_coloured_by_what_lies_above_their_floor_in_three_thoughts():
    shown = views(made.anchors())
    assert [view.problem for view in shown] == ["p5", "p4", "p3"]
    (_, base), (_, post) = shown[0].sides
    assert [step.ground for step in base] == ["up3", ""]
    assert [step.value for step in base] == ["0.90", ""]
    assert not any(step.ground for step in post)
    assert "move 1.500 nats" in base[0].told and "move" not in base[1].told


def test_anchors_give_the_floor_and_both_correlations():
    section = anchors_section(made.anchors(), 0)
    assert "floor over all steps" in section.lead and "8 texts were written on" in section.lead
    rows = texts(tables(section)[0])
    assert rows[0][0] == "resampling importance and headroom"
    assert rows[1][2] == "–"


def test_text_of_models_is_text_on_these_sections_too():
    text = "".join(HOSTILE)
    crossed = replace(made.crossing(taken=text), rule=HOSTILE[:3], problem=HOSTILE)
    results = [made.shifts(fork_text=HOSTILE[:3]), crossed, made.anchors(text)]
    page = own(render(results))
    for data in re.findall(r'application/json" id="[^"]+">(.*?)</script>', page, re.S):
        assert not re.search("[<>&]", data)
    markup = re.sub(r'<script type="application/json"[^>]*>.*?</script>', "", page, flags=re.S)
    for tag in ("<img", "<iframe", "<base", "<svg onload", "<b>bold", "alert(1)</script>"):
        assert tag not in markup
    assert "\u202e" not in page and "\x00" not in page
    assert markup.count("&lt;img src=x onerror=") > 10


def test_heads_clear_of_their_recency_are_counted_and_marked():
    page = own(render([made.receivers()]))
    assert "in 1 of 6 heads in base (9 texts) and 0 of 6 heads in post (8 texts)" in page
    marks = [cell for row in made.receivers().figure().data[0].text for cell in row]
    assert marks.count("●") == 1
    assert torch.tensor(made.receivers().figure().data[0].z).argmax() == 5
