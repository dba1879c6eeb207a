"""How long thoughts are, against the work that a problem needs and its distance from the base."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.stats import Inference, partial_spearman
from elicit.traces.errors import TraceError
from elicit.traces.ledger import MODELS
from elicit.traces.reading import Readings


@dataclass(frozen=True, eq=False, kw_only=True)
class LengthAgainst(Result):
    """Rank correlations of a thought's length, by model.

    Length that goes with the work a problem needs is not overthinking; length that goes with how
    unusual its wording is for the base, the work held fixed, may be.
    """

    reading: tuple[str, ...]
    """`base`, `post`."""
    work: Annotated[Estimate, "reading"]
    """Spearman's correlation of length with work, distance held fixed."""
    distance: Annotated[Estimate, "reading"]
    """The same with distance, work held fixed: the base's mean loss on the prompt, nats."""
    right: Annotated[Estimate, "reading"]
    """The same with whether the answer is right, work held fixed."""
    mean_tokens: Float[Tensor, " reading"]
    """Mean length, tokens."""
    n: Int[Tensor, " reading"]
    """Thoughts."""


def length_against(
    pair: ModelPair,
    readings: Readings,
    *,
    work: Float[Tensor, " problem"] | None = None,
    inference: Inference = Inference(),
) -> LengthAgainst:
    """Length of thoughts against work and distance, arithmetic on the ledgers.

    Args:
        pair: The two models, for the provenance.
        readings: Base's reading and post's.
        work: Work of each of `readings.problem`, such as the steps that it needs; None takes the
            task's difficulties, which must then be numbers.
        inference: Coverage, resamples and seed.

    Raises:
        TraceError: No work is given and a difficulty is not a number.

    Source: partial rank correlations; the confound of length with difficulty as in Wu et al. 2025,
        arXiv:2502.07266.
    """
    rows: dict[str, list[tuple[float, float, float]]] = {}
    tokens, counts = [], []
    for reading in readings.both:
        book, items = reading.ledger, reading.thoughts.items
        if work is None:
            needs = [_number(item.problem.difficulty, item.problem.id) for item in items]
        else:
            place = {name: i for i, name in enumerate(readings.problem)}
            needs = [float(work[place[item.problem.id]]) for item in items]
        length = torch.bincount(book.token_thought, minlength=len(book)).double()
        loss = -book.prompt_log_prob[MODELS.index("base")] / (book.n_prompt - 1).clamp(min=1)
        right = torch.tensor([float(c.final == c.gold) for c in reading.curves()])
        need, n = torch.tensor(needs, dtype=torch.float64), torch.arange(len(book))
        rows[reading.model] = [
            _ends(length, need, n, loss[None], inference),
            _ends(length, loss, n, need[None], inference),
            _ends(length, right.double(), n, need[None], inference),
        ]
        tokens.append(float(length.mean()))
        counts.append(len(book))
    table = torch.tensor([rows[name] for name in MODELS], dtype=torch.float64)

    def column(i: int) -> Estimate:
        return Estimate.of(table[:, i].T.contiguous())

    return LengthAgainst(
        provenance=pair.provenance(
            inference.seed,
            {"question": "length_against", "level": inference.level},
            task_digests=readings.digests,
        ),
        reading=MODELS,
        work=column(0),
        distance=column(1),
        right=column(2),
        mean_tokens=torch.tensor(tokens, dtype=torch.float64),
        n=torch.tensor(counts),
    )


def _ends(
    length: Tensor, other: Tensor, problem: Tensor, given: Tensor, inference: Inference
) -> tuple[float, float, float]:
    found = partial_spearman(length, other, problem, given=given, inference=inference)
    return found.value, found.low, found.high


def _number(difficulty: object, name: str) -> float:
    if isinstance(difficulty, bool) or not isinstance(difficulty, int | float):
        raise TraceError(
            f"the difficulty of problem {name!r} is {difficulty!r}, which is not a number, so the "
            "work that it needs is not known. Give numbers as difficulty, or pass work."
        )
    return float(difficulty)
