"""The page says of depths what the readings say, no more, and nothing that a text in them wants."""

import dataclasses
import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from elicit.page import render, write
from elicit.page.grafting import summary_sentence
from elicit.page.revision.text import (
    band_sentence,
    convention_text,
    depth_sentence,
    group_sentence,
    ratio_sentence,
    revise_sentences,
    revise_verdict,
)
from elicit.results import Estimate, Result, interval
from elicit.revision import DepthConvention, Settling
from tests.page.made import HOSTILE, roles
from tests.revision import made

Visit = Callable[..., tuple[Any, dict[str, list[str]]]]


def own(page: str) -> str:
    """The page without plotly.js."""
    start = page.index("<script>/**\n* plotly.js")
    return page[:start] + page[page.index("</script>", start) :]


def told(value: float, low: float, high: float, **given: object) -> Settling:
    """Depths whose difference is this one."""
    found = made.settling(later=0.6, **given)  # pyright: ignore[reportArgumentType]
    ends = torch.tensor([value, low, high], dtype=torch.float64)[:, None]
    depth_diff = Estimate.of(ends.expand(3, len(found.source)))
    return dataclasses.replace(found, depth_diff=depth_diff)


def everything() -> list[Result]:
    """Readings of one run."""
    found = made.settling(later=0.6, sources=("given", "base", "post"))
    return [found, made.profile(), made.band(found), made.groups(found)]


# --- what is said


def test_a_difference_is_told_only_where_its_interval_is_clear_of_zero():
    later = depth_sentence(told(0.07, 0.05, 0.08), "given")
    assert later == (
        "On the same tokens of the given traces, post’s predictions settle 0.07 [0.05, 0.08] "
        "layers later than base’s."
    )
    earlier = depth_sentence(told(-0.3, -0.4, -0.2, sources=("base",)), "base")
    assert "base’s texts" in earlier
    assert earlier.endswith("settle 0.30 [0.20, 0.40] layers earlier than base’s.")
    unclear = depth_sentence(told(0.02, -0.01, 0.05), "given")
    assert "no clear difference" in unclear and "+0.02 [−0.01, 0.05] layers" in unclear


def test_two_equal_models_differ_by_exactly_nothing_and_no_ratio_is_compared():
    same = made.settling()
    assert depth_sentence(same, "given").endswith("every difference is exactly 0.")
    assert ratio_sentence(same, "given") == "" and band_sentence(made.band(same)) == ""


def test_one_problem_says_nothing_of_others():
    alone = told(0.5, torch.nan, torch.nan, n_problems=1)
    assert "one problem" in depth_sentence(alone, "given")
    assert ratio_sentence(alone, "given") == ""


def test_a_ratio_is_never_told_without_its_paired_difference():
    found = made.settling(later=0.6)
    said = ratio_sentence(found, "given")
    ends = [100 * end for end in found.dtr_diff[0].ends]
    assert ends[1] > 0
    assert f"{interval(*ends, digits=1).removeprefix('+')} points more in post" in said
    assert "all 5 layers have run" in said
    diff = dataclasses.replace(found.dtr_diff, low=-found.dtr_diff.high)
    unclear = dataclasses.replace(found, dtr_diff=diff)
    assert "no clear difference (+" in ratio_sentence(unclear, "given")


def test_the_band_says_whether_the_sign_holds():
    band = made.band(made.settling(later=0.6))

    def ends(low: float, high: float) -> torch.Tensor:
        half = torch.full_like(band.dtr_diff.value, low)
        half[1:] = high
        return half

    def said(low: float, high: float) -> str:
        value = ends(low, high)
        diff = Estimate(value=value, low=value - 0.01, high=value + 0.01)
        return band_sentence(dataclasses.replace(band, dtr_diff=diff))

    assert said(0.1, 0.2) == "Post settles deep more often under all 12 conventions tried."
    assert "less often under all 12" in said(-0.1, -0.2)
    assert "more often under 8 of 12, less often under 4" in said(-0.1, 0.2)
    assert "excludes 0 (more in post) under 8 of 12" in said(0.005, 0.2)
    assert "excludes 0 under none of 12" in said(0.005, -0.005)


