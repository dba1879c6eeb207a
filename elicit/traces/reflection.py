"""Do corrections correct? The answer before and after every step that takes something back."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from elicit.pair import ModelPair
from elicit.stats import Inference
from elicit.traces.markers import marked_before
from elicit.traces.measures import Measures, Metric, measured_along
from elicit.traces.reading import Curve, Reading, Readings

CORRECTIONS = ("wait", "no", "actually", "hmm", "check", "recheck", "mistake", "correction")
"""Words with which a thought takes a step back."""
_METRICS = (
    Metric(
        name="steps of correction",
        unit="steps",
        meaning="a thought has that many steps with such a word",
    ),
    Metric(
        name="fixed by a correction",
        unit="share",
        meaning="of the answers that are wrong before such a step, that share is right after it",
        proportion=True,
    ),
    Metric(
        name="fixed by another step",
        unit="share",
        meaning="the same of steps without such a word, the last one left out: its fix is the "
        "conclusion",
        proportion=True,
    ),
    Metric(
        name="broken by a correction",
        unit="share",
        meaning="of the answers that are right before such a step, that share is wrong after it",
        proportion=True,
    ),
    Metric(
        name="broken by another step",
        unit="share",
        meaning="the same of steps without such a word, the last one left out",
        proportion=True,
    ),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Reflection(Measures):
    """Whether steps that take something back fix answers or break them, by model.

    The answer before and after a step is the one forced there. Steps without a correction stand
    beside, because an answer also moves while a thought is simply going on.
    """


def reflection(
    pair: ModelPair,
    readings: Readings,
    *,
    markers: Sequence[str] = CORRECTIONS,
    inference: Inference = Inference(),
) -> Reflection:
    """Fixes and breaks of corrections, arithmetic on the ledgers.

    Args:
        pair: The two models, for the provenance.
        readings: Base's reading and post's.
        markers: Words or phrases that make a step a correction.
        inference: Coverage, resamples and seed.

    Raises:
        TraceError: Markers are empty or there twice.
    """

    def of_thought(reading: Reading, curve: Curve) -> dict[str, float]:
        return _of_thought(curve, reading.ledger.text[curve.thought], markers)

    fields = measured_along(
        pair,
        readings,
        _METRICS,
        of_thought,
        question={"question": "reflection", "markers": list(markers)},
        inference=inference,
    )
    return Reflection(**fields)  # pyright: ignore[reportArgumentType]


def _of_thought(curve: Curve, text: str, markers: Sequence[str]) -> dict[str, float]:
    right = (curve.answer == curve.gold).tolist()
    is_marked = marked_before(text, curve.char.tolist()[1:], markers).tolist()
    found: dict[str, list[float]] = defaultdict(list)
    for step, marked in enumerate(is_marked):
        if not marked and step == len(is_marked) - 1:
            continue
        kind = "a correction" if marked else "another step"
        before, after = right[step], right[step + 1]
        found[f"{'broken' if before else 'fixed'} by {kind}"].append(float(before != after))
    means = {name: sum(each) / len(each) for name, each in found.items()}
    names = [metric.name for metric in _METRICS[1:]]
    return {
        "steps of correction": float(sum(is_marked)),
        **{name: means.get(name, math.nan) for name in names},
    }
