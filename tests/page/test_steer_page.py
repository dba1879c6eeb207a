"""The page about steering says what was judged, refuses shares without a gap, escapes names."""

from dataclasses import replace

import pytest
import torch

from elicit.elicitation import SteeredTexts
from elicit.page import render, write
from elicit.page.elicitation.text import gap_text, steer_sentence, steer_verdict
from tests.elicitation.made import dosed

AXES = {
    **dict.fromkeys(("rate", "effect", "share"), ("metric", "arm", "strength")),
    **dict.fromkeys(("log_prob", "coherent", "truncated", "n_tokens"), ("arm", "strength")),
}
"""Fields with a row for each arm."""


def judged(**fields):
    curve = dosed([1.0], [[0.9], [0.8]], **fields)
    return replace(curve, n_choose=12, chosen_by="accuracy")


def test_the_sentence_holds_arm_control_gap_and_where_it_was_chosen():
    told = steer_sentence(judged())
    assert told.startswith("Feature 3, set to 2 at resid_post.1, the prompt’s last token, strength")
    assert "right in 90 % [90, 90] of texts, against 20 % unsteered and 100 % of the target" in told
    assert "It closes 0.87 [0.87, 0.87] of the gap; the strongest control (random <b>0</b>)" in told
    assert "12 problems" in told and "20 held-out problems" in told


def test_without_a_clear_gap_no_share_is_told():
    told = steer_sentence(judged(clear=False))
    assert "closes" not in told
    assert "the strongest control (random <b>0</b>) 20 % [20, 20]." in told
    assert gap_text(judged(clear=False), 0) in told and not gap_text(judged(), 0)


def test_the_strongest_control_is_named_with_its_own_strength():
    told = steer_sentence(replace(judged(), doses=(1.0, 0.5)))
    assert "strength 1: " in told
    assert "(random <b>0</b>, at its own best strength, 0.5)" in told


def test_the_strongest_control_is_the_one_that_does_most_of_what_was_to_be_done():
    curve = dosed([1.0], [0.1], unsteered=0.9, goal=0.0)
    down = replace(curve, n_choose=12, chosen_by="accuracy", raised=False)
    three = replace(
        down,
        arm=(*down.arm, "random 1"),
        kind=(*down.kind, "control"),
        **{
            name: getattr(down, name)[(*[slice(None)] * axes.index("arm"), [0, 1, 1])]
            for name, axes in AXES.items()
        },
    )
    three.rate.value[0, 2, 0] = 0.5
    assert three.strongest_control == 2
    assert replace(three, raised=True).strongest_control == 1


@pytest.mark.parametrize("clear", [True, False])
def test_a_page_shows_the_test_first_and_then_the_curve(clear):
    curve = dosed([0.5, 1.0], [[0.4, 0.9], [0.3, 0.8]], clear=clear)
    page = render([curve, judged(clear=clear)])
    assert page.index('id="steered-0"') < page.index('id="dose-0"')
    assert page.index("held-out problems") < page.index("Dose curves")
    assert ("gap share is not reported" in page) == (not clear)
    # A name is text, wherever it stands.
    assert "random <b>0" not in page and "random &lt;b&gt;0" in page
    alone = render([curve])
    assert "steered-0" not in alone


HOSTILE = "</script><script>window.hit=1</script><img src=x onerror=window.hit=1>"


@pytest.mark.slow
def test_the_page_opens_offline_and_what_models_wrote_does_nothing(tmp_path, visit):
    curve = dosed([0.5, 1.0], [[0.4, 0.9], [0.3, 0.8]])
    named = {"arm": (HOSTILE, "random 0"), "model": HOSTILE}
    texts = SteeredTexts(
        strength=1.0,
        writer=("unsteered", HOSTILE, "target"),
        problem=("p0",),
        prompt=(HOSTILE,),
        answer=("7",),
        text=((HOSTILE,), ("so " * 300,), ("answer 7 .",)),
        correct=torch.tensor([[False], [True], [True]]),
    )
    results = [replace(judged(), **named), texts, replace(curve, **named)]
    path = write(results, tmp_path / "report.html")
    page, seen = visit(path)
    for width in (1280, 700):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        page.wait_for_function("document.querySelectorAll('.plot .main-svg').length >= 4")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("typeof window.hit") == "undefined"
        assert seen == {"errors": [], "requests": [path.as_uri()], "dialogs": []}
    assert page.locator("#table-texts-0-1").count() == 1


def test_the_verdict_says_whether_a_control_does_it_too():
    alone = steer_verdict(judged())
    assert alone == (
        "Feature 3, set to 2 has an effect that no control has, each at its own best strength."
    )
    curve = judged()
    curve.rate.low[0, 1, 0] = 0.3
    assert "it is not specific: random <b>0</b>, a push without content" in steer_verdict(curve)
    curve.rate.low[0, 0, 0] = 0.1
    assert steer_verdict(curve).endswith("has no clear effect on held-out problems.")
