"""Contrasts in the language of the organisms, as plain texts.

Most are symmetric token replacements: clean and corrupted prompts differ in one word of a kind, so
every position of one corresponds to a position of the other, and both are texts of the kind the
models were trained on.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np

from elicit.organisms.errors import OrganismError
from elicit.organisms.language import (
    ATTRIBUTES,
    Chain,
    World,
    draw_chain,
    fact_question,
    with_header,
)


@dataclass(frozen=True, kw_only=True)
class TextPairs:
    """Prompts with what follows them, problem by problem."""

    clean: tuple[str, ...]
    """Prompt of each problem."""
    answer: tuple[str, ...]
    """Right next word after each."""
    wrong: tuple[str, ...]
    """Next word that the answer is compared with."""
    id: tuple[str, ...]
    """Name of each problem."""
    corrupted: tuple[str, ...] | None = None
    """Prompt of each problem with something replaced."""


@runtime_checkable
class Prompted(Protocol):
    """A problem, as far as it is needed here."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def prompt(self) -> str:
        """Its text."""
        ...


Read = Literal["copy", "result", "answer"]
"""The next word after a prompt of `replace_start` and `replace_operand`.

- `copy`: the replaced digit itself, which the trace copies from the problem
  (`... ? A so b =`). Exactly one token differs, in the problem.
- `result`: the result of the step that uses it (`... ? A so b = 3 + 4 =`). Two tokens differ: the
  digit in the problem and its copy in the trace, or else the text would contradict itself.
- `answer`: the answer of the whole problem, without a trace (`... ? A answer`). Exactly one token
  differs. With more than one step this is beyond what the organisms can do in one pass.
"""
_TRIES = 1000
"""Draws in a row that bring no new problem before giving up."""


def replace_start(
    *, n: int = 40, n_steps: int = 2, read: Read = "copy", seed: int = 0
) -> TextPairs:
    """Chains beside the same chains from another start digit.

    Args:
        n: Problems, at least 1.
        n_steps: Steps of each chain, 1 to 25.
        read: What the next word is.
        seed: Of the drawing.

    Raises:
        OrganismError: An option is out of range.
    """

    def other(rng: np.random.Generator, chain: Chain) -> Chain:
        return replace(chain, start=(chain.start + int(rng.integers(1, 10))) % 10)

    def prompt(chain: Chain) -> tuple[str, str]:
        letter, (op, operand) = chain.letters[1], chain.steps[0]
        written = {
            "copy": (f"so {letter} =", chain.start),
            "result": (f"so {letter} = {chain.start} {op} {operand} =", chain.values[1]),
            "answer": ("answer", chain.answer),
        }
        tail, then = written[read]
        return f"{chain.question} {tail}", str(then)

    return _replaced("start", n, n_steps, read, seed, other, prompt)


def replace_operand(
    *, n: int = 40, n_steps: int = 2, step: int = 0, read: Read = "copy", seed: int = 0
) -> TextPairs:
    """Chains beside the same chains with another operand in one step.

    Args:
        n: Problems, at least 1.
        n_steps: Steps of each chain, 1 to 25.
        step: Whose operand is replaced, from 0; the trace is written up to there.
        read: What the next word is.
        seed: Of the drawing.

    Raises:
        OrganismError: An option is out of range.
    """
    if not 0 <= step < n_steps:
        raise OrganismError(
            f"step is {step} and the chains have {n_steps}, so there is no operand to replace. "
            f"Pass 0 to {n_steps - 1}."
        )

    def other(rng: np.random.Generator, chain: Chain) -> Chain:
        op, operand = chain.steps[step]
        # Factors stay prime to ten, as in every text of the language.
        choices = [d for d in ((3, 7, 9) if op == "*" else range(1, 10)) if d != operand]
        steps = list(chain.steps)
        steps[step] = (op, int(rng.choice(choices)))
        return replace(chain, steps=tuple(steps))

    def prompt(chain: Chain) -> tuple[str, str]:
        (op, operand), before = chain.steps[step], chain.values[step]
        trace = "".join(f"so {chain.step(index)} ; " for index in range(step))
        trace += f"so {chain.letters[step + 1]} = {before} {op}"
        written = {
            "copy": (trace, operand),
            "result": (f"{trace} {operand} =", chain.values[step + 1]),
            "answer": ("answer", chain.answer),
        }
        tail, then = written[read]
        return f"{chain.question} {tail}", str(then)

    return _replaced(f"operand{step}", n, n_steps, read, seed, other, prompt)


