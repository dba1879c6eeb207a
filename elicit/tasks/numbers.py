r"""Which numbers a text names, exactly: fractions of integers, never floats."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

_MINUS_SIGNS = "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
_SINGLE_QUOTES = "\u2018\u2019\u201b"
_DOUBLE_QUOTES = "\u201c\u201d\u201f"
_CURRENCY = "$\u20ac\u00a3\u00a5"
_SUPERSCRIPTS = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b"
_ORDINALS = {"st", "nd", "rd", "th"}
_LARGEST = 400
"""Digits, or power of ten, beyond which a literal is compared as text, like `1e999999999`."""

_UNSIGNED = (
    r"(?>[0-9]{1,3}(?:(?:,|\{,\})[0-9]{3})++(?![0-9]|,[0-9])|[0-9]++)(?>(?:\.[0-9]++)?)"
    r"|(?<![\w.])\.[0-9]++"
)
_IN_BRACES = r"\{[ ]*(-?[0-9]+(?:\.[0-9]+)?)[ ]*\}"
_NUMBER = re.compile(
    rf"""(?<![0-9])(?:
        (?P<latex>\\[dt]?frac[ ]*(?:{_IN_BRACES}[ ]*{_IN_BRACES}|([0-9])[ ]*([0-9])))
      | (?P<power>(?:(?P<mantissa>{_UNSIGNED})[ ]*(?:\\times|\\cdot|[\u00d7\u00b7*])[ ]*)?
          10[ ]*\^[ ]*(?:\{{[ ]*(?P<braced>[+-]?[0-9]+)[ ]*\}}|(?P<bare>[+-]?[0-9]+)))
      | (?P<mixed>(?P<whole>[0-9]++)[ ](?P<part>[0-9]++)/(?P<parts>[0-9]++)(?![0-9./]))
      | (?P<ratio>(?P<over>{_UNSIGNED})/(?P<under>[0-9]++(?:\.[0-9]++)?))
      | (?P<literal>(?P<digits>{_UNSIGNED})(?:[eE](?P<exponent>[+-]?[0-9]++))?)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number as it stands in a text."""

    start: int
    """First character, the sign included."""
    end: int
    """One past the last character, units and percent sign excluded."""
    literal: str
    """The number without separators, currency or LaTeX: `-1234.5`, `1/2`, `1e3`."""
    value: Fraction | None
    """Its exact value; None if it has too many digits to be worth computing."""
    glued: bool
    """Letters follow without a space, as in `5kg`."""


def plain(text: str) -> str:
    """A text in composed Unicode, with one spelling of digits, minus signs, quotes and spaces."""
    text = unicodedata.normalize("NFC", text)
    return text if text.isascii() else "".join(map(_plain_character, text))


def _plain_character(character: str) -> str:
    if character.isascii():
        return character
    if character in _MINUS_SIGNS:
        return "-"
    if character in _SINGLE_QUOTES:
        return "'"
    if character in _DOUBLE_QUOTES:
        return '"'
    category = unicodedata.category(character)
    if category == "Cf":  # zero-width joiners, direction marks, soft hyphens: nobody sees them
        return ""
    if category == "Zs":
        return " "
    if category == "Nd":
        return str(unicodedata.decimal(character))
    return character


def joined(left: str, right: str) -> bool:
    """Whether two neighbouring characters belong to one word.

    Scripts that are written without spaces never join: a name stands inside its sentence there.
    """
    return _in_word(left) and _in_word(right) and not (_unspaced(left) or _unspaced(right))


def _in_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")


def _unspaced(character: str) -> bool:
    code = ord(character)
    return (
        0x0E00 <= code <= 0x0EFF  # Thai, Lao
        or 0x1000 <= code <= 0x109F  # Myanmar
        or 0x1780 <= code <= 0x17FF  # Khmer
        or 0x3040 <= code <= 0x30FF  # kana
        or 0x3400 <= code <= 0x9FFF  # Chinese characters
        or 0xAC00 <= code <= 0xD7AF  # Hangul: particles follow without a space
        or 0xF900 <= code <= 0xFAFF
        or 0x20000 <= code <= 0x3FFFF
    )


def starts_word(text: str, start: int) -> bool:
    """Whether no word runs on into `start` from its left; `_` joins only inside a name."""
    before = start - 1
    while before >= 0 and text[before] == "_":
        before -= 1
    return before < 0 or not joined(text[before], text[start])


def ends_word(text: str, end: int) -> bool:
    """Whether no word runs on past `end`; `_` joins only inside a name."""
    after = end
    while after < len(text) and text[after] == "_":
        after += 1
    return after >= len(text) or not joined(text[end - 1], text[after])


def is_signed(text: str, start: int) -> bool:
    """Whether the character before `start` is a sign, rather than a minus between two things."""
    if start < 1 or text[start - 1] not in "+-":
        return False
    return start < 2 or not (text[start - 2].isalnum() or text[start - 2] in ")]}-+_%")


def numbers(text: str) -> Iterator[Number]:
    r"""Every whole number named in a text, from left to right.

    Whole means: not a piece of a larger one (`312`, `1.2`, `1.2.3`, `12:30`, `3/4/2024`), of a name
    (`x3`, `H2O`, `x_1`), of an ordinal (`3rd`) or of a power (`m^2`). A minus is a sign unless
    something stands directly before it. `a/b` without spaces, `\frac{a}{b}`, `a b/c`, thousands
    commas, `1e3` and `5 \times 10^3` are read as one number.

    Args:
        text: As `plain` returns it.

    Yields:
        The numbers, without overlaps.
    """
    for match in _matches(text):
        start, end = match.span()
        if not (_stands_alone_left(text, start) and _stands_alone_right(text, end)):
            continue
        literal, value = _read(match)
        if literal is None:
            continue
        sign = start
        if sign > 0 and text[sign - 1] in _CURRENCY:
            sign -= 2 if text[max(sign - 2, 0)] == "\\" else 1
        if is_signed(text, sign):
            start = sign - 1
            if text[start] == "-":
                literal = literal[1:] if literal.startswith("-") else f"-{literal}"
                value = None if value is None else -value
        if text[max(start - 2, 0) : start] == "^{":  # the exponent of `x^{-1}`
            continue
        glued = end < len(text) and joined(text[end - 1], text[end])
        yield Number(start=start, end=end, literal=literal, value=value, glued=glued)


def _matches(text: str) -> Iterator[re.Match[str]]:
    """Matches of `_NUMBER`, where only a proper fraction makes a mixed number."""
    place = 0
    while (match := _NUMBER.search(text, place)) is not None:
        if match["mixed"] and not _is_proper(match["part"], match["parts"]):
            whole = _NUMBER.match(text, match.start(), match.end("whole"))
            match = match if whole is None else whole
        yield match
        place = match.end()


def _is_proper(part: str, parts: str) -> bool:
    return max(len(part), len(parts)) <= _LARGEST and int(part) < int(parts)


def _stands_alone_left(text: str, start: int) -> bool:
    if text[start] == "\\" or start == 0:
        return True
    before = text[start - 1]
    if not starts_word(text, start) or before == "^":
        return False
    if before == "{" and start >= 2 and text[start - 2] in "^_":
        return False
    return not (before in "./:" and start >= 2 and text[start - 2].isdigit())


def _stands_alone_right(text: str, end: int) -> bool:
    rest = text[end : end + 12]
    if not rest:
        return True
    if rest[0] in "./:" and rest[1:2].isdigit():
        return False
    if rest[0] in _SUPERSCRIPTS or (rest[0] == "^" and "circ" not in rest):
        return False
    if rest[0] == "_":
        return ends_word(text, end)
    if not joined(text[end - 1], rest[0]):
        return True
    unit = re.match(r"[^\W\d_]+", rest)
    if unit is None:  # a combining mark
        return False
    after = end + unit.end()
    glued_on = after < len(text) and (text[after].isdigit() or not ends_word(text, after))
    return not glued_on and unit.group().lower() not in _ORDINALS


def _read(match: re.Match[str]) -> tuple[str | None, Fraction | None]:
    """Literal and value of a match of `_NUMBER`; no literal where it divides by zero."""
    if match["latex"]:
        over, under = (group for group in match.groups()[1:5] if group is not None)
        return _divide(over, under)
    if match["power"]:
        power = match["braced"] or match["bare"]
        mantissa = _undelimited(match["mantissa"] or "1")
        return f"{mantissa}e{power}", _exact(mantissa, power)
    if match["mixed"]:
        literal, part = _divide(match["part"], match["parts"])
        whole = _exact(match["whole"])
        if literal is None or part is None or whole is None:
            return None, None
        return f"{match['whole']} {literal}", whole + part
    if match["ratio"]:
        return _divide(_undelimited(match["over"]), match["under"])
    digits, exponent = _undelimited(match["digits"]), match["exponent"]
    literal = digits if exponent is None else f"{digits}e{exponent}"
    return literal, _exact(digits, exponent or "0")


def _undelimited(digits: str) -> str:
    return digits.replace("{,}", "").replace(",", "")


def _divide(over: str, under: str) -> tuple[str | None, Fraction | None]:
    numerator, denominator = _exact(over), _exact(under)
    if denominator == 0:
        return None, None
    literal = f"{over}/{under}"
    if numerator is None or denominator is None:
        return literal, None
    return literal, numerator / denominator


def _exact(digits: str, exponent: str = "0") -> Fraction | None:
    if len(digits) > _LARGEST or len(exponent) > 6 or abs(int(exponent)) > _LARGEST:
        return None
    return Fraction(Decimal(digits)) * Fraction(10) ** int(exponent)
