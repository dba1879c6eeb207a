"""The page about mechanisms says what was told, what controls do, and what would change it."""

import re
from dataclasses import replace

import pytest
import torch

from elicit.elicitation.figures import bits_figure, shares_figure
from elicit.page import render, sentences, write
from elicit.page.mechanisms.text import count, would_change
from elicit.representations import ShiftAgreement
from elicit.results.marks import MUTED
from tests.page import made_mechanisms as made


def everything(*, hostile: bool = False):
    tried = made.mechanisms(hostile=hostile)
    verdict = made.verdict(tried, worked=("prompt", "rlvr"), hostile=hostile)
    return [
        verdict,
        *tried,
        *made.beside(hostile=hostile),
        *made.decoding(hostile=hostile),
        *made.gates(hostile=hostile),
        *made.training(hostile=hostile),
    ]


def body(page: str) -> str:
    """The page without its style and scripts."""
    return re.sub(r"<(style|script)[^>]*>.*?</\1>", "", page, flags=re.S)


@pytest.fixture(scope="module")
def page() -> str:
    return render(everything())


def test_sections_go_from_the_verdict_to_single_texts(page):
    places = [
        page.index(f'id="{name}"')
        for name in (
            "origin-0", "mechanisms", "mechanisms-cost", "beside-mechanisms", "overlap-0",
            "agreement-0", "dial-0", "branches-0", "sharpened-0", "budget-0", "votes-0", "hybrid-0",
            "disagreements-0", "training-courses", "training-collateral", "examples-0",
            "mechanisms-texts",
        )
    ]  # fmt: skip
    assert places == sorted(places)


def test_no_number_is_nan_and_no_field_of_a_result_is_left_as_it_is(page):
    text = body(page)
    assert not re.search(r"\bnan\b|\binf\b", text)
    assert "tensor(" not in text and "Estimate(" not in text


def test_the_verdict_says_what_it_rests_on_and_what_would_change_it(page):
    text = body(page)
    assert "What post can do was elicited" in text
    assert "elicited (at least 0." in text
    assert "What would change the verdict" in text
    assert "known to lack the skill" in text
    assert "organism:created (created): not elicited, as it should be" in text


@pytest.mark.parametrize(
    ("n_right", "worked", "carried", "verdict", "named"),
    [
        (38, ("prompt",), float("nan"), "elicited", "closing no more than half"),
        (10, ("prompt",), float("nan"), "not elicited", "with a lower end above 0.5"),
        (10, ("prompt",), 0.8, "created", "only a positive result counts"),
        (10, None, float("nan"), "undecided", "Pairs of known truth: none was tried"),
        (26, ("prompt",), float("nan"), "partly", "More problems"),
    ],
)
def test_every_verdict_names_what_would_change_it(n_right, worked, carried, verdict, named):
    tried = (made.mechanism("prompt", n_right), made.mechanism("power", 9, bits=0.0))
    found = made.verdict(tried, worked=worked, carried=carried)
    assert found.verdict == verdict
    assert named in " ".join(would_change(found))
    assert found.words in sentences([found])[0]


def test_without_a_gap_no_share_is_told_and_the_reason_is():
    same = made.BASE.clone()
    tried = [made.mechanism("prompt", 38, post=same), made.mechanism("dial", 10, post=same)]
    page = render([made.verdict(tried), *tried])
    assert "no clear gain on base" in page
    assert "No share is reported: base scores" in page
    assert "plot-mechanisms-bits" not in page


def test_without_a_verdict_the_mechanism_that_closes_most_is_named_with_its_bits():
    tried = made.mechanisms()
    said = sentences(list(tried))
    assert len(said) == 1
    assert "dial closes most" in said[0]
    assert "post’s weights or logits" in said[0]
    assert "no verdict was asked for" in said[0]
    alone = render(list(tried))
    assert "origin-0" not in alone and 'id="mechanisms"' in alone