def test_groups_are_told_from_the_first_to_the_last():
    groups = made.groups(made.settling(later=0.6), (1, 2, 3))
    said = group_sentence(groups)
    ends = groups.step[1, -1].ends
    assert said.startswith("From difficulty 1 to 3, mean depth changes by ")
    assert f"{interval(*ends, digits=2)} layers in post" in said


def test_a_convention_is_spelled_out_in_full():
    said = convention_text(DepthConvention(), 6)
    for words in (
        "final norm is applied once", "first depth whose", "g = 0.5 bits (0.347 nats)",
        "⌈ρL⌉ = ⌈0.85 · 6⌉ = 6", "cannot settle at the embedding",
    ):  # fmt: skip
        assert words in said
    other = DepthConvention(
        unit="nats", norm="none", reading="last_exit", layers="embedding_and_blocks", rho=0.5
    )
    said = convention_text(other, 6)
    for words in (
        "not applied to any state",
        "from which on all",
        "0.5 nats",
        "= 3 layers on",
        "can settle at the embedding",
    ):
        assert words in said


# --- the page


def test_a_page_about_depths_speaks_of_nothing_that_was_moved():
    found = everything()
    text = own(render(found, config={"pair": "organism:x"}, command="revise"))
    assert "when do their predictions settle?" in text
    assert "elicit revise --config run.yaml" in text
    for word in ("corrupted or", "No layers were moved", "Rounding to 16 bits", "Moving parts"):
        assert word not in text, word
    for said in revise_sentences(found):
        assert html.escape(said, quote=False) in text
    for words in (
        "in <b>bits</b>",
        "<b>final norm</b>",
        "⌈ρL⌉</b> layers (Eq. 5)",
        "running minimum",
    ):
        assert words in text
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)


def test_the_figures_of_the_page_are_those_of_the_results():
    text = render(everything())
    data = dict(
        re.findall(r'<script type="application/json" id="([^"]+)-data">(.*?)</script>', text, re.S)
    )
    assert set(data) == {
        *("plot-settling-0", "plot-strip-0-0", "plot-strip-0-1"),
        *("plot-profile-0-0", "plot-profile-0-1", "plot-band-0", "plot-groups-0"),
    }
    found: Any = everything()[0]
    drawn = json.loads(data["plot-strip-0-1"])["data"][0]["z"]
    here = (found.source_of == 0) & (found.row == 1)  # the profile's second row
    assert drawn == found.depth[:, here].tolist()


def test_every_row_of_the_table_of_depths_begins_with_the_paired_difference():
    found: Any = everything()[0]
    text = own(render([found]))
    table = text[text.index('aria-labelledby="table-settling-0-2"') :]
    heads = re.findall(r'<th scope="col"[^>]*><bdi>([^<]+)', table)[:5]
    assert heads == ["text", "measured", "post minus base", "base", "post"]
    for s in range(3):
        ends = found.depth_diff[s].ends
        assert f"<b>{interval(*ends)}</b>" in table


@pytest.mark.parametrize("n", range(4))
def test_each_reading_alone_has_a_page(n):
    text = own(render([everything()[n]], command="revise"))
    assert "<section>" in text and "when do their predictions settle?" in text


def test_the_decision_alone_has_no_strip_and_a_page():
    text = render([made.settling(n_tokens=2, n_problems=4, sources=("prompt",))])
    assert "the decision after the prompt" in text
    single = made.settling(n_tokens=2, n_problems=4, sources=("prompt",))
    single = dataclasses.replace(single, row=torch.arange(8))
    assert "plot-strip" not in render([single])


def test_a_page_about_weights_and_depths_says_both_and_weights_come_first():
    text = own(render([*everything(), roles()]))
    places = [text.index(html.escape(summary_sentence(roles()), quote=False)[:60])]
    places += [text.index(mark) for mark in ('id="layers"', 'id="settling-0"', 'id="band-0"')]
    assert places == sorted(places)
    assert "Moving parts" in text and "<h3>Settling depth</h3>" in text


