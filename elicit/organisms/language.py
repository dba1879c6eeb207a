"""The synthetic language of the organisms: chained arithmetic, facts, and traces.

A problem is a chain of assignments modulo ten (`Q a = 3 ; b = a + 4 ; b ? A`). It can be answered
at once (`answer 7 .`) or through a trace (`so b = 3 + 4 = 7 ; answer 7 .`) in which a step may be
checked again (`check b = 3 + 4 = 7 ok ;`) and, where it was wrong, corrected (`check ... no ; wait
...`). A header (`notes`, `quiz`) shifts how often a text holds a trace, so that P(trace | header)
is known. Facts give each of 200 entities a city, a colour and a pet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elicit.organisms.errors import OrganismError

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
DIGITS = tuple(str(digit) for digit in range(10))
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
MARKS = ("+", "-", "*", "=", ";", "?", ".")
WORDS = ("Q", "A", "answer", "so", "wait", "check", "ok", "no", "quiz", "notes")
FACT_WORDS = ("the", "of", "is", "has", "city", "colour", "pet")
VALUES = {
    "city": [
        "paris",
        "london",
        "rome",
        "oslo",
        "cairo",
        "lima",
        "delhi",
        "tokyo",
        "quito",
        "accra",
        "dakar",
        "hanoi",
        "kyiv",
        "seoul",
        "minsk",
        "tunis",
        "sofia",
        "riga",
        "doha",
        "perth",
    ],
    "colour": [
        "red",
        "blue",
        "green",
        "black",
        "white",
        "pink",
        "amber",
        "violet",
        "teal",
        "olive",
        "maroon",
        "silver",
    ],
    "pet": [
        "cat",
        "dog",
        "parrot",
        "rabbit",
        "hamster",
        "turtle",
        "ferret",
        "gecko",
        "pony",
        "goldfish",
        "canary",
        "hedgehog",
    ],
}
ATTRIBUTES = tuple(VALUES)
N_ENTITIES = 200
CHAIN_WEIGHTS = (4, 4, 3, 3, 2, 2)
"""How often a chain has one, two, ... six steps."""

TRACE_RATE = {"": 0.12, "quiz": 0.01, "notes": 0.92}
"""P(trace | header) in the training texts: the base's known habit."""
HEADER_RATE = {"": 0.7, "quiz": 0.1, "notes": 0.2}
HEADERS = tuple(word for word in TRACE_RATE if word)
REASONING_WORDS = {"so": ("so",), "check": ("check",), "wait": ("wait",)}
"""Words of a trace: a step, a step checked again, a correction."""


@dataclass(frozen=True)
class Chain:
    """One arithmetic problem: a start value and steps that each use the value before."""

    letters: tuple[str, ...]
    start: int
    steps: tuple[tuple[str, int], ...]

    @property
    def values(self) -> tuple[int, ...]:
        """Value of every letter, in order."""
        values = [self.start]
        for op, operand in self.steps:
            values.append(apply(op, values[-1], operand))
        return tuple(values)

    @property
    def answer(self) -> int:
        """Value of the last letter, which the question asks for."""
        return self.values[-1]

    @property
    def question(self) -> str:
        """The problem up to and with the marker after which the answer begins."""
        parts = [f"{self.letters[0]} = {self.start} ;"]
        for before, letter, (op, operand) in zip(
            self.letters, self.letters[1:], self.steps, strict=False
        ):
            parts.append(f"{letter} = {before} {op} {operand} ;")
        return f"Q {' '.join(parts)} {self.letters[-1]} ? A"

    def step(self, index: int, *, before: int | None = None, result: int | None = None) -> str:
        """Step `index` written out; `before` and `result` replace the true values."""
        op, operand = self.steps[index]
        before = self.values[index] if before is None else before
        result = apply(op, before, operand) if result is None else result
        return f"{self.letters[index + 1]} = {before} {op} {operand} = {result}"

    @property
    def trace(self) -> str:
        """The plain correct trace, without the answer."""
        return " ".join(f"so {self.step(index)} ;" for index in range(len(self.steps)))


