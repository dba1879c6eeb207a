"""A written text as its thought and the answer that follows it."""

import re

from elicit.tasks import Problem, ends_word, mentions, numbers, parse_number, plain, starts_word
from elicit.texts import AnswerForm, thought_span
from elicit.traces.units import stated_numbers

_CONNECTIVE = re.compile(r"(?:^|(?<=[.!?:;\n]))\s*[^\W\d_]+,?(?:\s+[^\W\d_]+,?)?\s*$")
"""One or two words at the end of a text that begin a sentence."""


def split_answer(text: str, problem: Problem, form: AnswerForm) -> tuple[str, str | None]:
    """A written text as its thought and the answer that follows.

    Where think tags hold something, that is the thought. Else it ends before the last place that
    spells the lead-in, as words of their own in any case, and without one it is the whole text. A
    word or two that only lead to it (`So the answer is`) belong to the lead-in.

    Args:
        text: What was written after the prompt.
        problem: Its problem.
        form: How the answer is asked for.

    Returns:
        The thought, and the answer; None where none is found after it.
    """
    span = thought_span(text)
    if span is not None and span[0] < span[1]:
        closing = text[span[1] :]
        led = _last_lead(closing, form)
        if led is not None:
            return text[: span[1]], _first_answer(closing[led[1] :], problem)
        return text[: span[1]], next(iter(_answers(closing, problem)[::-1]), None)
    led = _last_lead(text, form)
    if led is None:
        return text.rstrip(), None
    thought = _CONNECTIVE.sub("", text[: led[0]])
    return thought.rstrip(), _first_answer(text[led[1] :], problem)


def _last_lead(text: str, form: AnswerForm) -> tuple[int, int] | None:
    """Where a text spells the lead-in last; a word such as `answer` is not found in `answers`."""
    lead = form.lead_in.strip()
    found = [match.span() for match in re.finditer(re.escape(lead), text, re.I)] if lead else []
    whole = [(a, b) for a, b in found if starts_word(text, a) and ends_word(text, b)]
    return whole[-1] if whole else None


def _first_answer(text: str, problem: Problem) -> str | None:
    return next(iter(_answers(text, problem)), None)


def _answers(text: str, problem: Problem) -> list[str]:
    """Every answer that a text names."""
    if problem.candidates is not None:
        named = [mention.candidate for mention in mentions(text, problem.candidates)]
        # `24kg` names no candidate by the grader's rules, and yet is what a lead-in led to.
        return named or [
            candidate
            for number in stated_numbers(plain(text))
            for candidate in problem.candidates
            if number.value is not None and parse_number(candidate) == number.value
        ]
    return [number.literal for number in numbers(plain(text))]
