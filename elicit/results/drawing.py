"""Numbers and text as people read them, and what draws a result."""

import functools
import importlib
import importlib.util
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from elicit.results.errors import ResultError
from elicit.results.store import clean_text

# Marks of the bidirectional algorithm, separators and the byte order mark act without being seen.
_UNSEEN = {0x61C, 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF} | {*range(0x202A, 0x202F)}
_UNSEEN |= {*range(0x2066, 0x206A), *range(0xFFF9, 0xFFFC)} | {*range(0x80, 0xA0), 0x7F}
_UNSEEN |= {*range(0x20)} - {0x09, 0x0A}
_SHOWN = {code: chr(code).encode("unicode_escape").decode("ascii") for code in sorted(_UNSEEN)}


@functools.singledispatch
def figure(result: object) -> Any:
    """Plotly figure of a result; each kind registers its own with `@figure.register`.

    Functions that draw live in `<package>.figures` of the class, which nobody imports but
    `drawer`: figures know results, never the reverse.

    Raises:
        ResultError: Its class has no figure.
    """
    raise ResultError(f"{type(result).__name__} has no figure. Plot the columns of its to_frame().")


def drawer(cls: type) -> Callable[[Any], Any] | None:
    """What draws results of a class once its packages' figures are loaded; None if nothing."""
    for each in cls.__mro__:
        _load_figures(each.__module__.rpartition(".")[0])
    found = figure.dispatch(cls)
    return None if found is figure.dispatch(object) else found


@functools.cache
def _load_figures(package: str) -> None:
    """Import `figures` of a package and of those above it, where they are there."""
    while package:
        if importlib.util.find_spec(package) and importlib.util.find_spec(f"{package}.figures"):
            importlib.import_module(f"{package}.figures")
        package = package.rpartition(".")[0]


_SAYERS: list[Callable[[Any], Sequence[str]]] = []


def says(sayer: Callable[[Any], Sequence[str]]) -> None:
    """Register what puts a result into sentences; the room of pages does, and nobody else."""
    _SAYERS.append(sayer)


def finding(result: object) -> str:
    """What its page would say first of a result; empty where no page knows its kind."""
    importlib.import_module(f"{__name__.partition('.')[0]}.page.registry")
    return next((said for sayer in _SAYERS for said in sayer(result)), "")


def visible(text: str) -> str:
    r"""Text in which nothing acts unseen: control and direction characters become their escapes.

    >>> visible("a\x00b")
    'a\\x00b'
    """
    return clean_text(text).translate(_SHOWN)


def visible_token(text: str) -> str:
    r"""Text of one token in which white space shows.

    >>> visible_token(".\n"), visible_token("  "), visible_token(" so")
    ('.⏎', '␣␣', ' so')
    """
    shown = visible(text).replace("\n", "⏎").replace("\t", "⇥")
    return shown if text.strip(" ") else shown.replace(" ", "␣")


def label(text: object, limit: int = 60) -> str:
    """Text as plotly shows it literally, on one line: plotly reads tags and entities in labels.

    Args:
        text: Anything that has a string form.
        limit: Most characters; the rest becomes an ellipsis.

    >>> label("<b>3 & 4</b>")
    '&lt;b&gt;3 &amp; 4&lt;/b&gt;'
    """
    line = " ".join(visible(str(text)).split())
    line = line if len(line) <= limit else f"{line[: limit - 1]}…"
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def minus(text: str) -> str:
    """Text with a typographic minus before numbers.

    >>> minus("-1 A"), minus("3-4 by -0.5")
    ('−1 A', '3-4 by −0.5')
    """
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)


def number(value: float, *, sign: bool = False, digits: int = 3) -> str:
    """Number in few characters: an exact 0 says so, what was not run is a dash.

    Args:
        value: Any float.
        sign: Whether a plus is written.
        digits: Decimals of a number near 1; large and tiny ones keep three significant digits.

    >>> number(0.0), number(0.41234, sign=True), number(-0.00012), number(float("nan"))
    ('0', '+0.412', '−0.00012', '–')
    """
    if math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    mark = "−" if value < 0 else "+" if sign else ""
    size = abs(value)
    if math.isinf(size):
        return f"{mark}∞"
    if round(size, digits) == 0:
        return f"{mark}{size:.2g}"
    return f"{mark}{size:.{digits}f}" if size < 1000 else f"{mark}{size:.3g}"


def interval(value: float, low: float, high: float, *, digits: int = 3) -> str:
    """Effect with its interval, `+0.412 [0.350, 0.471]`.

    Args:
        value: Effect.
        low: Lower end.
        high: Upper end.
        digits: Decimals of a number near 1.
    """
    if math.isnan(low) or math.isnan(high):
        return _fixed(value, "+", digits)
    return f"{_fixed(value, '+', digits)} [{_fixed(low, '', digits)}, {_fixed(high, '', digits)}]"


def _fixed(value: float, sign: str, digits: int) -> str:
    """Number with fixed decimals, so that columns line up; only an exact 0 is a bare 0."""
    if value == 0 or not math.isfinite(value) or abs(value) >= 1000:
        return number(value, sign=bool(sign))
    return f"{value:{sign}.{digits}f}".replace("-", "−")
