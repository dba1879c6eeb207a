"""Problems, and what keeps a record from being one."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields

from elicit.tasks.answers import parse_number
from elicit.tasks.conversation import Message
from elicit.tasks.extractor_names import extractor_faults
from elicit.tasks.faults import Fault, TaskError, kind, shown
from elicit.tasks.numbers import plain

_SYNONYMS = {
    "question": "prompt", "problem": "prompt", "input": "prompt", "text": "prompt",
    "target": "answer", "label": "answer", "solution": "answer", "output": "answer",
    "choices": "candidates", "options": "candidates",
    "uid": "id", "name": "id", "index": "id", "unique_id": "id",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Edited:
    """The same problem with its question changed, so that another answer is right."""

    prompt: str
    """The changed prompt; turns of a conversation before it stay."""
    answer: str
    """The answer that is right for it and wrong for the problem."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A prompt with its right answer.

    Raises:
        TaskError: A field is empty, of the wrong type, or contradicts another.
    """

    id: str
    """Name of the problem, unique in its task."""
    prompt: str
    """Text that the model continues."""
    answer: str
    """Right answer, as it would be written after the prompt."""
    candidates: tuple[str, ...] | None = None
    """All answers between which the model is to choose, the right one among them."""
    difficulty: float | int | str | None = None
    """Anything by which problems fall into groups: steps needed, a grade, a source."""
    trace: str | None = None
    """A written solution that leads to the answer."""
    edited: Edited | None = None
    """The problem with its question changed; tells what is answered from the question."""
    extractor: str | None = None
    """Name of the extractor that finds its answer in a text where none is asked for by name."""
    history: tuple[Message, ...] = ()
    """Turns of a conversation before the prompt, which is its last turn."""
    metadata: Mapping[str, object] = field(default_factory=dict)
    """Whatever else a file says of the problem, JSON values by key; may name its group."""

    @property
    def turns(self) -> str | list[Message]:
        """The prompt, or the whole conversation that it ends."""
        if not self.history:
            return self.prompt
        return [*self.history, {"role": "user", "content": self.prompt}]

    def __post_init__(self) -> None:
        """Refuse what could not be scored."""
        wrong = problem_faults({name: getattr(self, name) for name in KNOWN})
        if wrong:
            where = f"problem {shown(self.id)}"
            raise TaskError(
                "This is not a problem that can be scored:",
                [Fault(where=where, what=what, fix=fix) for what, fix in wrong],
            )

    def to_dict(self) -> dict[str, object]:
        """The fields that are set, in their order, as JSON has them."""
        values = {name: getattr(self, name) for name in KNOWN}
        if self.candidates is not None:
            values["candidates"] = list(self.candidates)
        if self.edited is not None:
            values["edited"] = {"prompt": self.edited.prompt, "answer": self.edited.answer}
        if self.history:
            del values["prompt"]
            values["messages"] = self.turns
        values |= self.metadata
        return {name: value for name, value in values.items() if value is not None}


def problem_faults(values: Mapping[str, object]) -> list[tuple[str, str]]:
    """Everything that keeps some named values from being a problem.

    Returns:
        What is wrong and what to do about it, in pairs; empty for a problem.
    """
    wrong = misspelt(values, KNOWN)
    for name in ("id", "prompt", "answer"):
        if name not in values:
            wrong.append((f"{name!r} is missing", f"Add {name!r} as a string that is not empty"))
        else:
            wrong += text_faults(name, values[name])
    wrong += edge_faults("answer", values.get("answer"))
    wrong += _candidate_faults(values.get("candidates"), values.get("answer"))
    wrong += _difficulty_faults(values.get("difficulty"))
    if values.get("trace") is not None:
        wrong += text_faults("trace", values["trace"])
    wrong += _edited_faults(values)
    return wrong + extractor_faults(values.get("extractor"))


KNOWN = tuple(f.name for f in fields(Problem) if f.name not in ("history", "metadata"))
_ALSO = ("messages",)


def misspelt(values: Collection[str], known: Sequence[str]) -> list[tuple[str, str]]:
    """Keys of a record that can only be meant as a known one; all others are metadata.

    A key is refused if it is a known one but for case or a slip of the pen, or if it says in
    another word what the record lacks.

    Args:
        values: Keys of the record.
        known: Keys that are read.

    Returns:
        What is wrong and what to do about it, in pairs.
    """
    wrong = []
    for key in values:
        if key in known or key in _ALSO:
            continue
        folded = key.casefold()
        meant = next((name for name in (*known, *_ALSO) if _slip(folded, name)), None)
        if meant in values and folded == f"{meant}s":
            meant = None  # the known key and a list of more of its kind
        synonym = _SYNONYMS.get(folded)
        if synonym is not None and synonym not in values and "messages" not in values:
            meant = meant or synonym
        if meant is not None:
            fix = f"Did you mean {meant!r}? Rename it, or pass map='{key}={meant}'"
            wrong.append((f"unknown key {shown(key)}", fix))
    return wrong


def _slip(written: str, meant: str) -> bool:
    """Whether a word is another one with a letter lost, added, changed, or two swapped."""
    if written == meant:
        return True
    if len(meant) < 4 or abs(len(written) - len(meant)) > 1:
        return False
    short, long = sorted((written, meant), key=len)
    i = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[i:] == long[i + 1 :]
    swapped = short[i : i + 2][::-1] == long[i : i + 2] and short[i + 2 :] == long[i + 2 :]
    return swapped or short[i + 1 :] == long[i + 1 :]


def text_faults(name: str, value: object) -> list[tuple[str, str]]:
    """What keeps a field from being text, each with what to do."""
    if not isinstance(value, str):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        quoted = f'Put it in quotes: "{value}"' if number else "Write it as a string"
        return [(f"{name!r} is {kind(value)}, not a string", quoted)]
    if not value.strip():
        return [(f"{name!r} is empty", f"Write the {name}, or take the line out")]
    if any("\ud800" <= character <= "\udfff" for character in value):
        what = f"{name!r} holds half of a surrogate pair ({shown(value)}), which is no character"
        return [(what, "Write the character itself, in UTF-8")]
    return []


def edge_faults(name: str, value: object) -> list[tuple[str, str]]:
    """White space at the ends of a field, where it would be read as part of the answer."""
    if not isinstance(value, str) or not value.strip() or value == value.strip():
        return []
    what = f"{name!r} has white space around it ({shown(value)}), so other tokens would be scored"
    return [(what, "Take it away; what stands after the prompt is added when it is scored")]


def _candidate_faults(value: object, answer: object) -> list[tuple[str, str]]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        what = f"'candidates' is {kind(value)}, not a list of strings"
        return [(what, 'Write ["...", "..."], or leave it out')]
    wrong = []
    for place, candidate in enumerate(value, start=1):
        wrong += text_faults(f"candidate {place}", candidate)
        wrong += edge_faults(f"candidate {place}", candidate)
    if wrong:
        return wrong
    if len(value) < 2:
        what = f"'candidates' has {len(value)} of the at least 2 that make a choice"
        wrong.append((what, "Add the wrong answers, or leave 'candidates' out"))
    wrong += _repeats(value)
    if isinstance(answer, str) and answer.strip() and answer not in value:
        close = [c for c in value if c.strip().casefold() == answer.strip().casefold()]
        hint = f"Write it as there: {shown(close[0])}" if close else "Add it to them, or correct it"
        wrong.append((f"'answer' {shown(answer)} is not among the {len(value)} candidates", hint))
    return wrong


def _edited_faults(values: Mapping[str, object]) -> list[tuple[str, str]]:
    given = values.get("edited")
    if given is None:
        return []
    if isinstance(given, Edited):
        given = {"prompt": given.prompt, "answer": given.answer}
    if not isinstance(given, dict) or set(given) != {"prompt", "answer"}:
        what = f"'edited' is {shown(given)}, not a changed question with its answer"
        return [(what, 'Write {"prompt": "...", "answer": "..."}')]
    wrong = text_faults("edited.prompt", given["prompt"])
    wrong += text_faults("edited.answer", given["answer"])
    wrong += edge_faults("edited.answer", given["answer"])
    if wrong:
        return wrong
    if given["prompt"] == values.get("prompt"):
        wrong.append(("'edited' has the problem's own prompt", "Change the question in it"))
    if given["answer"] == values.get("answer"):
        what = f"'edited' has the problem's own answer {shown(given['answer'])}"
        wrong.append((what, "Change the question so that another answer is right"))
    candidates = values.get("candidates")
    if isinstance(candidates, list | tuple) and given["answer"] not in candidates:
        what = f"the edited answer {shown(given['answer'])} is not among the candidates"
        wrong.append((what, "Add it to them, or correct it"))
    return wrong


def _repeats(candidates: Sequence[str]) -> list[tuple[str, str]]:
    wrong = {}
    first: dict[object, str] = {}
    for candidate in candidates:
        value = parse_number(candidate)
        key = " ".join(plain(candidate).split()) if value is None else value
        other = first.setdefault(key, candidate)
        wrong[candidate] = other if candidate in wrong or other != candidate else None
    return [
        (f"candidate {shown(candidate)} is there twice", "Keep one")
        if other == candidate
        else (
            f"candidates {shown(other)} and {shown(candidate)} are read as the same",
            "Keep one: a completion that names it would name both",
        )
        for candidate, other in wrong.items()
        if other is not None
    ]


def _difficulty_faults(value: object) -> list[tuple[str, str]]:
    if value is None:
        return []
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return [(f"'difficulty' is {kind(value)}", "Write a number or a string, or leave it out")]
    if isinstance(value, str):
        return text_faults("difficulty", value)
    if isinstance(value, float) and not math.isfinite(value):
        return [
            (f"'difficulty' is {value}, which has no place in an order", "Write a finite number")
        ]
    return []