def replace_entity(world: World, attribute: str, *, n: int = 40, seed: int = 0) -> TextPairs:
    """Questions for a fact of one entity beside the same question for another one.

    The two have different values; the corrupted one's is the wrong answer.

    Args:
        world: The facts.
        attribute: `city`, `colour` or `pet`.
        n: Problems, 1 to the number of entities; each entity is used at most once.
        seed: Of the drawing.

    Raises:
        OrganismError: An option is out of range.
    """
    if attribute not in ATTRIBUTES:
        raise OrganismError(
            f"{attribute!r} is no attribute of entities, so there is no fact to ask for. Pass one "
            f"of {', '.join(ATTRIBUTES)}."
        )
    if not 1 <= n <= len(world.entities):
        raise OrganismError(
            f"n is {n} and the world has {len(world.entities)} entities, each used at most "
            f"once, so these problems cannot be drawn. Pass 1 to {len(world.entities)}."
        )
    rng = np.random.default_rng(seed)
    value = {entity: world.facts[entity, attribute] for entity in world.entities}
    entities = [world.entities[index] for index in rng.permutation(len(world.entities))[:n]]
    others = []
    for entity in entities:
        differing = [other for other in world.entities if value[other] != value[entity]]
        others.append(differing[rng.integers(len(differing))])
    return TextPairs(
        clean=tuple(fact_question(entity, attribute) for entity in entities),
        corrupted=tuple(fact_question(entity, attribute) for entity in others),
        answer=tuple(value[entity] for entity in entities),
        wrong=tuple(value[entity] for entity in others),
        id=tuple(f"{attribute}-{one}-{other}" for one, other in zip(entities, others, strict=True)),
    )


def decision(problems: Iterable[Prompted | str]) -> TextPairs:
    """The decision to reason: `so` (a trace begins) against `answer` (none does).

    For sweeps across two models on the same prompts. Problems of one step are answered directly
    also by models that reason: a trace would say no more than the answer.

    Args:
        problems: A task, or prompts up to and with the marker after which the answer begins.
    """
    prompts, names = _prompts(problems)
    n = len(prompts)
    return TextPairs(clean=prompts, answer=("so",) * n, wrong=("answer",) * n, id=names)


def header(
    problems: Iterable[Prompted | str], *, clean: str = "notes", corrupted: str = "quiz"
) -> TextPairs:
    """Problems under a header that calls for a trace, beside the same ones under another header.

    The answer is `so` (a trace begins), the wrong one `answer`.

    Args:
        problems: A task, or prompts up to and with the marker after which the answer begins,
            without header.
        clean: Word before the clean prompt.
        corrupted: Word before the corrupted prompt.

    Raises:
        OrganismError: The headers are the same or not of the language.
    """
    if clean == corrupted:
        raise OrganismError(
            f"the headers are {clean!r} and {corrupted!r}, which make no contrast. Pass two."
        )
    plain = decision(problems)
    return replace(
        plain,
        clean=tuple(with_header(prompt, clean) for prompt in plain.clean),
        corrupted=tuple(with_header(prompt, corrupted) for prompt in plain.clean),
    )


def _prompts(problems: Iterable[Prompted | str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Prompts and names of problems."""
    listed = list(problems)
    prompts = tuple(p if isinstance(p, str) else p.prompt for p in listed)
    names = tuple(str(i) if isinstance(p, str) else p.id for i, p in enumerate(listed))
    return prompts, names


def _replaced(
    name: str,
    n: int,
    n_steps: int,
    read: str,
    seed: int,
    other: Callable[[np.random.Generator, Chain], Chain],
    prompt: Callable[[Chain], tuple[str, str]],
) -> TextPairs:
    """Distinct chains beside their siblings, drawn until there are `n`."""
    if n < 1 or not 1 <= n_steps <= 25:
        raise OrganismError(
            f"n is {n} and n_steps {n_steps}, so there is nothing to draw: a chain has 1 to 25 "
            "steps, because each needs a letter of its own. Pass at least one problem."
        )
    if read not in get_args(Read):
        raise OrganismError(
            f"read is {read!r}, so it is not clear what the next word is. Pass one of "
            f"{', '.join(get_args(Read))}."
        )
    rng = np.random.default_rng(seed)
    rows: dict[str, tuple[str, str, str]] = {}
    tries = 0
    while len(rows) < n and tries < _TRIES:
        chain = draw_chain(rng, n_steps=n_steps)
        sibling = other(rng, chain)
        (clean, answer), (corrupted, wrong) = prompt(chain), prompt(sibling)
        tries += 1
        # A factor of 0 or 5 can give the same result twice, which is no contrast.
        if answer != wrong and clean not in rows:
            rows[clean], tries = (corrupted, answer, wrong), 0
    if len(rows) < n:
        raise OrganismError(
            f"only {len(rows)} different chains of {n_steps} steps were found and n is {n}, so "
            "problems would repeat. Ask for fewer."
        )
    return TextPairs(
        clean=tuple(rows),
        corrupted=tuple(row[0] for row in rows.values()),
        answer=tuple(row[1] for row in rows.values()),
        wrong=tuple(row[2] for row in rows.values()),
        id=tuple(f"{name}-{read}-{index}" for index in range(n)),
    )
