"""Chat templates rendered on a fixed day, and stopped where they do not end."""

import datetime
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from elicit.pair.errors import PairError, reason
from elicit.pair.handles import Tokenizer

DATE = "2024-07-26"
"""Day that a template gets where it asks for today's: any fixed one gives every run the same text.
It is the day that Llama 3's own template writes where no clock is at hand."""
MOST_STEPS = 300_000
"""Lines of a template's code that may run for one conversation; usual ones need hundreds."""
MOST_CHARACTERS = 10_000_000
"""Characters that a rendered conversation may have."""


class _Endless(Exception):
    """More lines of a template ran than any conversation needs."""


def render(
    tokenizer: Tokenizer,
    template: str,
    turns: Sequence[dict[str, str]],
    *,
    date: str,
    opens: bool = True,
) -> str:
    """Text of a conversation in a chat template, the same on every day.

    Args:
        tokenizer: Knows the special tokens that the template names.
        template: Jinja text.
        turns: Roles and contents.
        date: Day that `strftime_now` gives, YYYY-MM-DD.
        opens: Whether the assistant's turn is opened after the last one.

    Raises:
        PairError: The template refuses the turns, or does not end.
    """
    # The compiled template of transformers with its filters and its sandbox. Its public function
    # strips functions from what the template sees, so it would read the clock.
    from transformers.utils.chat_template_utils import (
        _compile_jinja_template,  # pyright: ignore[reportPrivateUsage]
    )

    day = datetime.datetime.fromisoformat(date)
    try:
        compiled: Any = _compile_jinja_template(template)
        with _limited():
            text = compiled.render(
                messages=[dict(turn) for turn in turns],
                tools=None,
                documents=None,
                add_generation_prompt=opens,
                strftime_now=day.strftime,
                **tokenizer.special_tokens_map,
            )
    except _Endless as error:
        raise PairError(
            f"The chat template ran {MOST_STEPS:,} steps on {len(turns)} message(s) and had not "
            "ended, so it was stopped. Correct its loops, or use plain text."
        ) from error
    except Exception as error:  # a template is code of its own and may raise anything
        raise PairError(
            f"The chat template refuses these messages ({reason(error)}). Pass turns with the "
            "roles that it knows."
        ) from error
    if len(text) > MOST_CHARACTERS:
        raise PairError(
            f"The chat template wrote {len(text):,} characters for {len(turns)} message(s), which "
            f"no model reads (at most {MOST_CHARACTERS:,}). Correct its loops, or use plain text."
        )
    return text


@contextmanager
def _limited() -> Iterator[None]:
    """Raise in a template's code after `MOST_STEPS` of its lines; what traced before goes on."""
    steps = 0

    def line(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal steps
        steps += event == "line"
        if steps > MOST_STEPS:
            raise _Endless
        return line

    def call(frame: FrameType, _event: str, _arg: object) -> Any:
        return line if frame.f_code.co_filename == "<template>" else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(before)


def writes_date(template: str | None) -> bool:
    """Whether a template asks for the day."""
    return template is not None and "strftime_now" in template