def test_a_control_that_closes_the_gap_stands_beside_what_it_controls(page):
    rows = re.findall(r"<tr>.*?</tr>", body(page), flags=re.S)
    mine = [row for row in rows if "diff-mean, random directions" in row]
    assert any("nothing, control" in row for row in mine)
    assert any(re.search(r"<strong>|class=\"[^\"]*strong|<b>", row) for row in mine)


@pytest.mark.parametrize("draw", [bits_figure, shares_figure])
def test_controls_are_grey_and_every_mechanism_is_drawn_once(draw):
    found = made.mechanisms()
    traces = [trace for trace in draw(found).data if trace.name != "temperature 1"]
    assert sum(len(trace.x) for trace in traces) == len(found)
    for trace in traces:
        assert (trace.marker.color == MUTED) == trace.name.endswith("control")
    assert {trace.name for trace in traces if not trace.name.endswith("control")} == {
        "nothing", "answers", "teacher", "post texts", "post weights",
    }  # fmt: skip


def test_what_is_told_more_stands_further_right():
    found = made.mechanisms()
    figure = bits_figure(found)
    at = {}
    for trace in figure.data:
        for x, text in zip(trace.x, trace.text, strict=True):
            at[text.partition(":")[0]] = x
    assert at["power"] < at["diff-mean"] < at["rlvr"] < at["critique"] < at["dial"]
    assert len(set(at.values())) == len(found)


def test_seeds_are_told_as_a_range(page):
    rlvr = made.mechanisms()[7]
    low, high = rlvr.share_by_seed.value.min().item(), rlvr.share_by_seed.value.max().item()
    assert low < high
    assert f"{low:.2f} to {high:.2f}" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (3.14, "3.1"), (770.4, "770"), (152_072.0, "152,072"), (3.2e12, "3.2·10¹²"),
     (float("nan"), "–"), (float("inf"), "–")],
)  # fmt: skip
def test_counts_have_as_many_digits_as_say_something(value, text):
    assert count(value) == text


def test_a_hybrid_is_told_beside_its_random_vector_and_posts_picking():
    hybrid, _ = made.gates()
    said = sentences([hybrid])[0]
    assert "2.8 % of base’s tokens" in said
    assert "a random vector of the same norm" in said
    assert "5 most probable tokens, without a vector" in said
    page = render([replace(hybrid, guardrail=True)])
    assert "(guardrail)" in page and "no guardrail" not in page


def test_agreement_of_shifts_stands_beside_its_reliability_at_a_few_of_many_layers():
    found = next(one for one in made.beside() if isinstance(one, ShiftAgreement))
    text = body(render([found]))
    for name in ("embedding", "layer 4", "layer 11"):
        assert f"{name}<" in text
    assert "layer 5<" not in text and "Reliability" in text and "No verdict depends on it" in text
    assert f"{found.reliability[1, 0].item():.2f}" in text


def test_long_texts_are_cut_and_marked():
    long = made.mechanism(text="so " * 900)
    page = body(render([long]))
    assert re.search(r"so s?o? ?…", page)
    assert page.count("so so") < 900


def test_a_bits_bound_above_all_others_does_not_hide_what_is_told_least():
    found = [made.mechanism("prompt", bits=8.0), made.mechanism("dial", 39, bits=4e9)]
    axis = bits_figure(found).layout.xaxis
    assert axis.range[0] < 0 and axis.range[1] > 9.6
    assert list(axis.ticktext)[:2] == ["0", "10¹"]


@pytest.mark.slow
def test_the_page_opens_offline_fits_narrow_screens_and_texts_do_nothing(tmp_path, visit):
    path = write(everything(hostile=True), tmp_path / "report.html")
    page, seen = visit(path)
    for width in (1280, 600):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        page.wait_for_function("document.querySelectorAll('.plot .main-svg').length >= 6")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("typeof window.hit") == "undefined"
        assert seen == {"errors": [], "requests": [path.as_uri()], "dialogs": []}


def test_verdict_of_made_arms_has_a_number_for_each():
    found = made.verdict(made.mechanisms(), worked=("prompt",))
    assert torch.equal(found.bits_told, torch.tensor([m.bits for m in made.mechanisms()]).double())
