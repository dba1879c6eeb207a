"""Numbers and answers are read exactly: what is whole, what is equal, and what is neither."""

import random
from fractions import Fraction

import pytest

from elicit.tasks import numbers, parse_number, plain, same_answer

NAMED = [
    ("312", ["312"]),
    ("1.2 and 12.", ["1.2", "12"]),
    ("so c = 7 * 7 = 9 ; answer 9 .", ["7", "7", "9", "9"]),
    ("-3, (-4), = -5, [-6], $-7$", ["-3", "-4", "-5", "-6", "-7"]),
    ("10-3 and x-3 and 10 - 3", ["10", "3", "3", "10", "3"]),
    ("\u22123 and \u20135", ["-3", "-5"]),  # minus sign, en dash
    ("pages 3\u20135", ["3", "5"]),
    ("the end\u20147", ["7"]),  # em dash
    ("1,234.5 of 1,000,000", ["1234.5", "1000000"]),
    ("1,2,3 and 1,234,56", ["1", "2", "3", "1", "234", "56"]),
    ("1{,}234", ["1234"]),
    ("1/2, -3/4, 1/0, 1 1/2", ["1/2", "-3/4", "1 1/2"]),
    ("-1 1/2 12 7/2 3  1/2", ["-1 1/2", "12", "7/2", "3", "1/2"]),
    (r"\frac{1}{2} -\frac{3}{4} \dfrac12 \frac{x}{2}", ["1/2", "-3/4", "1/2", "2"]),
    ("1e3 1E-5 2e", ["1e3", "1e-5", "2"]),
    (r"5 \times 10^3, 10^{-2}, 3 * 10^2", ["5e3", "1e-2", "3e2"]),
    ("$5, -$3, $-4, \\$6, 50%, 7\u20ac", ["5", "-3", "-4", "6", "50", "7"]),
    ("5kg, 30cm.", ["5", "30"]),
    ("5 m^2, 7\u00b2, 2^5, x^{-1}, 45^\\circ", ["5", "45"]),
    ("x3 H2O x_1 x_{2} 3x4 0x1F v1.2 1_000", []),
    ("1st 2nd 3rd 4th 5", ["5"]),
    ("1.2.3, 12:30, 3/4/2024", []),
    ("...5 and 6...", ["5", "6"]),
    (".5 word.7", [".5", "7"]),
    ("_7_ **8** __9__", ["7", "8", "9"]),
    ("\uff11\uff12 \u0663", ["12", "3"]),  # full width, Arabic-Indic
    ("\u7b54\u6848\u662f12\u4e2a", ["12"]),  # Chinese, written without spaces
    ("", []),
    ("-", []),
]


@pytest.mark.parametrize(("text", "literals"), NAMED)
def test_a_text_names_its_whole_numbers_and_no_pieces_of_them(text, literals):
    assert [number.literal for number in numbers(plain(text))] == literals


def test_every_way_of_writing_a_number_has_its_exact_value():
    rng = random.Random(0)
    for _ in range(150):
        value = Fraction(rng.randint(-(10**6), 10**6), 10 ** rng.randint(0, 3))
        digits = 3
        fixed = f"{float(value):.{digits}f}"
        written = [
            fixed,
            f"{float(value):,.{digits}f}",
            f"${fixed}$",
            f"{fixed}.",
            f" {fixed} % ",
            fixed.replace("-", "\u2212"),
            f"{value.numerator}/{value.denominator}",
            rf"\frac{{{value.numerator}}}{{{value.denominator}}}",
            f"{value.numerator}e0" if value.denominator == 1 else fixed,
            rf"\text{{{fixed}}}",
        ]
        for text in written:
            assert parse_number(text) == value, text


@pytest.mark.parametrize(
    "text",
    ["", " ", "x", "3 apples", "3 4", "5kg", "1.2.3", "1/0", "12:30", "x3", "3rd", "--", "2^5",
     "1e999999999", "9" * 5000, "\u00bd"],
)  # fmt: skip
def test_what_is_more_or_less_than_one_number_has_no_value(text):
    assert parse_number(text) is None


SAME = [
    ("7", "7.0"),
    ("1/2", "0.50"),
    ("1,000", "1e3"),
    ("50%", "50"),
    ("-3", "\u22123"),
    ("0.1", "1/10"),
    ("Paris", " **paris**. "),
    ("New York", "new\n york"),
    ("(B)", "b"),
    (r"\text{Paris}", "Paris"),
    (r"$\mathrm{B}$", "B"),
    ("caf\u00e9", "cafe\u0301"),
    ("co\u00adop", "coop"),  # soft hyphen
    ("\u201cyes\u201d", "Yes!"),
    ("C++", "c++"),
    (r"x\,+ 1", "x + 1"),
    ("1" * 5000, "1" * 5000),
]
DIFFERENT = [
    ("12", "1.2"),
    ("12", "312"),
    ("3", "-3"),
    ("C", "C++"),
    ("x-1", "x1"),
    ("1:30", "130"),
    ("[1, 2)", "(1, 2]"),
    ("(1, 2)", "1, 2"),
    ("1 2", "12"),
    ("n!", "n"),
    ("f'", "f"),
    ("0.3333333333333333", "1/3"),
    ("1e400", "1e401"),
    ("1e999999999", "1e999999998"),
    ("us", "them"),
    ("+", "-"),
    (".", ","),
    ("3 apples", "3 pears"),
    ("", "0"),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_answers_that_mean_the_same_are_the_same_in_both_orders(left, right):
    assert same_answer(left, right)
    assert same_answer(right, left)


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_answers_that_differ_in_meaning_are_different_in_both_orders(left, right):
    assert not same_answer(left, right)
    assert not same_answer(right, left)


def test_every_text_is_the_same_answer_as_itself():
    rng = random.Random(1)
    alphabet = "ab1 23.,;:!?()[]{}$\\\"'`*_^/-+%\u00e9\u0301\u200b\u4e2d\n\t\u0130\u00df"
    for _ in range(1000):
        text = "".join(rng.choices(alphabet, k=rng.randint(0, 12)))
        assert same_answer(text, text), text
