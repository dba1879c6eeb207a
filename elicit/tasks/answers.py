r"""When two written answers are the same.

Everything here is exact: numbers are fractions of integers, so `0.1` equals `1/10` and `1e3` equals
`1,000`, and no tolerance decides whether an answer is right.
"""

import re
from fractions import Fraction
from functools import lru_cache

from elicit.tasks.numbers import numbers, plain

_WRAPPER = re.compile(
    r"\\(?:text|textbf|textit|texttt|textrm|mathrm|mathbf|mathit|mathsf|mbox|operatorname)"
    r"\s*\{([^{}]*)\}"
)
_LATEX_SPACE = re.compile(r"\\(?:[,;:! ]|quad\b|left\b|right\b)")
_BEFORE_NUMBER = re.compile(r"""[\s$\u20ac\u00a3\u00a5\\(\[{"'*_]*""")
_AFTER_NUMBER = re.compile(r"""(?:\^\{?\\circ\}?|[\s%$\u20ac\u00a3\u00a5\u00b0\\)\]}"'*_.,;:])*""")
_PAIRS = {"(": ")", "[": "]", "{": "}", "'": "'", '"': '"', "`": "`", "$": "$", "*": "*", "_": "_"}


@lru_cache(maxsize=4096)  # every text is read beside the same few candidates
def parse_number(text: str) -> Fraction | None:
    r"""The exact value of a text that is a number and nothing else.

    Currency and percent signs count as units and are dropped: `50%` is 50, not one half.

    Args:
        text: As a person or a model wrote it.

    Returns:
        The value, or None if the text says anything besides one number.

    >>> parse_number("$1,234.50"), parse_number(r"\frac{1}{4}"), parse_number("3 apples")
    (Fraction(2469, 2), Fraction(1, 4), None)
    """
    text = _unwrapped(plain(text)).strip()
    named = list(numbers(text))
    if len(named) != 1 or named[0].glued:
        return None
    before, after = text[: named[0].start], text[named[0].end :]
    if not (_BEFORE_NUMBER.fullmatch(before) and _AFTER_NUMBER.fullmatch(after)):
        return None
    return named[0].value


def same_answer(left: str, right: str) -> bool:
    r"""Whether two written answers mean the same.

    Two numbers are compared by exact value. Anything else is compared as text, after composing
    Unicode, folding case, collapsing white space, unwrapping LaTeX text commands, and dropping a
    pair of quotes or brackets around it and punctuation at its end. Punctuation inside is kept:
    `x-1` is not `x1`, and the half-open `[1, 2)` is not `(1, 2]`.

    Args:
        left: One answer.
        right: The other; the order does not matter.

    >>> same_answer("1/2", "0.50"), same_answer("**Paris**.", "paris"), same_answer("12", "1.2")
    (True, True, False)
    """
    values = parse_number(left), parse_number(right)
    if None not in values:
        return values[0] == values[1]
    return _canonical(left) == _canonical(right)


def _unwrapped(text: str) -> str:
    for _ in range(8):  # nested at most so deep; more is left as it is
        text, count = _WRAPPER.subn(r"\1", text)
        if not count:
            break
    return text


def _canonical(text: str) -> str:
    text = _LATEX_SPACE.sub(" ", _unwrapped(plain(text))).casefold()
    text = " ".join(text.split())
    for _ in range(8):  # a pair or a mark at a time, as in `**"Paris".**`
        shorter = _unpunctuated(text).strip()
        inner = shorter[1:-1].strip()
        if len(shorter) > 2 and _PAIRS.get(shorter[0]) == shorter[-1] and _one_thing(inner):
            shorter = inner
        if not shorter or shorter == text:
            return text
        text = shorter
    return text


def _unpunctuated(text: str) -> str:
    shorter = text.rstrip(".,;:?!")
    shouted = "!" in text[len(shorter) :] and not (len(shorter) > 1 and shorter[-2:].isalpha())
    return text.rstrip(".,;:?") if shouted else shorter  # 3! and n! are factorials


def _one_thing(inner: str) -> bool:
    return bool(inner) and not set(inner) & set(",()[]{}\"'`$")
