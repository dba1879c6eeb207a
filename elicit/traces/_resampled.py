"""What a model answers when it writes on from every cut of a text, many times over."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elicit.pair import Side
from elicit.rollouts import Generation, resample
from elicit.runs import Execution
from elicit.tasks import Problem, check, parse_number
from elicit.texts import EncodedText
from elicit.traces.step_filter import StepFilter

N_FLOOR = 400
"""Pairs of samples drawn for the floor of each step."""
NO_ANSWER = ""
"""Outcome of a text in which no answer is found."""


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Answers of the texts written on from one cut."""

    counts: Counter[str]
    """How many give each answer; those without one count as an outcome of their own."""
    differing: Counter[str] | None = None
    """The same of the texts whose own next step means something else; None without a filter."""

    @property
    def without(self) -> "Outcomes":
        """Answers without the step that follows: of texts that differ there, if they are known."""
        return self if self.differing is None else Outcomes(counts=self.differing)

    @property
    def n(self) -> int:
        """Number of texts."""
        return self.counts.total()

    @property
    def entropy(self) -> float:
        """Entropy of the answers, nats: how far a step can still move them."""
        shares = np.array(list(self.counts.values())) / self.n
        return float(-(shares * np.log(shares)).sum()) + 0.0


def resampled_answers(
    side: Side,
    problems: Sequence[Problem],
    rows: Sequence[EncodedText],
    *,
    generation: Generation,
    seed: int,
    execution: Execution,
    differs: StepFilter | None = None,
) -> list[list[Outcomes]]:
    """Answers after every cut of every text, the first cut before any step.

    Streams differ from cut to cut, because they depend on the prefix.

    Args:
        side: Writes on.
        problems: Problem of each text.
        rows: Texts with their cuts.
        generation: Texts a cut, temperature and length of what is written on.
        seed: Of the random streams.
        execution: Checkpoint and progress.
        differs: Which texts have another step in place of the next one; None counts all.
    """
    prefixes = [row.ids[: row.start + at] for row in rows for at in row.text_at]
    texts = iter(resample(side, prefixes, generation=generation, seed=seed, execution=execution))
    templated = generation.templated
    alignment = side.alignment
    reader = alignment.template_tokenizer if templated else alignment.tokenizer
    found: list[list[Outcomes]] = []

    def read(ids: Sequence[int]) -> str:
        return str(reader.decode(list(ids), skip_special_tokens=True))

    for problem, row in zip(problems, rows, strict=True):
        of_text = []
        text, ends = row.ids[row.start :], [*row.text_at]
        for place, at in enumerate(ends):
            new = next(texts)
            answers = [
                _outcome(check(read([*text[:at], *ids]), problem, generation.extract).extracted)
                for ids in new
            ]
            other = None
            if differs is not None and place + 1 < len(ends):
                step = read(text[at : ends[place + 1]]).strip()
                kept = differs.differs(step, [read(ids).strip() for ids in new])
                other = Counter(a for a, keep in zip(answers, kept.tolist(), strict=True) if keep)
            of_text.append(Outcomes(counts=Counter(answers), differing=other))
        found.append(of_text)
    return found


def _outcome(answer: str | None) -> str:
    """The same outcome for answers of the same value."""
    if answer is None:
        return NO_ANSWER
    value = parse_number(answer)
    return answer.strip().casefold() if value is None else str(value)


def total_variation(a: Outcomes, b: Outcomes) -> float:
    """Total variation distance between two samples of answers, in [0, 1]; NaN if one is empty.

    Args:
        a: One sample.
        b: The other.
    """
    if not a.n or not b.n:
        return math.nan
    names = sorted({*a.counts, *b.counts})
    return sum(abs(a.counts[name] / a.n - b.counts[name] / b.n) for name in names) / 2


def floor(a: Outcomes, b: Outcomes, *, random: np.random.Generator) -> float:
    """Total variation that two samples of these sizes have where nothing differs, on average.

    Both are drawn from the answers of the two together.

    Args:
        a: One sample.
        b: The other.
        random: Draws.
    """
    if not a.n or not b.n:
        return math.nan
    pooled = np.array(sorted((a.counts + b.counts).values()), dtype=np.float64)
    if len(pooled) == 1:
        return 0.0
    shares = pooled / pooled.sum()
    left, right = (random.multinomial(each.n, shares, size=N_FLOOR) / each.n for each in (a, b))
    return float(np.abs(left - right).sum(-1).mean() / 2)
