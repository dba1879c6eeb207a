"""Symmetric token replacement in the language of the organisms: one word for another of its kind.

Clean and corrupted prompts have the same words but for what was replaced, so every position of one
has its like in the other, and both are texts of the kind the models were trained on.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from elicit.organisms.world import ATTRIBUTES, TRACE_RATE, Chain, World, draw_chain, fact_question
from elicit.pair import Alignment
from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.tasks import Task

Read = Literal["copy", "result", "answer"]
"""What the next word of a prompt of `replace_start` and `replace_operand` is.

- `copy`: the replaced digit itself, which the trace takes over from the problem
  (`... ? A so b =`). Exactly one token differs, in the problem.
- `result`: the result of the step that uses it (`... ? A so b = 3 + 4 =`). Two tokens differ: the
  digit in the problem and its copy in the trace, or else the text would contradict itself.
- `answer`: the answer of the whole problem, without a trace (`... ? A answer`). Exactly one token
  differs. Of more than one step this is beyond what the organisms can do in one go.
"""
_TRIES = 1000
"""Draws in a row that bring no new problem before giving up."""


def replace_start(
    alignment: Alignment, *, n: int = 40, n_steps: int = 2, read: Read = "copy", seed: int
) -> Contrast:
    """Chains beside the same chains from another start digit.

    Args:
        alignment: How the pair reads text.
        n: Problems, at least 1.
        n_steps: Steps of each chain, 1 to 25.
        read: What the next word is.
        seed: Of the drawing.

    Raises:
        PatchError: An option is out of range, or the tokenizer does not know the language.
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

    return _replaced(alignment, "start", n, n_steps, read, seed, other, prompt)


def replace_operand(
    alignment: Alignment,
    *,
    n: int = 40,
    n_steps: int = 2,
    step: int = 0,
    read: Read = "copy",
    seed: int,
) -> Contrast:
    """Chains beside the same chains with another operand in one step.

    Args:
        alignment: How the pair reads text.
        n: Problems, at least 1.
        n_steps: Steps of each chain, 1 to 25.
        step: Whose operand is replaced, from 0; the trace is written up to there.
        read: What the next word is.
        seed: Of the drawing.

    Raises:
        PatchError: An option is out of range, or the tokenizer does not know the language.
    """
    if not 0 <= step < n_steps:
        raise PatchError(
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

    return _replaced(alignment, f"operand{step}", n, n_steps, read, seed, other, prompt)


def replace_entity(
    alignment: Alignment, world: World, attribute: str, *, n: int = 40, seed: int
) -> Contrast:
    """Questions for a fact of one entity beside the same question for another one.

    The two have different values; the corrupted one's is the wrong answer.

    Args:
        alignment: How the pair reads text.
        world: Whose facts are asked for.
        attribute: `city`, `colour` or `pet`.
        n: Problems, 1 to the number of entities; each entity is asked for at most once.
        seed: Of the drawing.

    Raises:
        PatchError: An option is out of range, or the tokenizer does not know the language.
    """
    if attribute not in ATTRIBUTES:
        raise PatchError(
            f"{attribute!r} is no attribute of entities, so there is no fact to ask for. Pass one "
            f"of {', '.join(ATTRIBUTES)}."
        )
    if not 1 <= n <= len(world.entities):
        raise PatchError(
            f"n is {n} and the world has {len(world.entities)} entities, each asked for at most "
            f"once, so these problems cannot be drawn. Pass 1 to {len(world.entities)}."
        )
    rng = np.random.default_rng(seed)
    value = {entity: world.facts[entity, attribute] for entity in world.entities}
    asked = [world.entities[place] for place in rng.permutation(len(world.entities))[:n]]
    others = []
    for entity in asked:
        differing = [other for other in world.entities if value[other] != value[entity]]
        others.append(differing[rng.integers(len(differing))])
    return Contrast.from_texts(
        alignment,
        clean=[fact_question(entity, attribute) for entity in asked],
        corrupted=[fact_question(entity, attribute) for entity in others],
        answer=[value[entity] for entity in asked],
        wrong=[value[entity] for entity in others],
        id=[f"{attribute}-{one}-{other}" for one, other in zip(asked, others, strict=True)],
    )


def decision(alignment: Alignment, problems: Task | Sequence[str]) -> Contrast:
    """The decision to reason: `so` (a trace begins) against `answer` (none does).

    For sweeps across two models on the same prompts. Problems of one step are answered directly
    also by models that reason: a trace would say no more than the answer.

    Args:
        alignment: How the pair reads text.
        problems: Prompts up to and with the marker after which the answer begins.

    Raises:
        PatchError: The tokenizer does not know the language, or there is no prompt.
    """
    prompts, names = _prompts(problems)
    return Contrast.from_texts(
        alignment,
        clean=prompts,
        answer=["so"] * len(prompts),
        wrong=["answer"] * len(prompts),
        id=names,
    )


def header(
    alignment: Alignment,
    problems: Task | Sequence[str],
    *,
    clean: str = "notes",
    corrupted: str = "quiz",
) -> Contrast:
    """Problems under a header that calls for a trace, beside the same ones under another header.

    The answer is `so` (a trace begins), the wrong one `answer`.

    Args:
        alignment: How the pair reads text.
        problems: Prompts up to and with the marker after which the answer begins, without header.
        clean: Word before the clean prompt.
        corrupted: Word before the corrupted prompt.

    Raises:
        PatchError: The headers are the same or not of the language, or there is no prompt.
    """
    known = [word for word in TRACE_RATE if word]
    if clean == corrupted or not {clean, corrupted} <= {*known}:
        raise PatchError(
            f"the headers are {clean!r} and {corrupted!r}, which make no contrast of the language. "
            f"Pass two of {', '.join(known)}."
        )
    prompts, names = _prompts(problems)
    return Contrast.from_texts(
        alignment,
        clean=[f"{clean} {prompt}" for prompt in prompts],
        corrupted=[f"{corrupted} {prompt}" for prompt in prompts],
        answer=["so"] * len(prompts),
        wrong=["answer"] * len(prompts),
        id=names,
    )


def _prompts(problems: Task | Sequence[str]) -> tuple[list[str], list[str]]:
    """Prompts and names of problems."""
    if isinstance(problems, Task):
        return [p.prompt for p in problems], [p.id for p in problems]
    return list(problems), [str(place) for place in range(len(problems))]


def _replaced(
    alignment: Alignment,
    name: str,
    n: int,
    n_steps: int,
    read: str,
    seed: int,
    other: Callable[[np.random.Generator, Chain], Chain],
    prompt: Callable[[Chain], tuple[str, str]],
) -> Contrast:
    """Distinct chains beside their siblings, drawn until there are `n`."""
    if n < 1 or not 1 <= n_steps <= 25:
        raise PatchError(
            f"n is {n} and n_steps {n_steps}, so there is nothing to draw: a chain has 1 to 25 "
            "steps, because each needs a letter of its own. Pass at least one problem."
        )
    if read not in get_args(Read):
        raise PatchError(
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
        raise PatchError(
            f"only {len(rows)} different chains of {n_steps} steps were found and n is {n}, so "
            "problems would repeat. Ask for fewer."
        )
    return Contrast.from_texts(
        alignment,
        clean=list(rows),
        corrupted=[row[0] for row in rows.values()],
        answer=[row[1] for row in rows.values()],
        wrong=[row[2] for row in rows.values()],
        id=[f"{name}-{read}-{place}" for place in range(n)],
    )
