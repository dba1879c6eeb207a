"""Thoughts as people and chat models write them: prose, tags, units, annotations, other scripts."""

import numpy as np
import pytest

from elicit.tasks import Problem, parse_number
from elicit.texts import AnswerForm, StepRule
from elicit.traces import (
    EquationsHold,
    OperandsSwapped,
    Place,
    ResultChanged,
    Thought,
    Thoughts,
    TraceError,
    answer_pool,
    told_apart,
)
from elicit.traces.splitting import split_answer
from elicit.traces.stating import conclusion_place, other_value, value_spans
from elicit.traces.values import distinct
from tests.traces.made import case

NATALIA = Problem(id="natalia", prompt="How many clips?", answer="24")
FORM = AnswerForm(lead_in="The answer is")
RIGHT = {
    "48/2 = <<48/2=24>>24 clips": True,
    "48/2 = <<48/2=25>>25 clips": False,
    "48/2 = <<48/2=24>>25 clips": False,
    "- 5 + 3 = 8": True,
    "5 + 3 = 8 * 2 = 16": True,
    "10/3 = 3.33": True,
    "10/3 = 3.34": False,
    "2 + 2 = 4.5": False,
    "1,000 + 2,000 = 3,000, as": True,
    "5 \u2212 3 = 2": True,
    "(2 + 3) * 4 - 1 = 19": None,
    "x + 3 - 1 = 5": None,
    "3^2 + 1 = 10": None,
    "2 + 3 = 10 / 2": None,
    "there is nothing to add": None,
}


@pytest.mark.parametrize("text", RIGHT)
def test_equations_are_checked_and_parts_of_larger_ones_are_not(text):
    assert EquationsHold()(NATALIA, text) is RIGHT[text]


@pytest.mark.parametrize(
    "text",
    [
        "3 + 4 = ",
        "2 + 3 * 4 = ",
        "10 - 3 * 2 = ",
        "1 + 2 + 3 = ",
        "5 - 3 + 2 = ",
        "2 * 3 + 4 = ",
        "10 / 2 * 5 = ",
        "2 ** 3 * 2 = ",
        "(1 + 2) * 3 + 4 = ",
        "7 * 2 * 3 = ",
    ],
)
def test_swapped_operands_leave_the_value_of_every_expression(text):
    item = Thought(problem=NATALIA, text=text, answer="24")
    made = OperandsSwapped()(case(item, Place(start=0, end=1, value="24"), (), (), _random()))
    if made is not None:
        left, right = (eval(t.replace("=", "")) for t in (text, made.text))
        assert made.text != text and left == right


def test_a_number_with_thousands_commas_is_swapped_as_a_whole():
    item = Thought(problem=NATALIA, text="12,500 + 3 = 12,503", answer="24")
    made = OperandsSwapped()(case(item, Place(start=0, end=1, value="24"), (), (), _random()))
    assert made is not None and made.text == "3 + 12,500 = 12,503"


SPLIT = {
    "Add. The answer is 24.": ("Add.", "24"),
    "The answers are many. 24": ("The answers are many. 24", None),
    "<think>3 clips</think> She has 3. The answer is 24": ("<think>3 clips", "24"),
    "<think>3 clips</think> She has 3 and then 24.": ("<think>3 clips", "24"),
    "3 clips</think> So 24.": ("3 clips", "24"),
    "<think>\n\n</think>\n\nShe adds. The answer is 24": (
        "<think>\n\n</think>\n\nShe adds.",
        "24",
    ),
}


@pytest.mark.parametrize("text", SPLIT)
def test_thought_and_answer_are_told_apart(text):
    assert split_answer(text, NATALIA, FORM) == SPLIT[text]


def test_a_lead_in_inside_a_longer_word_ends_no_thought():
    text = "all answers are 3 and also 24"
    assert split_answer(text, NATALIA, AnswerForm(lead_in="answer")) == (text, None)
    assert split_answer(text, NATALIA, AnswerForm(lead_in="so")) == (text, None)


def test_sentences_end_in_every_script_and_paragraphs_at_any_line_break():
    rule = StepRule.parse("sentence")
    chinese = "首先我们加三和四得到七。然后乘以二得到十四。所以答案是十四。"
    assert rule.ends(chinese) == (12, 30)
    unix = "First I add two\n\nThen I multiply by five\n\nDone at last now"
    assert [unix[:end].split()[-1] for end in rule.ends(unix)] == ["two", "five", "now"]
    windows = unix.replace("\n", "\r\n")
    assert [windows[:end].split()[-1] for end in rule.ends(windows)] == ["two", "five", "now"]


@pytest.mark.parametrize("value", ["12345.67", "1234567.5", "2.50", "1/3", "-3", "1,234", "3 1/2"])
def test_another_value_is_spelled_exactly_and_differs_by_a_whole_number(value):
    item = Thought(problem=Problem(id="p", prompt="q", answer=value), text="so", answer=value)
    mine, seen = parse_number(value), set()
    assert mine is not None
    for seed in range(40):
        drawn = other_value(item, value, [value], np.random.default_rng(seed))
        assert drawn is not None
        other = parse_number(drawn)
        assert other is not None and "e" not in drawn
        assert (other - mine).denominator == 1 and 1 <= abs(other - mine) <= 9
        seen.add(drawn)
    assert len(seen) > 4
    assert value != "2.50" or all(len(drawn.partition(".")[2]) == 2 for drawn in seen)


