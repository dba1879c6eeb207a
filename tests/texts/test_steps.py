"""Steps of a written thought: where they end, in characters."""

import pytest

from elicit.texts import StepRule, TextError, thought_span


def pieces(rule: str, text: str, **more) -> list[str]:
    ends = StepRule.parse(rule).ends(text, **more)
    return [text[a:b] for a, b in zip((0, *ends), ends, strict=False)]


def test_sentences_end_in_a_mark_and_white_space_and_short_ones_join_the_next():
    text = "First we add 3.5 and 2. Yes. So the sum is 5.5! Then we stop"
    assert pieces("sentence", text) == [
        "First we add 3.5 and 2.",
        " Yes. So the sum is 5.5!",
        " Then we stop",
    ]
    assert "".join(pieces("sentence", text)) == text


def test_an_unfinished_last_sentence_is_kept_and_a_short_one_joins_the_one_before():
    assert pieces("sentence", "This is a whole sentence. And one that was cut")[-1] == (
        " And one that was cut"
    )
    assert pieces("sentence", "This is a whole sentence. Ok.") == ["This is a whole sentence. Ok."]


def test_blank_lines_and_line_breaks_cut():
    text = "The first paragraph\n\nThe second paragraph"
    assert pieces("sentence", text) == ["The first paragraph", "\n\nThe second paragraph"]
    assert pieces("line", "A line of text\nAnother line of text\n") == [
        "A line of text",
        "\nAnother line of text",
    ]


def test_a_marker_ends_a_step_and_what_it_does_not_close_is_a_step():
    text = "so b = 3 + 4 = 7 ; so c = 7 + 1 = 8"
    assert pieces("marker:;", text) == ["so b = 3 + 4 = 7 ;", " so c = 7 + 1 = 8"]
    assert pieces("marker:;", text + " ;") == ["so b = 3 + 4 = 7 ;", " so c = 7 + 1 = 8 ;"]


def test_tokens_are_counted_from_their_ends():
    text = "a bb ccc dddd"
    assert StepRule.parse("tokens:2").ends(text, token_ends=(1, 4, 8, 13)) == (4, 13)
    assert StepRule.parse("tokens:1").ends(text, token_ends=(1, 4, 8, 13)) == (1, 4, 8, 13)


def test_the_last_step_ends_where_writing_ends():
    for rule in ("sentence", "line", "marker:;", "tokens:3"):
        assert StepRule.parse(rule).ends("Some text ;  \n", token_ends=(4, 9, 11))[-1] == 11
        assert StepRule.parse(rule).ends("   ") == ()


@pytest.mark.parametrize("rule", ["words", "marker", "marker: ", "tokens", "tokens:0", "line:3"])
def test_rules_that_cut_nothing_are_refused(rule):
    with pytest.raises(TextError):
        StepRule.parse(rule)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("<think>\nTwo plus two.\n</think>\nIt is 4.", "Two plus two."),
        ("Two plus two.\n</think>\nIt is 4.", "Two plus two."),
        ("<think>Two plus", "Two plus"),
        ("<reasoning> x </reasoning> y", "x"),
    ],
)
def test_the_thought_is_what_think_tags_hold(text, inside):
    span = thought_span(text)
    assert span is not None and text[slice(*span)] == inside


def test_without_tags_there_is_no_tagged_thought():
    assert thought_span("Two plus two is 4.") is None
