"""How much a written thought tells about the right answer."""

import math
from dataclasses import dataclass

from elicit.pair import ModelPair
from elicit.stats import Inference
from elicit.traces.measures import Measures, Metric, measured_along
from elicit.traces.reading import Curve, Reading, Readings
from elicit.traces.stating import value_spans

_METRICS = (
    Metric(
        name="gain",
        unit="bits",
        meaning="the thought makes the right answer that much more probable among the candidates",
    ),
    Metric(name="gain per step", unit="bits", meaning="the same, divided by the number of steps"),
    Metric(
        name="gain per 100 tokens",
        unit="bits",
        meaning="the same, by length",
    ),
    Metric(
        name="gain before the mention",
        unit="share",
        meaning="the right answer became that much more probable before the thought states it",
    ),
    Metric(
        name="prior share",
        unit="share",
        meaning="the right answer is that probable among the candidates without the thought",
    ),
    Metric(
        name="final share",
        unit="share",
        meaning="the right answer is that probable after the whole thought",
    ),
    Metric(
        name="perplexity gain",
        unit="per step",
        meaning="the published formula: perplexity of the answer without the thought minus with "
        "it, divided by steps; single problems decide its mean, so read the median",
    ),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Information(Measures):
    """How much written thoughts tell about the right answer, by model.

    Gains are log2 of the share of the right answer among the candidates. A thought that restates a
    leak has a gain as well: what it tells is not what decides the answer.
    """


def information(
    pair: ModelPair, readings: Readings, *, inference: Inference = Inference()
) -> Information:
    """Information that thoughts hold about the right answer, arithmetic on their ledgers.

    Args:
        pair: The two models, for the provenance.
        readings: Base's reading and post's.
        inference: Coverage, resamples and seed.

    Source: information gain of intermediate steps as in Ton et al. 2024 (arXiv:2411.11984), with
        shares among candidates in place of perplexities; their kind of formula stands beside it.
    """
    fields = measured_along(
        pair,
        readings,
        _METRICS,
        _of_thought,
        question={"question": "information"},
        inference=inference,
    )
    return Information(**fields)  # pyright: ignore[reportArgumentType]


def _of_thought(reading: Reading, curve: Curve) -> dict[str, float]:
    share = curve.share[:, curve.gold].tolist()
    n_steps, n_tokens = len(share) - 1, int(curve.at[-1])
    gain = _log2(share[-1]) - _log2(share[0])
    text = reading.ledger.text[curve.thought]
    gold = reading.ledger.candidates[curve.thought][curve.gold]
    stated = value_spans(text, gold)
    before = [i for i, char in enumerate(curve.char.tolist()) if not stated or char < stated[0][1]]
    n_answer = int(reading.ledger.n_gold[curve.thought])
    perplexity = [
        math.exp(min(700.0, -float(curve.log_prob[i, curve.gold]) / n_answer)) for i in (0, -1)
    ]
    return {
        "gain": gain,
        "gain per step": gain / n_steps,
        "gain per 100 tokens": 100 * gain / n_tokens if n_tokens else math.nan,
        "gain before the mention": share[before[-1]] - share[0],
        "prior share": share[0],
        "final share": share[-1],
        "perplexity gain": (perplexity[0] - perplexity[1]) / n_steps,
    }


def _log2(share: float) -> float:
    """Finite where an answer has no probability left in floating point."""
    return math.log2(max(share, 1e-300))
