"""The page says of patching what the sweeps say, no more, and nothing that a text in them wants."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from elicit.page import render, write
from elicit.page.grafting import summary_sentence
from elicit.page.patching.text import control_sentence, finding, patch_sentences, split_sentence
from elicit.page.patching.verdict import patch_verdict
from elicit.patching import Factorial, PatchGrid
from elicit.patching.factorial_result import conclude_factorial
from elicit.results import Result, interval
from elicit.sites import Site
from elicit.stats import Inference
from tests.page.made import HOSTILE, provenance, roles
from tests.patching.made import contrast, grid, noise, sweep

Visit = Callable[..., tuple[Any, dict[str, list[str]]]]
N, PEAK, POS = 20, 2, 3


def planted(
    *, size: float = 3.0, elsewhere: float = 0.0, gap: float = 4.0, **given: object
) -> PatchGrid:
    """Stream and components of 4 layers × 5 positions: at layer 2, position 3, `size` comes in."""
    sites = [Site(kind, layer) for kind in ("resid_post", "mlp_out") for layer in range(4)]
    effects = torch.zeros(len(sites), 5, N, dtype=torch.float64)
    effects[PEAK:4, POS] = size + 0.02 * noise(4 - PEAK, N)
    effects[PEAK, 1] = elsewhere + (0.02 * noise(N, seed=1) if elsewhere else 0.0)
    effects[4 + PEAK, POS] = size / 2 + 0.02 * noise(N, seed=2)
    return grid(sweep(effects, sites, gap=gap, **given))


def like(values: Tensor | float, seed: int = 3) -> Tensor:
    """A control's scores: the host's own and an effect."""
    shape = (1, 8, 5, N)
    host = 1 + 0.3 * noise(1, N, seed=99)
    return host + values + 0.02 * noise(*shape, seed=seed)


def split(*, wrote_from: int = 3, unread: float = 0.0) -> Factorial:
    """A gap of 4 that layers below `wrote_from` write, or that needs both halves from post."""
    values = 0.02 * noise(5, 1, 2, 2, 2, N)
    for b in range(5):
        values[b, :, 1] += 4.0 - unread if b >= wrote_from else 0.0
        values[b, :, :, 1] += 0.0 if b >= wrote_from else 4.0
        values[b, :, 1, 1] += unread if b >= wrote_from else 0.0
    return conclude_factorial(
        values,
        contrast=contrast(N),
        metric="logit_diff",
        pos=("all",),
        inference=Inference(n_resamples=400),
    )


def own(page: str) -> str:
    """The page without plotly.js."""
    start = page.index("<script>/**\n* plotly.js")
    return page[:start] + page[page.index("</script>", start) :]


# --- what is said


def test_the_sentence_names_the_planted_layer_and_position_and_its_joint_interval():
    found = planted()
    said = finding(found)
    cell = (0, 0, PEAK, POS)
    ends = found.effect[cell].ends
    assert said.startswith("Patching post’s activations into base at the residual stream after")
    assert "layer 2, position 3 “w3”" in said
    assert f"{interval(*ends, digits=2)} logits, 75 % [" in said
    assert "most of it enters at layer 2" in said
    assert re.search(
        r"no other of the \d+ positions swept has an effect whose interval excludes 0\.$", said
    )


def test_another_position_that_matters_is_named():
    said = finding(planted(elsewhere=2.0))
    assert "elsewhere the largest effect is at position 1 “w1”, 50 % of the gap" in said
    assert "no other of" not in said
    said = finding(planted(elsewhere=0.1))
    assert re.search(
        r"no other of the \d+ positions swept changes it by more than [23]\.\d % of the gap", said
    )


def test_a_layer_that_brings_less_than_half_is_not_said_to_bring_most():
    said = finding(planted(size=1.2))
    assert "no single layer contributes half of it: the largest step, at layer 2, is +1.1" in said
    assert "most" not in said


def test_without_a_clear_gap_no_place_is_named():
    gap = torch.linspace(-1, 1, N, dtype=torch.float64)
    said = finding(planted(gap=gap))  # pyright: ignore[reportArgumentType]
    assert "does not clearly differ between base and post" in said
    assert "layer" not in said
    said = finding(planted(size=0.03, gap=0.05))
    assert said.startswith("Nothing found") and "layer" not in said
    assert control_sentence(planted(gap=gap)) == ""  # pyright: ignore[reportArgumentType]


def test_where_no_step_is_clear_no_place_is_named():
    sites = [Site("mlp_out", layer) for layer in range(6)]
    said = finding(grid(sweep(noise(6, 4, N, seed=5), sites)))
    assert said.startswith("Nothing found") and "all 24 cells" in said
    assert "would likely have been seen" in said


def test_a_patch_that_changes_nothing_is_said_to_change_nothing():
    sites = [Site("mlp_out", layer) for layer in range(3)]
    said = finding(grid(sweep(torch.zeros(3, 4, N, dtype=torch.float64), sites)))
    assert said.endswith("nowhere: every effect is exactly 0.")


@pytest.mark.parametrize(
    ("other", "noisy", "words"),
    [
        (0.0, 0.0, "the effect exceeds that of the controls"),
        (3.0, 0.2, "information common to these prompts"),
        (3.0, 3.0, "not distinguishable from that of noise"),
        (None, 0.0, "the effect exceeds that of the controls (noise of equal norm"),
        (None, None, "No control was run"),
    ],
)
def test_the_controls_are_read_for_what_they_are(other, noisy, words):
    given = {"other_prompt": other, "noise": noisy}
    found = planted(**{n: like(v) for n, v in given.items() if v is not None})
    assert words in control_sentence(found)


def test_the_factorial_says_written_only_where_the_halves_do_not_need_each_other():
    said = split_sentence(split())
    assert said.startswith("At boundary 3 post’s layers below contribute +4.0")
    assert said.endswith("post writes a signal that base’s layers can read.")
    said = split_sentence(split(unread=3.0))
    assert said.endswith("requires post’s layers.")
    assert "can read" not in said


def test_within_a_model_the_prompts_are_named_and_not_the_models():
    found = planted()
    object.__setattr__(found, "question", "within")
    object.__setattr__(found, "host", "base, corrupted prompt")
    object.__setattr__(found, "donor", "base, clean prompt")
    words = "Patching base’s activations on the clean prompt into its run on the corrupted prompt"
    assert finding(found).startswith(words)
    text = own(render([found]))
    assert "Patching base: clean prompt into corrupted prompt" in text
    assert "One model, with activations patched between its runs on two prompts" in text


# --- the page


def test_the_same_sweeps_give_the_same_bytes(tmp_path):
    pages = [
        write([planted(other_prompt=like(3.0)), split()], tmp_path / name, command="patch")
        for name in ("a.html", "b.html")
    ]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_a_page_about_patching_speaks_of_activations_and_not_of_moved_weights():
    found = [planted(noise=like(0.0)), split()]
    text = own(render(found, config={"pair": "organism:x"}, command="patch"))
    assert "compared by moving activations between them" in text
    assert "elicit patch --config run.yaml" in text
    for word in ("corrupted or", "No layers were moved", "Rounding to 16 bits", "Moving parts"):
        assert word not in text, word
    for said in patch_sentences(found):
        assert html.escape(said, quote=False) in text
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)


def test_a_page_about_both_says_both_and_weights_come_first():
    text = own(render([planted(), roles(), split()]))
    assert "moving weights and activations between them" in text
    places = [text.index(html.escape(summary_sentence(roles()), quote=False)[:60])]
    places += [text.index(mark) for mark in ('id="layers"', 'id="patch-0"', 'id="factorial-0"')]
    assert places == sorted(places)
    assert "Moving parts" in text and "<h3>Patching</h3>" in text and "<h3>Factorial</h3>" in text


def test_the_figures_hold_every_effect_and_every_control_of_every_metric():
    sites = [Site("resid_post", layer) for layer in range(3)]
    found = grid(sweep(noise(1, 2, 3, 4, N), sites, noise=1 + 0.3 * noise(2, 3, 4, N, seed=8)))
    text = render([found, planted()])
    told = dict(
        re.findall(r'<script type="application/json" id="([^"]+)-data">(.*?)</script>', text, re.S)
    )
    assert set(told) == {"plot-patch-0", "plot-patch-0-1", "plot-patch-1"}
    for m, name in enumerate(("plot-patch-0", "plot-patch-0-1")):
        drawn = [trace["z"] for trace in json.loads(told[name])["data"]]
        assert drawn == [found.effect.value[0, m].tolist(), found.noise.value[m].tolist()]


def test_the_tables_hold_the_largest_effects_first_and_every_cell_behind_a_fold():
    found = planted(noise=like(0.0))
    text = own(render([found]))
    rows = re.findall(r'<th scope="row"><bdi>(\S+)</bdi></th><td class="w"><bdi>([^<]+)<', text)
    top = [(site, pos) for site, pos in rows if "." in site]
    assert {top[0], top[1]} == {("resid_post.2", "3 w3"), ("resid_post.3", "3 w3")}
    assert top[2] == ("mlp_out.2", "3 w3")
    cell = found.effect[0, 0, PEAK, POS].ends
    assert f"<b>{interval(*cell)}</b>" in text
    assert text.count("<summary>All cells: ") == 2


def test_windows_have_a_table_of_their_own_only_where_there_are_some():
    sites = [Site("mlp_out", layer) for layer in range(3)]
    wide = grid(sweep(noise(2, 1, 3, 4, N), sites))
    assert "Wide windows inflate peaks" in own(render([wide]))
    assert "Wide windows inflate peaks" not in own(render([planted()]))


def test_a_sweep_of_one_cell_has_a_page():
    one = grid(sweep(2 + 0.1 * noise(1, 1, N), [Site("z", 1, 2)], pos=("all",)))
    text = own(render([one]))
    assert "head 2 of layer 1 (z), all positions at once, changes the logit difference by" in text


# --- hostile text


@pytest.fixture(scope="module")
def attacked(tmp_path_factory) -> Path:
    found: list[Result] = [planted(noise=like(0.0)), split()]
    swept: Any = found[0]
    words = tuple(f"{i} {HOSTILE[i]}" for i in range(5))
    changed = {"pos": words, "host": HOSTILE[0], "donor": HOSTILE[1], "direction": HOSTILE[2]}
    changed |= {"metric": (HOSTILE[4],), "unit": (HOSTILE[5],)}
    for name, value in changed.items():
        object.__setattr__(swept, name, value)
    object.__setattr__(found[1], "metric", HOSTILE[0])
    object.__setattr__(found[1], "unit", HOSTILE[1])
    object.__setattr__(found[1], "pos", (HOSTILE[2],))
    for result in found:
        object.__setattr__(result, "provenance", provenance())
    path = tmp_path_factory.mktemp("page") / "report.html"
    return write(found, path, title=HOSTILE[0], notes=HOSTILE, config={"pair": HOSTILE[1]})


def test_hostile_tokens_and_names_are_on_the_page_as_text_only(attacked):
    text = own(attacked.read_text("utf-8"))
    for data in re.findall(r'application/json" id="[^"]+">(.*?)</script>', text, re.S):
        assert not re.search("[<>&]", data)
        assert not re.search(r"<(?!/?(b|br|i|extra)>)", json.dumps(json.loads(data)))
    markup = re.sub(r'<script type="application/json"[^>]*>.*?</script>', "", text, flags=re.S)
    for tag in ("<img", "<iframe", "<base", "<svg onload", "<b>bold", "alert(1)</script>"):
        assert tag not in markup
    assert not re.search(r'href="(?!https://arxiv\.org/|#|data:,")', markup)
    assert "\u202e" not in text and "\x00" not in text


@pytest.mark.slow
def test_hostile_tokens_do_nothing_in_a_browser(attacked, visit: Visit, request):
    """By their own escaping, the content policy put aside; with `--full` under the policy too."""
    for guarded in (False, True) if request.config.getoption("full") else (False,):
        page, seen = visit(attacked, guarded=guarded)
        page.wait_for_function("document.querySelectorAll('.plot .main-svg').length >= 4")
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        page.locator("#plot-patch-0 .heatmaplayer").first.hover(force=True)
        page.wait_for_timeout(300)
        assert page.evaluate("typeof window.hit") == "undefined"
        assert seen == {"errors": [], "requests": [attacked.as_uri()], "dialogs": []}


@pytest.mark.slow
def test_a_large_grid_is_drawn_and_the_page_stays_within_its_window(tmp_path, visit: Visit):
    sites = [Site("resid_post", layer) for layer in range(48)]
    large = grid(
        sweep(noise(48, 64, 4), sites, noise=1 + noise(1, 48, 64, 4, seed=2)),
        inference=Inference(n_resamples=100),
    )
    path = write([large, planted(), split()], tmp_path / "report.html")
    page, seen = visit(path)
    for width in (1280, 700):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("document.querySelectorAll('.heatmaplayer image').length >= 4")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#plot-factorial-0 path.point").count() >= 5
        assert seen["errors"] == []


def test_the_verdict_comes_before_the_numbers_and_names_no_place_without_evidence():
    assert patch_verdict([planted()]) == (
        "What post does differently enters at layer 2, position 3 “w3”, seen in one direction."
    )
    both = patch_verdict([planted(), planted(), split()])
    assert both.endswith(
        "in both directions; post writes it there, and base’s own layers can read it."
    )
    assert patch_sentences([planted()])[0] == patch_verdict([planted()])
    assert patch_verdict([planted(size=0.03, gap=0.05)]) == ""
