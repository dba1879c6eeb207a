"""The page says what the results say, and nothing that a text in them would like it to say."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from elicit.page import PageError, plot, render, write
from elicit.page.grafting import summary_sentence
from elicit.results import ElicitError, Result
from tests.page.made import (
    HOSTILE,
    change,
    everything,
    hostile,
    intervals,
    roles,
    samples,
)

Visit = Callable[..., tuple[Any, dict[str, list[str]]]]
WIDTH = "document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return write(
        everything(), folder / "report.html", notes=["a note"], config={"pair": "organism:x"}
    )


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    config = {"pair": HOSTILE[0], "out": HOSTILE[3]}
    return write(hostile(), path, title=HOSTILE[0], notes=HOSTILE, config=config)


def own(page: str) -> str:
    """The page without plotly.js."""
    start = page.index("<script>/**\n* plotly.js")
    return page[:start] + page[page.index("</script>", start) :]


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes(full: Path, tmp_path: Path) -> None:
    again = write(
        everything(), tmp_path / "x" / "other.html", notes=["a note"], config={"pair": "organism:x"}
    )
    assert again.read_bytes() == full.read_bytes()


def test_plotly_is_embedded_exactly_once_and_nothing_is_linked_from_elsewhere(full: Path) -> None:
    text = full.read_text("utf-8")
    assert text.count("* plotly.js (cartesian - minified) v") == 1
    rest = own(text)
    assert not re.findall(r"\bsrc\s*=", rest)
    assert re.findall(r"<link[^>]*>", rest) == ['<link rel="icon" href="data:,">']
    assert not re.findall(r"url\(|@import", rest)


def test_ids_are_unique_and_every_anchor_leads_somewhere(full: Path) -> None:
    text = own(full.read_text("utf-8"))
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)


def test_every_figure_of_the_page_is_valid_json_and_holds_the_numbers(full: Path) -> None:
    found = re.findall(
        r'<script type="application/json" id="([^"]+)-data">(.*?)</script>',
        full.read_text("utf-8"),
        re.S,
    )
    told = {name: json.loads(data) for name, data in found}
    names = ("layers", "parts", "intervals", "interpolation", "integrated", "weights")
    assert set(told) == {f"plot-{name}" for name in names}
    a = roles()
    layers = [i for i, kind in enumerate(a.kind) if kind == "layer"]
    drawn = [t for t in told["plot-layers"]["data"] if t["name"].startswith("revert")]
    assert [t["y"] for t in drawn] == [a.revert.value[task, layers].tolist() for task in range(2)]
    assert drawn[0]["error_y"]["array"] == pytest.approx(
        (a.revert.high - a.revert.value)[0, layers].tolist()
    )


def test_the_order_is_summary_tasks_layers_then_the_rest(full: Path) -> None:
    text = own(full.read_text("utf-8"))
    sections = "layers parts intervals interpolation integrated partition weights samples methods"
    marks = ['<p class="summary">', 'id="table-summary-1"', 'id="layers"', 'id="plot-layers"']
    marks += [f'id="{name}"' for name in [*sections.split()[1:], "provenance"]]
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)


def test_the_margins_and_the_level_on_the_page_are_those_of_the_result(full: Path) -> None:
    held = roles()
    object.__setattr__(held, "margin", 0.0731)
    object.__setattr__(held, "share_margin", 0.0912)
    object.__setattr__(held, "level", 0.9)
    text = own(render([held]))
    assert "at least 0.0731 in" in text
    assert "at least 0.0912 of" in text
    assert "90 % nominal" in text
    assert "0.0731" not in full.read_text("utf-8")


def test_a_missing_result_leaves_its_section_out() -> None:
    text = own(render([roles(controls=False)]))
    for name in ("intervals", "interpolation", "integrated", "weights", "samples"):
        assert f'id="{name}"' not in text
    assert 'id="layers"' in text
    assert "Numbers of the controls" not in text
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.S).lower().replace(
        "nanc", ""
    )


def test_a_page_on_which_no_layer_was_moved_says_so() -> None:
    text = own(render([change(), samples()]))
    assert "No layers were moved" in text
    assert 'id="weights"' in text


def test_values_that_were_not_measured_are_dashes_not_zeros() -> None:
    text = own(render([roles(plant=False, controls=False), change(bare=True)]))
    assert "stable rank</bdi>" not in text
    row = re.search(r'<th scope="row"><bdi>0</bdi></th>.*?</tr>', text)
    assert row is not None
    assert ">–<" in row[0]


def test_no_result_at_all_is_refused_before_a_file_is_made(tmp_path: Path) -> None:
    with pytest.raises(PageError, match="results is empty"):
        write([], tmp_path / "report.html")
    assert issubclass(PageError, ElicitError)
    assert not list(tmp_path.iterdir())


def test_a_page_that_cannot_be_written_is_an_error_a_user_can_act_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PageError, match="cannot be written"):
        write([change()], tmp_path / "file" / "report.html")


def test_results_of_other_kinds_get_a_table_of_their_own() -> None:
    from dataclasses import dataclass

    from jaxtyping import Float
    from torch import Tensor

    @dataclass(frozen=True, eq=False, kw_only=True)
    class Depth(Result):
        """How deep it is."""

        depth: Float[Tensor, " layer"]
        """Depth."""

    text = own(render([roles(), Depth(depth=torch.tensor([0.125, 0.5]))]))
    assert "How deep it is." in text
    assert "0.125" in text


def test_hostile_text_is_on_the_page_as_text_only(attacked: Path) -> None:
    data = attacked.read_bytes()
    text = own(data.decode("utf-8"))
    assert html.escape(HOSTILE[0], quote=False) in text.replace("&#34;", '"').replace("&#39;", "'")
    markup = re.sub(r'<script type="application/json"[^>]*>.*?</script>', "", text, flags=re.S)
    for tag in (
        "<img",
        "<iframe",
        "<base",
        "<svg onload",
        "<b>bold",
        "window.hit=1;alert(1)</script>",
    ):
        assert tag not in markup
    assert not re.search(r'href="(?!https://arxiv\.org/|#|data:,")', markup)
    for unseen in ("\x00", "\u202e", "\u2028", "\ud800".encode("utf-8", "surrogatepass")):
        assert (unseen if isinstance(unseen, bytes) else unseen.encode()) not in data
    assert r"\ud800 lone \x00 nul \u202eesrever\u202c" in text


def test_a_figure_can_close_no_script_and_keeps_no_tag_of_others(attacked: Path) -> None:
    import plotly.graph_objects as go

    figure = go.Figure().add_scatter(x=[1.0], y=[float("nan")], name=HOSTILE[0], text=[HOSTILE[2]])
    figure.update_layout(height=100, title={"text": f"<b>ours</b>{HOSTILE[1]}"})
    told = plot("plot-x", figure, "", columns=1).data
    assert not re.search("[<>&]", told)
    back = json.loads(told)
    assert back["data"][0]["y"] == [None]
    assert back["data"][0]["name"].startswith("&lt;/script>&lt;script>")
    assert back["data"][0]["text"] == [
        '&lt;a href="javascript:window.hit=3">click&lt;/a><b>bold</b>'
    ]
    assert back["layout"]["title"]["text"].startswith("<b>ours</b>&lt;img")
    for data in re.findall(
        r'application/json" id="[^"]+">(.*?)</script>', attacked.read_text("utf-8"), re.S
    ):
        assert not re.search("[<>&]", data)
        strings = json.dumps(json.loads(data))
        assert not re.search(r"<(?!/?(b|br|i|extra)>)", strings)
        assert "<b>bold" not in strings


@pytest.mark.slow
def test_the_page_draws_every_plot_asks_for_nothing_and_fits_a_narrow_window(
    full: Path, visit: Visit
) -> None:
    page, seen = visit(full)
    page.wait_for_function("document.querySelectorAll('.plot .main-svg').length >= 12")
    assert page.evaluate(WIDTH) <= 1280
    for name in ("layers", "parts", "interpolation"):
        assert page.locator(f"#plot-{name} .scatterlayer .trace").count() > 2
        assert page.locator(f"#plot-{name} .scatterlayer path.point").count() > 5
    assert page.locator("#plot-integrated .barlayer path").count() >= 6
    assert page.locator("#plot-intervals .heatmaplayer image").count() == 4
    assert page.locator("#plot-layers .barlayer path").count() >= 5
    buttons = page.locator(".modebar-btn").evaluate_all("all => all.map(b => b.dataset.title)")
    assert set(buttons) == {"Download plot", "Download as PNG", "Zoom", "Reset axes"}, (
        "others upload the data"
    )
    with page.expect_download() as download:
        page.locator("#plot-layers .modebar-btn").first.dispatch_event("click")
    assert download.value.path().read_text("utf-8").startswith("<svg")
    assert seen["errors"] == []
    assert [url for url in seen["requests"] if not url.startswith(("data:", "blob:"))] == [
        full.as_uri()
    ]
    assert seen["dialogs"] == []
    page.set_viewport_size({"width": 600, "height": 900})
    assert page.evaluate(WIDTH) <= 600


@pytest.mark.slow
@pytest.mark.parametrize("guarded", [True, False])
def test_hostile_text_does_nothing_with_and_without_the_content_policy(
    attacked: Path, visit: Visit, *, guarded: bool
) -> None:
    page, seen = visit(attacked, guarded=guarded, width=600)
    page.wait_for_function("document.querySelectorAll('.plot .main-svg').length >= 12")
    assert page.evaluate(WIDTH) <= 600
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.locator("#plot-layers path.point").first.hover(force=True)
    page.wait_for_timeout(300)
    assert page.evaluate("typeof window.hit") == "undefined"
    assert seen == {"errors": [], "requests": [attacked.as_uri()], "dialogs": []}
    links = page.evaluate(
        "[...document.querySelectorAll('a')].map(a => a.getAttribute('href') || "
        "a.getAttribute('xlink:href') || '')"
    )
    assert all(link.startswith(("#", "https://arxiv.org/")) for link in links)
    assert page.locator("main img, iframe, base, main form").count() == 0
    heading = page.locator("#plot-layers .annotation-text").first.text_content()
    assert heading.startswith("</script><script>window.hit")
    assert page.locator("h1").text_content() == HOSTILE[0]


def test_the_content_policy_keeps_whatever_got_in_from_leaving(
    tmp_path: Path, visit: Visit
) -> None:
    text = own(render([change()]))
    bad = "<script>fetch('http://127.0.0.1:9/a')</script><img src='http://127.0.0.1:9/b'>"
    path = tmp_path / "report.html"
    path.write_text(text.replace("</main>", f"{bad}</main>"), "utf-8")
    page, seen = visit(path)
    page.wait_for_timeout(200)
    refused = [error for error in seen["errors"] if "Content Security Policy" in error]
    assert any("/a" in error for error in refused)
    assert any("/b" in error for error in refused)


def test_without_scripts_the_sentence_and_every_table_are_there(full: Path, visit: Visit) -> None:
    page, seen = visit(full, scripts=False)
    assert page.locator(".summary").inner_text() == summary_sentence(roles())
    assert not page.locator("#plot-layers").is_visible()
    assert page.locator("#table-layers-2 ~ div tbody tr").first.is_visible()
    assert page.locator("section#x, main table").count() >= 9
    first: Any = page.locator("details table").first
    page.locator("details summary").first.click()
    assert first.is_visible()
    assert seen["requests"] == [full.as_uri()]


@pytest.mark.slow
def test_a_folded_figure_is_drawn_once_it_is_opened(tmp_path: Path, visit: Visit) -> None:
    held = roles()
    object.__setattr__(held, "role", ("damage", "none"))
    page, seen = visit(write([held, intervals()], tmp_path / "report.html"))
    page.wait_for_selector("#plot-layers .scatterlayer")
    assert page.locator("#plot-layers-none .scatterlayer").count() == 0
    page.get_by_text("Tasks without a clear gap", exact=True).click()
    page.wait_for_selector("#plot-layers-none .scatterlayer path.point")
    assert seen["errors"] == []
