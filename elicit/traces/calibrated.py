"""Does the share of an answer after its thought say how often it is right?"""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.stats import Calibration, Inference, calibration_difference, measure_calibration
from elicit.traces.discrimination import right_of
from elicit.traces.ledger import MODELS
from elicit.traces.reading import Reading, Readings

MEASURES = (
    "ECE",
    "ECE, debiased",
    "Brier score",
    "reliability",
    "resolution",
    "uncertainty",
    "area under risk and coverage",
    "the same beyond the least possible",
)
"""What is told of each model; less is better but for the resolution."""
_FIELDS = (
    "ece",
    "ece_debiased",
    "brier",
    "reliability",
    "resolution",
    "uncertainty",
    "aurc",
    "excess_aurc",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class AnswerCalibration(Result):
    """Calibration of the answers after whole thoughts, by model.

    Confidence is the share of the chosen answer among the candidates. Calibration does not see lost
    ability: a model that is right less often and says so is as calibrated as before, so `accuracy`
    stands beside.
    """

    reading: tuple[str, ...]
    """`base`, `post`."""
    measure: tuple[str, ...]
    """`MEASURES`."""
    value: Annotated[Estimate, "measure reading"]
    """Value of each model, with the interval of this number alone."""
    difference: Annotated[Estimate, "measure"]
    """Post minus base over the problems that both read, jointly over measures; of the debiased ECE
    the difference of its squares, which are means and have an interval."""
    accuracy: Float[Tensor, " reading"]
    """Share of right answers."""
    stated: Float[Tensor, "reading bin"]
    """Mean confidence in each bin, of about as many answers each; NaN where a model has fewer."""
    right: Annotated[Estimate, "reading bin"]
    """Share of right answers in each bin, with intervals simultaneous over bins."""
    n_in_bin: Int[Tensor, "reading bin"]
    """Answers in each bin."""
    coverage: Float[Tensor, " coverage"]
    """Share of answers kept, the most confident first."""
    risk: Annotated[Estimate, "reading coverage"]
    """Error rate among the answers kept, with intervals simultaneous over coverages."""
    n: Int[Tensor, " reading"]
    """Answers."""
    n_errors: Int[Tensor, " reading"]
    """Wrong ones among them."""


def calibration(
    pair: ModelPair, readings: Readings, *, n_bins: int = 10, inference: Inference = Inference()
) -> AnswerCalibration:
    """Whether the share of an answer says how often it is right, arithmetic on the ledgers.

    Args:
        pair: The two models, for the provenance.
        readings: Base's reading and post's.
        n_bins: Bins of equal mass, at least 1.
        inference: Coverage, resamples and seed.

    Source: see `stats.measure_calibration`.
    """
    shared = [name for name in readings.base.ledger.problem if name in readings.post.ledger.problem]
    alike = readings.only(shared)

    def of(reading: Reading) -> Calibration:
        sure, right, problem = _answers(reading, readings.problem)
        return measure_calibration(sure, right, problem, n_bins=n_bins, inference=inference)

    found = [of(reading) for reading in readings.both]
    same = found if len(shared) == len(readings.problem) else [of(each) for each in alike.both]
    width = max(len(each.stated) for each in found)
    return AnswerCalibration(
        provenance=pair.provenance(
            inference.seed,
            {"question": "calibration", "n_bins": n_bins, "level": inference.level},
            task_digests=readings.digests,
        ),
        reading=MODELS,
        measure=MEASURES,
        value=Estimate.stack(
            Estimate.stack([getattr(each, name) for each in found]) for name in _FIELDS
        ),
        difference=_difference(same, inference),
        accuracy=torch.tensor([1 - each.n_errors / each.n_answers for each in found]).double(),
        stated=torch.stack([_wide(each.stated, width, torch.nan) for each in found]),
        right=Estimate.stack(
            each.accuracy.map(lambda x: _wide(x, width, torch.nan)) for each in found
        ),
        n_in_bin=torch.stack([_wide(each.n_in_bin, width, 0) for each in found]),
        coverage=found[0].coverage,
        risk=Estimate.stack(each.risk for each in found),
        n=torch.tensor([each.n_answers for each in found]),
        n_errors=torch.tensor([each.n_errors for each in found]),
    )


def _answers(
    reading: Reading, problems: tuple[str, ...]
) -> tuple[Float[Tensor, " row"], Bool[Tensor, " row"], Int[Tensor, " row"]]:
    """Confidence in each answer after the whole thought, whether it is right, and its problem."""
    place = {name: i for i, name in enumerate(problems)}
    sure = torch.stack([curve.share[-1].max() for curve in reading.curves()])
    numbers = torch.tensor([place[name] for name in reading.ledger.problem])
    return sure.double().clamp(0.0, 1.0), right_of(reading), numbers


def _difference(found: list[Calibration], inference: Inference) -> Estimate:
    base, post = found
    apart = calibration_difference(post, base, inference=inference)
    named = {name: apart[i] for i, name in enumerate(base.measure)}
    named["ece_debiased"] = named["squared_calibration_error"]
    return Estimate.stack(named[name] for name in _FIELDS)


def _wide(values: Tensor, width: int, fill: float | int) -> Tensor:
    return torch.cat([values, values.new_full((width - len(values),), fill)])
