"""Completions are graded by what they say last, whatever is around it."""

import random
import sys
from types import SimpleNamespace

import pytest

from elicit.tasks import (
    Extractor,
    Graded,
    Problem,
    Task,
    TaskError,
    after_marker,
    boxed,
    check,
    default_extractor,
    extractor,
    last_candidate,
    last_number,
    math_verify,
    ungradable,
)

DIGITS = tuple(str(digit) for digit in range(13))
CITIES = ("York", "New York", "Paris", "S\u00e3o Paulo", "\u5317\u4eac")
LETTERS = ("A", "B", "C", "D")


def choice(*candidates):
    return Problem(id="p", prompt="?", answer=candidates[0], candidates=candidates)


def asked(answer):
    return Problem(id="p", prompt="?", answer=answer)


LAST_CANDIDATE = [
    (DIGITS, "so b = 3 + 4 = 7 ; so c = 7 * 7 = 9 ; answer 9 .", "9"),
    (DIGITS, "312", None),
    (DIGITS, "1.2 or 0.12 or 12.5", None),
    (DIGITS, "12.", "12"),
    (DIGITS, "12.0", "12"),
    (DIGITS, "it is 3, not 312", "3"),
    (DIGITS, "it is 3 at 12:30 on 1/2/2024", "3"),
    (DIGITS, "3 or -4", "3"),
    (DIGITS, "10-4", "4"),
    (DIGITS, "x_4 and x4 and m^4 and 4th: 5", "5"),
    (DIGITS, r"\boxed{7}", "7"),
    (DIGITS, r"$\frac{14}{2}$", "7"),
    (DIGITS, "1,2,3", "3"),
    (DIGITS, "**8**", "8"),
    (DIGITS, "$11 or 5kg", "11"),
    (DIGITS, "\uff17", "7"),
    (DIGITS, "", None),
    (("-3", "3"), "from 3 to -3", "-3"),
    (("-3", "3"), "from -3 to 3", "3"),
    (("-3", "3"), "x = \u22123", "-3"),
    (("1/2", "2"), "so 0.5", "1/2"),
    (("1/2", "2"), "1/2", "1/2"),
    (("1,000", "1"), "It costs $1000.00!", "1,000"),
    (CITIES, "Not Paris but New York.", "New York"),
    (CITIES, "NEW\nYORK", "New York"),
    (CITIES, "New York, then York", "York"),
    (CITIES, "Yorkshire, Parisian, paris-based", "Paris"),
    (CITIES, "Parisian", None),
    (CITIES, "_Paris_", "Paris"),
    (CITIES, "in_Paris_now", None),
    (CITIES, r"\text{Paris}", "Paris"),
    (CITIES, "Sa\u0303o Paulo", "S\u00e3o Paulo"),
    (CITIES, "S\u00e3o\u00a0Paulo", "S\u00e3o Paulo"),
    (CITIES, "\u7b54\u6848\u662f\u5317\u4eac\u3002", "\u5317\u4eac"),
    (LETTERS, "The answer is B because a cat is not a dog.", "B"),
    (LETTERS, "(C)", "C"),
    (LETTERS, "b", None),
    (LETTERS, "ABCD", None),
    (("left", "right"), r"left: $\left( x \right)$", "left"),
    (("us", "US"), "the US and us", "us"),
    (("us", "US"), "us and the US", "US"),
    (("C", "C++"), "Use C++.", "C++"),
    (("layer 1", "layer 12"), "in layer 12", "layer 12"),
    (("layer 1", "layer 12"), "in layer 1.5", None),
    (("1 km", "2 km"), "2.1 km or -1 km", None),
    (("1 km", "2 km"), "about 2 km.", "2 km"),
    (("+", "-"), "a - b", "-"),
]


@pytest.mark.parametrize(("candidates", "completion", "named"), LAST_CANDIDATE)
def test_the_last_candidate_named_as_a_whole_is_found(candidates, completion, named):
    assert last_candidate(completion, choice(*candidates)) == named


def test_the_last_candidate_is_found_between_any_other_words():
    rng = random.Random(0)
    fill = [
        "so",
        "then,",
        "312",
        "4.5",
        "Yorker",
        "x_7",
        "7th",
        "=",
        "\n",
        "**",
        r"\alpha",
        "13:07",
    ]
    for _ in range(200):
        candidates = rng.sample(["7", "-7", "7/2", "York", "New York", "north york", "12"], k=5)
        named = rng.choices(candidates, k=3)
        words = [word for name in named for word in (*rng.choices(fill, k=4), f" {name} ")]
        completion = " ".join([*words, *rng.choices(fill, k=4)])
        assert last_candidate(completion, choice(*candidates)) == named[-1], completion


@pytest.mark.parametrize(
    ("completion", "number"),
    [("2 + 3 = 5.", "5"), ("1,234.5 dollars", "1234.5"), ("x = -3", "-3"), ("none", None),
     ("5 m^2", "5"), ("the 3rd", None), ("so 1/2", "1/2"), (r"\boxed{42}", "42"), ("", None)],
)  # fmt: skip
def test_the_last_number_is_found_without_what_decorates_it(completion, number):
    assert last_number(completion, asked("1")) == number