def test_values_are_found_as_wholes_beside_characters_nobody_sees():
    text = "cafe\u0301 costs 12.5, \u200bthen 12 and 112"
    assert [text[a:b] for a, b in value_spans(text, "12")] == ["12"]
    assert value_spans("答案是北京。", "北京") == [(3, 5)]
    spelled = "In New\nYork, not in PARIS"
    assert [spelled[a:b] for a, b in value_spans(spelled, "new york")] == ["New\nYork"]
    assert [spelled[a:b] for a, b in value_spans(spelled, "Paris")] == ["PARIS"]
    assert value_spans("A train, a bus", "A") == [(0, 1)]


def test_another_spelling_of_the_answer_is_no_news_after_its_conclusion():
    text = "Half is 1/2 of it. That makes 0.5 in all."
    item = Thought(problem=Problem(id="p", prompt="q", answer="1/2"), text=text, answer="1/2")
    place = conclusion_place(item, [18, len(text)], ())
    assert place is not None and place.end == 18


def test_a_number_that_a_cut_divides_is_one_number_of_the_step_where_it_ends():
    text = "so it makes 24"
    item = Thought(problem=NATALIA, text=text, answer="24")
    place = conclusion_place(item, [5, 11, 13, 14], ())
    assert place == Place(start=12, end=14, value="24")
    made = ResultChanged()(case(item, place, ("24", "7"), (), _random()))
    assert made is not None and made.text == f"so it makes {made.answer}"
    part = Thought(problem=NATALIA, text=text, answer="2")
    assert conclusion_place(part, [5, 11, 13, 14], ()) is None


def test_an_annotated_result_is_changed_inside_and_outside_of_its_annotation():
    text = "She sold 48/2 = <<48/2=24>>24 clips in May."
    item = Thought(problem=NATALIA, text=text, answer="24")
    place = conclusion_place(item, [len(text)], ())
    assert place is not None
    made = ResultChanged()(case(item, place, ("24",), (), _random()))
    assert made is not None
    assert made.text == f"She sold 48/2 = <<48/2={made.answer}>>{made.answer} clips in May."


def test_a_pool_holds_numbers_nearby_where_problems_have_few_answers():
    problems = [Problem(id=str(i), prompt=f"How many {i}?", answer="7") for i in range(3)]
    items = tuple(Thought(problem=p, text="so 7", answer="7") for p in problems)
    pools = answer_pool([Thoughts(task="t", source="given", items=items)])
    assert all(pool[0] == "7" and len(set(pool)) == 10 for pool in pools.values())
    assert all(abs(int(x) - 7) <= 9 and int(x) >= 0 for pool in pools.values() for x in pool)


def test_one_answer_in_words_to_every_problem_leaves_no_choice_and_is_refused():
    problems = [Problem(id=str(i), prompt=f"Which {i}?", answer="Paris") for i in range(3)]
    items = tuple(Thought(problem=p, text="so Paris", answer="Paris") for p in problems)
    with pytest.raises(TraceError, match="candidates"):
        answer_pool([Thoughts(task="t", source="given", items=items)])


def test_an_open_answer_has_to_be_told_from_longer_numbers_and_its_neighbours():
    open_ended = Problem(id="p", prompt="How many?", answer="7")
    told = told_apart(open_ended, ("7", "24"), written=True)
    assert {"7", "24", "71", "7.5", "8", "16"} <= set(told)
    assert "7.5" not in told_apart(open_ended, ("7", "24"), written=False)
    closed = Problem(id="p", prompt="How many?", answer="7", candidates=("7", "8"))
    assert told_apart(closed, ("7", "8"), written=True) == ("7", "8")


def test_steps_of_tokens_end_before_white_space():
    text = "so we  add"
    ends = (2, 3, 5, 6, 7, 10)
    assert StepRule.parse("tokens:1").ends(text, token_ends=ends) == (2, 5, 10)


def test_answers_of_one_meaning_are_kept_once_in_the_first_spelling():
    assert distinct(["Paris", "paris.", "**Paris**", "1/2", "0.50", "Rome", " "]) == (
        "Paris",
        "1/2",
        "Rome",
    )


def _random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("so it weighs 24kg.", ["24"]),
        ("it is 24 KM away", ["24"]),
        ("in 24m of rope", ["24"]),
        ("so 24m = 48", []),
        ("that is 24x", []),
        ("24kgs", []),
        ("the 24th", []),
    ],
)
def test_a_value_is_stated_with_its_unit_and_not_as_a_coefficient(text, stated):
    assert [text[a:b] for a, b in value_spans(text, "24")] == stated


def test_a_conclusion_with_a_glued_unit_is_changed_and_keeps_its_unit():
    item = Thought(problem=NATALIA, text="3 * 8 makes 24kg.", answer="24")
    place = conclusion_place(item, [17], ())
    assert place == Place(start=0, end=17, value="24")
    made = ResultChanged()(case(item, place, (), (), _random()))
    assert made is not None and made.text == f"3 * 8 makes {made.answer}kg."
