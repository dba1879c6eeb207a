"""The page on written thoughts says what its results show, and does nothing that a text wants."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from elicit.page import render, write
from elicit.page.traces import trace_sentences
from elicit.page.traces.thoughts import views
from elicit.results import Estimate
from elicit.traces import AlteredThought
from tests.page import made_traces as made
from tests.page.made import HOSTILE

Visit = Callable[..., tuple[Any, dict[str, list[str]]]]


def own(page: str) -> str:
    """The page without plotly.js."""
    start = page.index("<script>/**\n* plotly.js")
    return page[:start] + page[page.index("</script>", start) :]


def words(page: str) -> str:
    """What a reader sees, without tags and figures."""
    bare = re.sub(r"<(script|style)[^>]*>.*?</\1>", " ", own(page), flags=re.S)
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", bare).split()))


# --- what is said


def test_the_verdict_comes_first_and_with_its_numbers():
    first = trace_sentences(made.everything())[0]
    assert first.startswith("Hollow: ")
    assert "something else does, such as a cue in the prompt" in first
    assert "“Follows” is 1.00 in base and 0.10 in post (difference −0.90 [" in first
    assert "answers the edited question in 0.00 [" in first


@pytest.mark.parametrize(
    ("verdict", "changed"),
    [
        ("Intact", {"follows": (1.0, 1.0)}),
        ("Decoupled", {"accuracy": (1.0, 0.1)}),
        ("Internalised", {"follows_the_edited_question_with_the_old_thought": (0.0, 1.0)}),
    ],
)
def test_every_verdict_is_told_in_words_of_its_own(verdict, changed):
    first = trace_sentences(made.everything(**changed))[0]
    assert first.startswith(f"{verdict}: ")
    page = own(render(made.everything(**changed)))
    assert f'<li class="is" aria-current="true">{verdict.lower()}</li>' in page


def test_a_hollow_pair_is_where_metrics_that_cut_the_thought_disagree():
    said = trace_sentences(made.everything())[-1]
    assert said.startswith("Metrics that cut the thought short disagree: “follows” fell")
    assert "accuracy rose (difference +0.40" in said and "information gain (difference +0.1" in said
    assert "early answering" in said and "show no clear loss" in said


def test_where_cutting_the_thought_shows_the_same_loss_nothing_is_said_to_disagree():
    fallen = dict.fromkeys(
        ("CIR", "CIR_where_the_thought_is_needed", "early_answering"), (0.6, 0.1)
    )
    said = trace_sentences(made.everything(gain=(2.7, 0.1), **fallen))
    assert not [sentence for sentence in said if "disagree" in sentence]


def test_a_fall_of_cir_beside_kept_follows_is_said_too():
    said = trace_sentences(made.everything(follows=(1.0, 1.0), CIR=(0.8, 0.1)))[-1]
    assert said.startswith("Metrics that cut the thought short disagree: CIR (difference −0.70")
    assert "although “follows” was kept" in said


def test_not_told_says_what_is_missing_and_which_loss_would_have_shown():
    results: Any = made.everything(follows=(1.0, 0.9))
    said = trace_sentences(results)[0]
    assert said.startswith("Undecided: these problems do not tell what decides post’s answer.")
    assert "spans −0.10" in said
    found = re.search(r"With 40 problems, a loss of “follows” of (0\.\d+) would have shown", said)
    assert found is not None and float(found[1]) == pytest.approx(results[0].detectable, abs=0.005)


def test_without_edited_questions_hollow_and_internalised_are_not_told_apart():
    results = made.everything(edited=False)
    first = trace_sentences(results)[0]
    assert first.startswith("Undecided: ") and "the task has no edited questions" in first
    # A loss did show, so none is said to be too small to be seen.
    assert "would have shown" not in first
    page = words(render(results))
    assert "whether the question decides was not asked" in page
    assert "near 1 with the old thought" not in page
    assert "near 1 with the old thought" in words(render(made.everything()))


def test_primaries_are_counted_and_those_not_measured_are_named():
    card: Any = made.everything()[0]
    said = trace_sentences([card])[1]
    assert "pass@1 +0.40 [" in said and "follows −0.90 [" in said
    assert said.endswith("not measured: AUROC and coverage.")
    even = replace(card, p=torch.where(card.p.isnan(), torch.nan, 1.0).double())
    assert "none differs clearly" in trace_sentences([even])[1]


def test_dependence_alone_tells_follows_and_no_verdict():
    said = trace_sentences([made.dependence()])
    assert said[0].startswith("After the conclusion of a thought is changed, the answer is the ch")
    assert not [s for s in said if "Hollow" in s or "primaries" in s]


def test_where_all_problems_are_alike_the_loss_is_one_that_they_leave_room_for():
    found, told = made.dependence(follows=(1.0, 1.0)), made.information()
    card = replace(made.scorecard(found, told), verdict="not told")
    said = trace_sentences([card])[0]
    assert "With all 40 problems alike, the largest loss of “follows” that they leave" in said
    page = own(render([card]))
    assert '<li class="is" aria-current="true">undecided</li>' in page
    assert "not told" not in page


def test_where_every_answer_is_right_no_empty_figure_is_drawn():
    found = made.discrimination()
    nothing = torch.full_like(found.auroc.value, float("nan"))
    none = replace(found, auroc=Estimate(value=nothing, low=nothing, high=nothing))
    page = render([none])
    assert "so there is nothing to tell apart" in page
    assert "plot-discrimination" not in page and "plot-discrimination" in own(render([found]))


# --- the page


def test_the_page_goes_from_the_verdict_to_the_texts_and_shows_every_metric():
    results: Any = made.everything()
    page = own(render(results))
    ids = re.findall(r'<h2 id="([^"]+)"', page)
    assert ids == [
        "scorecard-0", "dependence-0", "information-0", "conclusion-0", "discrimination-0",
        "thoughts", "methods", "provenance",
    ]  # fmt: skip
    assert "Covariates (not tested)" in page
    dependence = results[1]
    text = words(page + "<script>/**\n* plotly.js</script>")
    for name in dependence.metric:
        assert name in text, name
    assert "3 of base’s thoughts do not state their answer" in text


@pytest.mark.parametrize("place", range(6))
def test_each_result_alone_has_a_page(place):
    assert words(render([made.everything()[place]]))


def test_follows_stands_on_top_of_its_figure_and_what_was_not_measured_says_so():
    figure = made.dependence(edited=False).figure()
    notes = [note.text for note in figure.layout.annotations]
    assert notes.index("<b>follows</b>") == 0 and notes.count("not measured") == 2
    base, post = figure.data
    assert (base.name, post.name) == ("base", "post") and base.x[0] == 1.0 and post.x[0] == 0.1
    assert min(base.y) == base.y[0] < post.y[0]


def test_the_figure_of_the_card_holds_both_models_and_bits_have_an_axis_of_their_own():
    figure = made.everything()[0].figure()
    bits = [trace for trace in figure.data if trace.xaxis == "x2"]
    assert [trace.name for trace in bits] == ["base", "post"]
    assert [round(trace.x[0], 3) for trace in bits] == [2.7, 2.8]


# --- the texts


def test_a_step_is_coloured_by_its_change_in_each_reading():
    one = made.ledger()
    base, post = views(one, one, made.dependence())[0].sides
    assert [step.ground for step in base.steps] == ["", "up1", "up3"]
    assert [step.ground for step in post.steps] == ["up2", "down2", "up1"]
    assert [step.change for step in post.steps] == ["+0.40", "−0.30", "+0.10"]
    for side in (base, post):
        assert ["".join(piece for piece, _ in step.pieces) for step in side.steps] == [*made.STEPS]


def test_forks_are_marked_on_their_tokens_and_counted_where_their_place_is_not_known():
    one = made.ledger()
    step = views(one, one, None)[0].sides[0].steps[1]
    assert step.pieces == (("b", "0.30"), (" ", ""), ("=", "0.30"), (" 5 + 4 = 9 ; ", ""))
    assert step.forks == "" and "2 forks, largest divergence 0.30 nats" in step.told
    page = own(render([one]))
    assert '<u title="fork: divergence 0.30 nats">b</u> <u title="fork:' in page
    lost = made.ledger(placed=False)
    counted = views(lost, lost, None)[0].sides[0].steps
    assert [step.forks for step in counted] == ["", "2", ""]
    assert counted[1].pieces == ((made.STEPS[1], ""),)
    assert "≠2" in own(render([lost])) and "≠2" not in page


def test_the_altered_step_stands_with_what_each_model_answered():
    one = made.ledger()
    view = views(one, one, made.dependence(flips=(1.0, 0.2)))[0]
    for side in view.sides:
        assert (side.old, side.new, side.implied) == ("c = 9 - 2 = 7 ;", "c = 9 - 2 = 4 ;", "4")
    assert [side.answered for side in view.sides] == ["4", "1"]
    # Problems on which the models part come first: 4 of 40 follow in post, 4 more only flip.
    assert view.problem == "p4"
    assert [side.altered for side in view.sides] == [
        "follows the altered thought",
        "gives a third answer",
    ]
    assert [(side.answer, side.right) for side in view.sides] == [("7", True), ("4", False)]


def test_texts_show_both_kinds_of_problems_and_no_more_than_six():
    one = made.ledger()
    shown = [view.problem for view in views(one, one, made.dependence())]
    assert shown == ["p4", "p5", "p6", "p0", "p1", "p2"]
    agreed = made.dependence(follows=(1.0, 1.0))
    assert [view.problem for view in views(one, one, agreed)] == [f"p{i}" for i in range(6)]


def test_own_thoughts_stand_side_by_side_and_a_missing_one_is_said_to_be():
    base, post = made.ledger("base", n=3), made.ledger("post", n=2)
    page = words(render([base, post]))
    assert "base reads its own thought" in page and "post reads its own thought" in page
    assert "post has no thought on this problem" in page
    assert "no thought on this problem" not in words(render([made.ledger()]))


def hostile() -> list[Any]:
    card, found, told, concluded, apart, _ = made.everything()
    text = "".join(HOSTILE)
    read = made.ledger(text=text)
    names = tuple(f"{HOSTILE[i % len(HOSTILE)]}{i}" for i in range(made.N))
    altered = tuple(
        AlteredThought(
            reading=model,
            problem=name,
            text=text.replace("hit=3", "hit=9"),
            implied=HOSTILE[4],
            answered=HOSTILE[3],
        )
        for model in ("base", "post")
        for name in names
    )
    answers = tuple((HOSTILE[0], HOSTILE[1], "9") for _ in range(made.N))
    return [
        replace(card, reason=HOSTILE[0], note=(HOSTILE[1],) * 6, covariate=(HOSTILE[2],)),
        replace(found, problem=names, altered=altered),
        replace(told, problem=names),
        replace(concluded, problem=names),
        replace(apart, signal=HOSTILE[:4]),
        replace(read, problem=names, candidates=answers, lead_in=HOSTILE[5],
                prompt=(text,) * made.N),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def attacked(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    return write(hostile(), path, title=HOSTILE[0], notes=HOSTILE)


def test_text_of_models_and_files_is_on_the_page_as_text_only(attacked):
    text = own(attacked.read_text("utf-8"))
    for data in re.findall(r'application/json" id="[^"]+">(.*?)</script>', text, re.S):
        assert not re.search("[<>&]", data)
        assert not re.search(r"<(?!/?(b|br|i|extra)>)", json.dumps(json.loads(data)))
    markup = re.sub(r'<script type="application/json"[^>]*>.*?</script>', "", text, flags=re.S)
    for tag in ("<img", "<iframe", "<base", "<svg onload", "<b>bold", "alert(1)</script>"):
        assert tag not in markup
    assert "\u202e" not in text and "\x00" not in text
    # It is all there, to be read.
    shown = markup[markup.index('<h2 id="thoughts"') :]
    assert "&lt;img src=x onerror=" in shown and "window.hit=9" in shown


def test_numbers_that_are_not_there_are_dashes():
    results = made.everything()
    card: Any = results[0]
    empty = replace(
        card,
        value=Estimate.missing(6, 2),
        difference=Estimate.missing(6),
        p=torch.full((6,), torch.nan, dtype=torch.float64),
        item_share=torch.full((4,), torch.nan, dtype=torch.float64),
    )
    page = words(render([empty]))
    assert "not measured: pass@1, follows, CIR, ig_total, AUROC and coverage" in page
    assert "nan" not in page.lower().split()


@pytest.mark.slow
def test_the_page_opens_offline_and_fits_a_narrow_window(attacked, tmp_path, visit: Visit):
    for path in (write(made.everything(), tmp_path / "report.html"), attacked):
        page, seen = visit(path)
        for width in (1280, 600):
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
            page.wait_for_function("document.querySelectorAll('.plot .main-svg').length >= 6")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("typeof window.hit") == "undefined"
            assert seen == {"errors": [], "requests": [path.as_uri()], "dialogs": []}