AFTER = [
    ("answer 9 .", asked("9"), "9"),
    ("The Answer: 9 of 12", asked("9"), "9"),
    ("answers 9", asked("9"), None),
    ("answer 3, no: answer -4", asked("9"), "-4"),
    ("The answer is 4. That was my answer.", asked("4"), "4"),
    ("no marker 4", asked("4"), None),
    ("answer", asked("4"), None),
    ("the answer is **Paris**, not Rome", asked("Rome"), "Paris"),
    ("answer: New York City", asked("Los Angeles"), "New York"),
    ("answer Paris in 2024", asked("Rome"), "Paris"),
    ("C? answer B because A is wrong", choice(*LETTERS), "B"),
    ("answer 13", choice(*DIGITS), "13"),
]


@pytest.mark.parametrize(("completion", "problem", "found"), AFTER)
def test_what_follows_the_last_marker_is_found(completion, problem, found):
    assert after_marker("answer")(completion, problem) == found


def test_a_marker_may_be_a_phrase_or_a_sign():
    assert after_marker("final answer")("Final\n answer: 3", asked("3")) == "3"
    assert after_marker("####")("2 + 2\n#### 4", asked("4")) == "4"


BOXED = [
    (r"\boxed{7}", "7"),
    (r"\boxed{1} then \boxed{ 2 }", "2"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"\boxed{7} and then \boxed{8", "7"),
    (r"\boxed{7} \boxed{}", "7"),
    (r"\boxed{\boxed{7}}", "7"),
    ("boxed{7}", None),
    (r"\boxed", None),
    ("}{" * 5, None),
]


@pytest.mark.parametrize(("completion", "content"), BOXED)
def test_the_last_complete_box_is_found_with_its_braces(completion, content):
    assert boxed(completion, asked("1")) == content


def test_a_box_around_a_candidate_gives_the_candidate():
    assert boxed(r"\boxed{\text{B) b}}", choice(*LETTERS)) == "B"
    assert boxed(r"\boxed{E}", choice(*LETTERS)) == "E"


@pytest.mark.parametrize(
    ("completion", "problem", "graded"),
    [
        ("so 7 , 3", choice("3", "7"), Graded(extracted="3", correct=True)),
        ("so 3 , 7", choice("3", "7"), Graded(extracted="7", correct=False)),
        ("nothing", choice("3", "7"), Graded(extracted=None, correct=False)),
        ("about 0.5", asked("1/2"), Graded(extracted="0.5", correct=True)),
        ("the US", choice("us", "US"), Graded(extracted="US", correct=False)),
    ],
)
def test_the_default_takes_the_last_candidate_else_the_last_number(completion, problem, graded):
    assert check(completion, problem) == graded


def test_every_named_extractor_is_one_and_grades_the_plain_answer():
    forms = {"boxed": r"\boxed{7}", "marker:so": "so 7"}
    for name in ("default", "last-candidate", "last-number", "boxed", "marker:so"):
        find = extractor(name)
        assert isinstance(find, Extractor)
        assert check(forms.get(name, "7"), choice("7", "8"), find).correct
    assert extractor("default") is default_extractor


@pytest.mark.parametrize("name", ["", "last", "marker", "marker:", "marker: ", "Default"])
def test_an_unknown_extractor_is_refused_with_what_there_is(name):
    with pytest.raises(TaskError, match="marker"):
        extractor(name)


def test_a_task_whose_answers_an_extractor_can_never_find_is_known_before_the_run():
    words = Task(name="t", problems=(asked("Paris"),))
    digits = Task(name="t", problems=(asked("7"), choice("7", "8").__class__(
        id="q", prompt="?", answer="Rome", candidates=("Rome", "Paris"))))  # fmt: skip
    assert ungradable(words) == ("p",)
    assert ungradable(words, after_marker("so")) == ()
    assert ungradable(words, boxed) == ()
    assert ungradable(digits) == ()
    assert ungradable(digits, last_candidate) == ("p",)


def test_math_verify_missing_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(TaskError, match="pip install math-verify"):
        check("7", asked("7"), extractor("math-verify"))


def test_math_verify_gives_the_right_answer_where_it_finds_it_equal(monkeypatch):
    def parse(text, parsing_timeout):
        return [text.strip("$").replace(" ", "")] if text else []

    def verify(gold, target, timeout_seconds):
        return sorted(gold[0]) == sorted(target[0])

    monkeypatch.setitem(sys.modules, "math_verify", SimpleNamespace(parse=parse, verify=verify))
    assert math_verify("1 + x", asked("x + 1")) == "x + 1"
    assert math_verify("x + 2", asked("x + 1")) == "x+2"
    assert math_verify("", asked("x + 1")) is None


def test_no_completion_breaks_an_extractor():
    rng = random.Random(2)
    pieces = ["\\boxed{", "}", "{", "answer", "Answer:", "7", "-", ".", ",", "/", "1/0", "^", "_"]
    pieces += [
        "$",
        "\\frac{1}{",
        "10^",
        "\\",
        "e9999999",
        " ",
        "\n",
        "A",
        "New",
        "York",
        "<script>",
    ]
    pieces += ["\u200b", "\u0301", "\u4e2d", "\x00", "\ud800"]
    problems = [choice("7", "-7", "New York", "A", "\\"), asked("7"), asked("York")]
    finders = [default_extractor, last_number, after_marker("answer"), boxed, last_candidate]
    for _ in range(120):
        completion = "".join(rng.choices(pieces, k=rng.randint(0, 14)))
        for problem in problems:
            for find in finders:
                graded = check(completion, problem, find)
                assert graded.extracted is None or graded.extracted.strip()
