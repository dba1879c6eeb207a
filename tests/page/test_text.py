"""The summary says what was found, and never more."""

from typing import Any

import pytest
import torch

from elicit.page.grafting.text import layers_text, summary_sentence, task_text
from elicit.results import Estimate, interval, label, number, visible
from tests.page.made import HOSTILE, roles


def changed(**fields: Any) -> Any:
    held = roles()
    for name, value in fields.items():
        object.__setattr__(held, name, value)
    return held


def test_the_summary_names_the_planted_layers_with_their_gaps() -> None:
    assert summary_sentence(roles()) == (
        "Layers 1 and 4 (of 0–5) are corrupted: post lost 0.41 (95 % interval 0.36 to 0.46) on "
        "facts (probability of the answer 0.97 → 0.56); reverting improves post, and grafting "
        "harms base. "
        "Layer 3 carries the skill: post gained 0.49 (95 % interval 0.44 to 0.54) on problems "
        "(share right "
        "0.12 → 0.61); reverting removes part of it from post, and grafting adds part of it to "
        "base. Layers 0 and 2 changed too, but no clear effect in both directions was found there; "
        "layer 5 did not change at all. "
        "In one direction only, grafting harms base in layer 0 (facts): another layer may mask or "
        "share the effect, so see the intervals of layers."
    )


def test_a_pair_of_equal_models_is_said_to_be_one() -> None:
    said = summary_sentence(roles(identical=True))
    assert "identical weights" in said and "6 layers" in said
    assert "exactly 0" in said
    assert "corrupted" not in said


def test_without_a_gap_no_layer_is_named() -> None:
    said = summary_sentence(roles(plant=False))
    assert said == (
        "Nothing was clearly lost or gained on facts (gap −0.01, 95 % interval −0.06 to +0.04) and "
        "problems "
        "(gap +0.02, 95 % interval −0.03 to +0.07), so no layer can be called corrupted or said to "
        "carry a skill. "
        "Layers 0–4 changed all the same; layer 5 did not change at all."
    )


def test_a_loss_that_no_layer_explains_is_said_plainly() -> None:
    none = torch.zeros(len(roles().part), dtype=torch.bool)
    said = summary_sentence(changed(corrupted=none, carries_skill=none))
    assert said.startswith("Post lost 0.41")
    assert "none is named as corrupted" in said
    assert "none is named as its carrier" in said
    assert "Layers 0–4 changed, but no clear effect" in said
    assert "are corrupted" not in said


def test_a_task_without_a_role_is_reported_beside_one_that_has_one() -> None:
    said = summary_sentence(changed(role=("damage", "none")))
    assert "Nothing was clearly lost or gained on problems" in said
    assert "so no layer" not in said


def test_a_layer_may_be_both_and_a_part_outside_the_layers_is_told() -> None:
    held = roles()
    for flag, part in (("changed", -1), ("corrupted", 2), ("corrupted", -1), ("carries_skill", 2)):
        getattr(held, flag)[part] = True
    said = summary_sentence(held)
    assert "Layers 1, 2 and 4 (of 0–5) are corrupted" in said
    assert "Layers 2 and 3 carry the skill" in said
    assert "Outside the layers: final_norm is corrupted." in said


def test_weights_equal_where_compared_but_scores_apart_is_not_called_identical() -> None:
    none = torch.zeros(21, dtype=torch.bool)
    same = changed(changed=none, corrupted=none, carries_skill=none)
    said = summary_sentence(same)
    assert "identical weights" not in said
    assert "no single layer" in said


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ((0,), "layer 0"),
        ((0, 1), "layers 0 and 1"),
        ((0, 1, 2), "layers 0–2"),
        ((7, 3, 4, 5, 9), "layers 3–5, 7 and 9"),
        ((0, 1, 3, 4), "layers 0, 1, 3 and 4"),
    ],
)
def test_layers_are_told_in_order_with_runs_joined(layers: tuple[int, ...], told: str) -> None:
    assert layers_text(layers) == told


def test_a_name_that_is_not_one_plain_word_is_quoted_and_made_visible() -> None:
    assert task_text("gsm8k-test") == "gsm8k-test"
    assert task_text("a\u202eb") == "“a\\u202eb”"


def test_what_acts_unseen_becomes_its_escape_and_what_is_seen_stays() -> None:
    assert visible("\x00\x1b[31m\u202e\ufeff\ud83d") == r"\x00\x1b[31m\u202e\ufeff\ud83d"
    seen = "tab\tline\nzwj 👩‍🔬 שלום é 漢"
    assert visible(seen) == seen
    for text in HOSTILE:
        assert visible(visible(text)) == visible(text)


def test_a_label_holds_no_character_that_plotly_reads() -> None:
    for text in HOSTILE:
        assert not set("<>\n\r\x00") & set(label(text, 1000))
    assert label("&lt;b&gt;") == "&amp;lt;b&amp;gt;"
    assert label("x" * 100, 10) == "x" * 9 + "…"


def test_only_an_exact_zero_is_written_as_zero() -> None:
    assert interval(0.0, 0.0, 0.0) == "0 [0, 0]"
    assert interval(1e-9, -0.01, 0.01) == "+0.000 [−0.010, 0.010]"
    assert number(1e-9) == "1e-09"
    assert number(-0.0) == "0"
    assert number(float("inf")) == "∞"
    assert interval(float("nan"), float("nan"), float("nan")) == "–"


def test_a_gap_that_is_clear_of_zero_but_too_small_is_said_to_be_so() -> None:
    small = changed(
        role=("none", "none"),
        gap=Estimate.of(
            torch.tensor([[-0.03, 0.01], [-0.05, -0.02], [-0.02, 0.04]], dtype=torch.float64)
        ),
    )
    said = summary_sentence(small)
    assert "−0.05 to −0.02, which excludes 0, but the gap is below the margin of 0.05)" in said
    assert "−0.02 to +0.04)" in said
