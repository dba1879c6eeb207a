"""The page for who reads it in the dark, on paper, with a keyboard, or not with the eyes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs_version

from elicit.page import Compared, ComparedModel, ComparedTask, Example, render, write
from elicit.page.grafting import summary_sentence
from elicit.results import marks
from tests.page.made import HOSTILE, everything, roles, samples

Visit = Callable[..., tuple[Any, dict[str, list[str]]]]
DRAWN = "document.querySelectorAll('.plot .main-svg').length >= 6"
COMPARED = Compared(
    models=tuple(
        ComparedModel(
            role=role, name=name, n_parameters=135_000_000, n_layers=30, architecture="llama"
        )
        for role, name in (("base", HOSTILE[0]), ("post", "b"))
    ),
    tasks=(
        ComparedTask(
            name="facts",
            n=40,
            score="A problem’s score is the probability of the answer.",
            examples=(
                Example(prompt=HOSTILE[1], answer="7", said=(("base", HOSTILE[3], "wrong"),)),
            ),
        ),
    ),
    planted="Nothing was planted.",
)


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(
        everything(),
        tmp_path_factory.mktemp("readers") / "report.html",
        notes=["a note"],
        config={"pair": "organism:x"},
        compared=COMPARED,
        further="elicit patch --pair organism:x --out runs/patch",
    )


def test_a_page_is_small_enough_to_be_mailed(page_of):
    assert page_of.stat().st_size <= 1_500_000


def test_the_script_draws_what_the_installed_plotly_writes():
    assert f" v{get_plotlyjs_version()}\n" in marks.plotly_script()[:200]


def test_a_page_without_figures_carries_no_script_to_draw_them():
    assert "* plotly.js (" in render([roles()])
    assert "* plotly.js (" not in render([samples()])


def test_the_box_says_what_was_compared_and_shows_hostile_text_as_text(page_of):
    text = page_of.read_text("utf-8")
    box = text[text.index('class="compared" aria') :].partition("</section>")[0]
    assert "135.0 million parameters, 30 layers (0–29), llama" in box
    assert "40 problems. A problem’s score is the probability of the answer." in box
    assert "<b>A planted toy.</b> Nothing was planted." in box
    assert "<img" not in box and "<script" not in box and "(wrong)" in box
    places = [text.index(mark) for mark in ('class="summary"', 'class="compared" aria', "a note")]
    assert places == sorted(places), "the verdict comes first"
    assert 'class="compared" aria' not in render([roles()])


def test_the_page_names_its_next_step_and_how_to_run_it_again(page_of):
    text = page_of.read_text("utf-8")
    assert "<pre>\nelicit patch --pair organism:x --out runs/patch</pre>" in text
    assert "elicit report --config run.yaml --out again" in text
    assert "What to ask next" not in render([roles()])


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_rule_of_axe_is_broken_in_light_and_dark(page_of, visit: Visit, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page, seen = visit(page_of, guarded=False)
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(DRAWN)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.wait_for_timeout(300)
    broken = {each["id"]: each["nodes"][0]["html"] for each in axe.run(page).response["violations"]}
    assert broken == {}
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 20, 20)"}[scheme]
    page.evaluate("document.querySelector('.lead').style.color = '#777'")
    page.evaluate("document.body.style.background = '#666'")
    found = {each["id"] for each in axe.run(page).response["violations"]}
    assert "color-contrast" in found, "the rules see what is broken"
    assert seen["errors"] == []


@pytest.mark.slow
def test_figures_say_their_finding_and_what_scrolls_is_reached_by_keyboard(page_of, visit: Visit):
    page, _ = visit(page_of, width=600)
    page.wait_for_function(DRAWN)
    first = page.locator("#plot-layers .main-svg").first
    assert first.get_attribute("role") == "img"
    assert summary_sentence(roles()) in str(first.get_attribute("aria-label"))
    assert page.locator("#plot-layers").get_attribute("role") is None, "its buttons are no picture"
    stops = page.evaluate(
        "[...document.querySelectorAll('.scroll, pre')].filter(b => b.offsetParent)"
        ".map(b => [b.scrollWidth > b.clientWidth + 1 || b.scrollHeight > b.clientHeight + 1,"
        " b.tabIndex === 0])"
    )
    assert any(over for over, _ in stops) and all(over == stop for over, stop in stops)


@pytest.mark.slow
def test_on_paper_everything_is_unfolded_and_figures_fit(page_of, visit: Visit):
    page, _ = visit(page_of)
    page.wait_for_function(DRAWN)
    folded = page.locator("details:not([open])").count()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    left = page.locator("details:not([open])").evaluate_all("all => all.map(d => d.className)")
    assert folded > len(left) and set(left) == {"kept"}
    page.wait_for_function("document.querySelectorAll('.plot:not([data-drawn])').length === 0")
    widths = page.locator(".plot .svg-container").evaluate_all("all => all.map(p => p.offsetWidth)")
    assert widths and set(widths) == {680}
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() == folded
    page.wait_for_function(
        "document.querySelector('#plot-layers .svg-container').offsetWidth > 700"
    )
