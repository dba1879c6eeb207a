"""Problems, and the tasks they make up."""

import difflib
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cached_property
from typing import Literal

from elicit.tasks.answers import parse_number, plain
from elicit.tasks.faults import Fault, TaskError, shown

STRATA = 10
"""More distinct numeric difficulties than this are cut into so many equally filled strata."""

_SYNONYMS = {
    "question": "prompt", "problem": "prompt", "input": "prompt", "text": "prompt",
    "target": "answer", "label": "answer", "solution": "answer", "output": "answer",
    "choices": "candidates", "options": "candidates", "level": "difficulty",
    "uid": "id", "name": "id", "index": "id", "cot": "trace", "reasoning": "trace",
}  # fmt: skip
_JSON_NAMES = {bool: "true or false", dict: "an object", float: "a number", int: "a number",
               list: "a list", str: "a string", tuple: "a tuple", type(None): "null"}  # fmt: skip


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
    """Right answer, as it would be written after the prompt and one space."""
    candidates: tuple[str, ...] | None = None
    """All answers between which the model is to choose, the right one among them."""
    difficulty: float | int | str | None = None
    """Anything by which problems fall into groups: steps needed, a grade, a source."""
    trace: str | None = None
    """A written solution that leads to the answer."""

    def __post_init__(self) -> None:
        """Refuse what could not be scored."""
        wrong = problem_faults({field.name: getattr(self, field.name) for field in fields(self)})
        if wrong:
            where = f"problem {shown(self.id)}"
            raise TaskError(
                "This is not a problem that can be scored:",
                [Fault(where=where, what=what, fix=fix) for what, fix in wrong],
            )

    def to_dict(self) -> dict[str, object]:
        """The fields that are set, in their order, as JSON has them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.candidates is not None:
            values["candidates"] = list(self.candidates)
        return {name: value for name, value in values.items() if value is not None}


def problem_faults(values: Mapping[str, object]) -> list[tuple[str, str]]:
    """Everything that keeps some named values from being a problem.

    Args:
        values: Field names and values; candidates are a list or a tuple.

    Returns:
        What is wrong and what to do about it, in pairs; empty for a problem.
    """
    wrong = [unknown_key(key) for key in values if key not in _KNOWN]
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
    return wrong


_KNOWN = tuple(field.name for field in fields(Problem))


def unknown_key(key: str) -> tuple[str, str]:
    """What is wrong with a field that no problem has, and what may have been meant."""
    close = difflib.get_close_matches(key.casefold(), _KNOWN, n=1)
    meant = close[0] if close else _SYNONYMS.get(key.casefold())
    fix = f"Did you mean {meant!r}? " if meant else ""
    return f"unknown key {shown(key)}", f"{fix}The known keys are {', '.join(_KNOWN)}"


def _kind(value: object) -> str:
    return f"{_JSON_NAMES.get(type(value), type(value).__name__)} ({shown(value)})"


def text_faults(name: str, value: object) -> list[tuple[str, str]]:
    """What keeps a field from being text, each with what to do."""
    if not isinstance(value, str):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        quoted = f'Put it in quotes: "{value}"' if number else "Write it as a string"
        return [(f"{name!r} is {_kind(value)}, not a string", quoted)]
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
    return [(what, "Take it away; one space after the prompt is added when it is scored")]


def _candidate_faults(value: object, answer: object) -> list[tuple[str, str]]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        what = f"'candidates' is {_kind(value)}, not a list of strings"
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
        return [(f"'difficulty' is {_kind(value)}", "Write a number or a string, or leave it out")]
    if isinstance(value, str):
        return text_faults("difficulty", value)
    if isinstance(value, float) and not math.isfinite(value):
        return [
            (f"'difficulty' is {value}, which has no place in an order", "Write a finite number")
        ]
    return []


@dataclass(frozen=True, kw_only=True)
class Task:
    """Problems that are scored together; the unit of every interval is one of them.

    Raises:
        TaskError: There is no problem, or two have the same id.
    """

    name: str
    """What figures and tables call it."""
    problems: tuple[Problem, ...]
    """At least one, in the order of the file."""

    def __post_init__(self) -> None:
        """Refuse a task without problems, or with two of one name."""
        if not self.problems:
            raise TaskError(
                f"Task {shown(self.name)} has no problems, so nothing could be measured on it. "
                "Give it at least one."
            )
        seen: set[str] = set()
        repeated = [p.id for p in self.problems if p.id in seen or seen.add(p.id)]
        if repeated:
            raise TaskError(
                f"Task {shown(self.name)} names problems twice, so their results could not be told "
                "apart:",
                [Fault(where=f"problem {shown(id)}", what="the id is taken", fix="Give it its own")
                 for id in dict.fromkeys(repeated)],
            )  # fmt: skip

    def __len__(self) -> int:
        """Number of problems."""
        return len(self.problems)

    def __iter__(self) -> Iterator[Problem]:
        """The problems, in their order."""
        return iter(self.problems)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the problems in their order; the name of the task does not count."""
        from elicit.results import digest_json

        return digest_json([problem.to_dict() for problem in self.problems])

    @property
    def kind(self) -> Literal["choice", "open", "mixed"]:
        """Whether problems give candidates: all of them, none, or some."""
        given = {problem.candidates is not None for problem in self.problems}
        return "mixed" if len(given) == 2 else "choice" if given.pop() else "open"

    def subset(self, n: int, seed: int) -> "Task":
        """A sample of problems with the same mix of difficulties.

        Strata are the distinct difficulties, or ten equally filled ones where more numbers than
        that occur. Each gets its share by Sainte-Lague's rule, so that with the same seed a larger
        subset holds every smaller one. Which problems are drawn depends on seed and ids alone.

        Args:
            n: Problems to draw, 1 to len(task).
            seed: Any integer.

        Returns:
            A task of the same name with the problems in their old order.

        Raises:
            TaskError: There are fewer than `n` problems, or `n` is below 1.
        """
        if not 1 <= n <= len(self):
            raise TaskError(
                f"A subset of {n} was asked of task {shown(self.name)}, which has {len(self)} "
                f"problems. Ask for 1 to {len(self)}."
            )
        return self._part(self._drawn(seed)[:n], self.name)

    def split(self, fractions: Sequence[float], seed: int) -> "tuple[Task, ...]":
        """Parts without common problems, each with the same mix of difficulties.

        Args:
            fractions: Share of each part, above 0; they add up to 1.
            seed: Any integer.

        Returns:
            One task a fraction, named `name-part1`, `name-part2`, ...

        Raises:
            TaskError: The fractions do not add up to 1, or a part would be empty.
        """
        if any(not share > 0 for share in fractions) or abs(math.fsum(fractions) - 1) > 1e-9:
            raise TaskError(
                f"The fractions {list(fractions)} do not split task {shown(self.name)} into parts: "
                "each must be above 0 and together they must be 1."
            )
        cuts = [0]
        for place in range(1, len(fractions) + 1):
            cuts.append(math.floor(math.fsum(fractions[:place]) * len(self) + 0.5))
        if any(low >= high for low, high in zip(cuts, cuts[1:], strict=False)):
            raise TaskError(
                f"Task {shown(self.name)} has {len(self)} problems, too few for parts of "
                f"{list(fractions)}: one would be empty. Use fewer parts or more problems."
            )
        drawn = self._drawn(seed)
        return tuple(
            self._part(drawn[low:high], f"{self.name}-part{place}")
            for place, (low, high) in enumerate(zip(cuts, cuts[1:], strict=False), start=1)
        )

    def _part(self, places: Sequence[int], name: str) -> "Task":
        return Task(name=name, problems=tuple(self.problems[place] for place in sorted(places)))

    def _drawn(self, seed: int) -> list[int]:
        """All places, in the order in which they are drawn."""
        lots = [_lot(seed, problem.id) for problem in self.problems]
        strata: dict[object, list[int]] = {}
        for place, stratum in enumerate(self._strata()):
            strata.setdefault(stratum, []).append(place)
        keys = {}
        for members in strata.values():
            for rank, place in enumerate(sorted(members, key=lots.__getitem__)):
                # The j-th of m comes at (2j+1)/2m: Sainte-Lague's divisors, as exact fractions.
                keys[place] = (Fraction(2 * rank + 1, 2 * len(members)), lots[place])
        return sorted(keys, key=keys.__getitem__)

    def _strata(self) -> list[object]:
        values = [problem.difficulty for problem in self.problems]
        ordered = sorted({v for v in values if isinstance(v, int | float)})
        if len(ordered) <= STRATA:
            return list(values)
        ranked = sorted(v for v in values if isinstance(v, int | float))
        edges = [ranked[len(ranked) * cut // STRATA] for cut in range(1, STRATA)]
        return [
            ("decile", sum(value >= edge for edge in edges))
            if isinstance(value, int | float)
            else value
            for value in values
        ]


def _lot(seed: int, name: str) -> bytes:
    """A lot that no change of Python, platform or file order alters, unlike `random`'s."""
    return hashlib.sha256(f"{seed}\n{name}".encode()).digest()
