"""Where a thought concludes, what stands after it, and how early its answer could be had."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import write_atomic
from elicit.stats import Inference
from elicit.traces.measures import Measures, Metric, measured_along
from elicit.traces.reading import Curve, Reading, Readings

_METRICS = (
    Metric(
        name="concluded at",
        unit="share",
        meaning="the answer is settled after that share of the thought's tokens",
    ),
    Metric(
        name="tail",
        unit="tokens",
        meaning="that many tokens are written after the answer is settled, over problems that are "
        "wrong without the thought",
    ),
    Metric(
        name="tail share",
        unit="share",
        meaning="that share of the thought comes after its conclusion, over the same problems",
    ),
    Metric(
        name="tail entropy",
        unit="nats",
        meaning="the reader is that unsure of the words of the tail",
    ),
    Metric(
        name="never settled",
        unit="share",
        meaning="not even the whole thought makes the reader nine parts in ten sure of one answer",
        proportion=True,
    ),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Conclusion(Measures):
    """Where thoughts conclude, and how long they go on, by model.

    The conclusion is the first cut from which on the reader's answer is its final one with a share
    of 0.9 or more. Where the answer is right without the thought, the whole thought comes after it,
    so tails are of problems that are wrong without it.
    """

    by_budget: Float[Tensor, "reading tenth"]
    """Share of problems answered rightly when the thought is cut at 0, 10, ... 100 % of its tokens,
    each at the last cut that is not later."""
    tenth: Float[Tensor, " tenth"]
    """Share of the tokens that are read."""


def conclusion(
    pair: ModelPair, readings: Readings, *, inference: Inference = Inference()
) -> Conclusion:
    """Where thoughts conclude, arithmetic on their ledgers.

    Args:
        pair: The two models, for the provenance.
        readings: Base's reading and post's.
        inference: Coverage, resamples and seed.
    """
    budget = torch.zeros(2, 11, dtype=torch.float64)
    for row, reading in enumerate(readings.both):
        for curve in reading.curves():
            right = (curve.answer == curve.gold).tolist()
            for tenth in range(11):
                reached = (curve.at <= float(curve.at[-1]) * tenth / 10 + 1e-9).nonzero()[-1]
                budget[row, tenth] += right[int(reached)] / len(reading.ledger)
    fields = measured_along(
        pair,
        readings,
        _METRICS,
        _of_thought,
        question={"question": "conclusion"},
        inference=inference,
    )
    return Conclusion(**fields, by_budget=budget, tenth=torch.arange(11) / 10)  # pyright: ignore[reportArgumentType]


def save_pruned(reading: Reading, path: Path | str) -> int:
    """Write thoughts without their tails, one JSON object a line, for supervised fine-tuning.

    Only thoughts whose reader ends with the right answer are written, each up to the cut at which
    that answer settled (after the first step at the earliest).

    Args:
        reading: A model's reading of thoughts.
        path: JSONL file; replaced.

    Returns:
        Number of lines.
    """
    lines = []
    for curve, item in zip(reading.curves(), reading.thoughts.items, strict=True):
        if curve.settled is None or curve.final != curve.gold:
            continue
        text = item.text[: int(curve.char[max(1, curve.settled)])]
        held = {
            "id": item.problem.id,
            "prompt": item.problem.prompt,
            "trace": text,
            "answer": item.problem.answer,
        }
        lines.append(json.dumps(held, ensure_ascii=False))
    write_atomic(Path(path), "".join(f"{line}\n" for line in lines).encode())
    return len(lines)


def _of_thought(reading: Reading, curve: Curve) -> dict[str, float]:
    right = (curve.answer == curve.gold).tolist()
    settled, n_tokens = curve.settled, int(curve.at[-1])
    start = n_tokens if settled is None else int(curve.at[settled])
    tail = n_tokens - start
    needed = not right[0]
    tokens = reading.ledger.tokens_of(curve.thought)
    entropy = reading.ledger.entropy[reading.scorer, tokens][start:]
    return {
        "concluded at": start / n_tokens if n_tokens and settled is not None else math.nan,
        "tail": float(tail) if needed and settled is not None else math.nan,
        "tail share": tail / n_tokens if needed and settled is not None else math.nan,
        "tail entropy": float(entropy.mean()) if needed and len(entropy) else math.nan,
        "never settled": float(settled is None),
    }