# --- in a browser


@pytest.fixture(scope="module")
def attacked(tmp_path_factory) -> Path:
    words = tuple(HOSTILE[:4])
    found = made.settling(later=0.6, words=words, sources=(HOSTILE[0], HOSTILE[1]))
    found = dataclasses.replace(found, problem=tuple(f"{HOSTILE[i % 6]}{i}" for i in range(8)))
    read = dataclasses.replace(
        made.profile(words=words), problem=(HOSTILE[2], HOSTILE[3]), source=HOSTILE[4]
    )
    results = [found, read, made.band(found), made.groups(found, (HOSTILE[0], HOSTILE[2]))]
    path = tmp_path_factory.mktemp("page") / "report.html"
    return write(results, path, title=HOSTILE[0], notes=HOSTILE, config={"pair": HOSTILE[1]})


def test_hostile_tokens_and_names_are_on_the_page_as_text_only(attacked):
    text = own(attacked.read_text("utf-8"))
    for data in re.findall(r'application/json" id="[^"]+">(.*?)</script>', text, re.S):
        assert not re.search("[<>&]", data)
        assert not re.search(r"<(?!/?(b|br|i|extra)>)", json.dumps(json.loads(data)))
    markup = re.sub(r'<script type="application/json"[^>]*>.*?</script>', "", text, flags=re.S)
    for tag in ("<img", "<iframe", "<base", "<svg onload", "<b>bold", "alert(1)</script>"):
        assert tag not in markup
    assert "\u202e" not in text and "\x00" not in text


@pytest.mark.slow
def test_hostile_tokens_do_nothing_in_a_browser(attacked, visit: Visit, request):
    """By their own escaping, the content policy put aside; with `--full` under the policy too."""
    for guarded in (False, True) if request.config.getoption("full") else (False,):
        page, seen = visit(attacked, guarded=guarded)
        page.wait_for_function("document.querySelectorAll('.plot .main-svg').length >= 4")
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        page.locator("#plot-profile-0-0 .heatmaplayer").first.hover(force=True)
        page.wait_for_timeout(300)
        assert page.evaluate("typeof window.hit") == "undefined"
        assert seen == {"errors": [], "requests": [attacked.as_uri()], "dialogs": []}


@pytest.mark.slow
def test_the_page_opens_offline_without_an_error_and_fits_its_window(tmp_path, visit: Visit):
    long = made.profile(n_tokens=200, rows=1)
    path = write([*everything(), long], tmp_path / "report.html")
    page, seen = visit(path)
    for width in (1280, 700):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("document.querySelectorAll('.heatmaplayer image').length >= 4")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#plot-settling-0 path.point").count() >= 18
        assert seen == {"errors": [], "requests": [path.as_uri()], "dialogs": []}


def test_the_verdict_says_the_direction_and_whether_the_ratio_agrees():
    later = told(0.07, 0.05, 0.08)
    assert revise_verdict([later]) == "Post’s predictions settle slightly later than base’s."
    assert "settle earlier than" in revise_verdict([told(-0.5, -0.6, -0.4)])
    assert "neither clearly later nor" in revise_verdict([told(0.02, -0.01, 0.05)])
    band = made.band(made.settling(later=0.6))
    value = torch.full_like(band.dtr_diff.value, 0.1)
    always = Estimate(value=value, low=value - 0.01, high=value + 0.01)
    agrees = revise_verdict([later, dataclasses.replace(band, dtr_diff=always)])
    assert agrees.endswith("ratio is higher in post under every convention tried.")
    never = Estimate(value=value, low=value - 1, high=value + 1)
    hangs = revise_verdict([later, dataclasses.replace(band, dtr_diff=never)])
    assert hangs.endswith("depends on its conventions.")
    assert revise_verdict([made.settling()]) == "" and revise_verdict([]) == ""