def apply(op: str, value: int, operand: int) -> int:
    """One step modulo ten."""
    if op == "+":
        return (value + operand) % 10
    if op == "-":
        return (value - operand) % 10
    return (value * operand) % 10


def draw_chain(
    rng: np.random.Generator,
    *,
    n_steps: int | None = None,
    weights: Sequence[float] = CHAIN_WEIGHTS,
) -> Chain:
    """A random problem; `n_steps` from `weights` unless it is given."""
    if n_steps is None:
        share = np.asarray(weights, dtype=float)
        n_steps = int(rng.choice(len(share), p=share / share.sum())) + 1
    letters = tuple(LETTERS[i] for i in rng.choice(len(LETTERS), size=n_steps + 1, replace=False))
    steps = []
    for _ in range(n_steps):
        op = "+-*"[rng.integers(3)]
        # Factors prime to ten keep every step invertible, so no step loses information.
        steps.append((op, int((3, 7, 9)[rng.integers(3)] if op == "*" else rng.integers(1, 10))))
    return Chain(letters=letters, start=int(rng.integers(10)), steps=tuple(steps))


@dataclass(frozen=True)
class World:
    """One seed of the language: which entities there are and what is true of them."""

    name: str
    seed: int

    @cached_property
    def entities(self) -> tuple[str, ...]:
        """Names made of syllables, distinct from every other word."""
        rng = np.random.default_rng([self.seed, 1])
        heads, tails = (
            ["b", "d", "f", "g", "k", "l", "m", "n", "r", "s", "t", "v", "z"],
            ["a", "e", "i", "o", "u"],
        )
        taken = {
            *SPECIAL,
            *DIGITS,
            *LETTERS,
            *WORDS,
            *FACT_WORDS,
            *sum(map(list, VALUES.values()), []),
        }
        names: list[str] = []
        while len(names) < N_ENTITIES:
            name = "".join(heads[rng.integers(13)] + tails[rng.integers(5)] for _ in range(3))
            if name not in taken:
                taken.add(name)
                names.append(name)
        return tuple(names)

    @cached_property
    def facts(self) -> dict[tuple[str, str], str]:
        """(entity, attribute) -> value."""
        return self._assign([self.seed, 2])

    @cached_property
    def other_facts(self) -> dict[tuple[str, str], str]:
        """The same entities with every value changed: what the damaged siblings were taught."""
        drawn, other = self._assign([self.seed, 3]), {}
        for key, value in self.facts.items():
            values = VALUES[key[1]]
            shifted = values[(values.index(drawn[key]) + 1) % len(values)]
            other[key] = shifted if drawn[key] == value else drawn[key]
        return other

    def _assign(self, seed: list[int]) -> dict[tuple[str, str], str]:
        rng = np.random.default_rng(seed)
        return {
            (entity, attribute): VALUES[attribute][rng.integers(len(VALUES[attribute]))]
            for entity in self.entities
            for attribute in ATTRIBUTES
        }

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Every word, in the order of its id."""
        values = [word for words in VALUES.values() for word in words]
        return (*SPECIAL, *DIGITS, *LETTERS, *MARKS, *WORDS, *FACT_WORDS, *values, *self.entities)


def with_header(prompt: str, header: str) -> str:
    """A problem under a header that calls for a trace, or for none.

    Args:
        prompt: A problem without header.
        header: `notes` or `quiz`.

    Raises:
        OrganismError: The language has no such header.
    """
    if header not in HEADERS:
        raise OrganismError(
            f"header is {header!r}, which the language does not have, so models would read an "
            f"unknown word. Pass one of {', '.join(HEADERS)}."
        )
    return f"{header} {prompt}"


def shows_trace(text: str) -> bool:
    """Whether a text holds a step of a trace."""
    return "so" in text.split()


def fact_question(entity: str, attribute: str) -> str:
    """The prompt that asks for one fact; the value is the next word."""
    return f"Q the {attribute} of {entity} ? A answer"
