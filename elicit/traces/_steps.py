"""Steps of all thoughts as columns, and how their importances go together."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.results import Estimate
from elicit.stats import Inference
from elicit.traces._resampled import NO_ANSWER, Outcomes, floor, total_variation
from elicit.traces.reading import Curve, Reading

PAIRINGS = (
    ("resampling", "entropy_before"),
    ("resampling", "forced"),
    ("resampling", "suppression"),
)
_NUMBERS = (
    "resampling",
    "resampling_floor",
    "entropy_before",
    "no_answer",
    "differing",
    "forced",
    "suppression",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Importance:
    """What was found for the steps of one thought."""

    curve: Curve
    """The thought as it is read."""
    resampling: list[float]
    """Total variation between answers written on from before and from after each step."""
    floor: list[float]
    """The same where a step changes nothing."""
    headroom: list[float]
    """Entropy of the answers before each step, nats."""
    no_answer: list[float]
    """Share of texts without an answer after it."""
    differing: list[float]
    """Share of texts written on from before it whose own step there means something else."""
    forced: list[float]
    """Total variation between the forced answers before and after it."""
    effects: Float[Tensor, "step step"]
    """KL of later steps without attention to each."""

    def summary(self) -> dict[str, float]:
        """One number a thought of every metric."""
        n = len(self.resampling)
        far = torch.ones(n, n, dtype=torch.bool).triu(2)
        return {
            "resampling importance": _mean(self.resampling),
            "resampling floor": _mean(self.floor),
            "resampling importance of the first step": self.resampling[0],
            "resampling importance of later steps": _mean(self.resampling[1:]),
            "headroom": float(np.mean(self.headroom)),
            "forced importance": float(np.mean(self.forced)),
            "suppression of the step before": _mean(self.effects.diagonal(1).tolist()),
            "suppression of earlier steps": _mean(self.effects[far].tolist()),
        }

    @property
    def suppression(self) -> list[float]:
        """Effect of each step on the next."""
        return [*self.effects.diagonal(1).tolist(), math.nan]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def importance_of(
    curve: Curve,
    answers: Sequence[Outcomes],
    effects: Float[Tensor, "step step"],
    random: np.random.Generator,
) -> Importance:
    """Importances of the steps of one thought.

    Args:
        curve: The thought as it is read.
        answers: Outcomes after each cut.
        effects: Effects of suppression.
        random: Draws the floors.
    """
    both = list(zip(answers, answers[1:], strict=False))
    return Importance(
        curve=curve,
        resampling=[total_variation(a.without, b) for a, b in both],
        floor=[floor(a.without, b, random=random) for a, b in both],
        differing=[math.nan if a.differing is None else a.without.n / a.n for a, _ in both],
        headroom=[a.entropy for a, _ in both],
        no_answer=[b.counts[NO_ANSWER] / b.n for _, b in both],
        forced=(curve.share.diff(dim=0).abs().sum(-1) / 2).tolist(),
        effects=effects,
    )


class Steps:
    """Collects the steps of all thoughts, and the effects of each on later ones."""

    def __init__(self) -> None:
        """Nothing so far."""
        self._of: dict[str, list[Any]] = defaultdict(list)

    def add(self, reading: Reading, found: Importance) -> None:
        """Add the steps of one thought.

        Args:
            reading: The model that read it.
            found: Their importances.
        """
        held, curve, n = self._of, found.curve, len(found.resampling)
        text, problem = reading.ledger.text[curve.thought], reading.ledger.problem[curve.thought]
        ends = curve.char.tolist()
        held["step_reading"] += [reading.model] * n
        held["step_problem"] += [problem] * n
        held["step_number"] += range(n)
        held["step_text"] += [text[a:b].strip() for a, b in zip(ends, ends[1:], strict=False)]
        columns = (
            found.resampling,
            found.floor,
            found.headroom,
            found.no_answer,
            found.differing,
            found.forced,
            found.suppression,
        )
        for name, values in zip(_NUMBERS, columns, strict=True):
            held[name] += values
        of, on = torch.ones(n, n).triu(1).nonzero().unbind(1)
        held["effect_reading"] += [reading.model] * len(of)
        held["effect_problem"] += [problem] * len(of)
        held["effect_of"] += of.tolist()
        held["effect_on"] += on.tolist()
        held["effect"] += found.effects[of, on].tolist()

    def fields(self, inference: Inference) -> dict[str, Any]:
        """Fields of the result.

        Args:
            inference: Coverage, resamples and seed of the rank correlations.
        """
        held = self._of
        out: dict[str, Any] = {
            name: tuple(held[name])
            for name in (
                "step_reading", "step_problem", "step_text", "effect_reading", "effect_problem"
            )
        }  # fmt: skip
        for name in ("step_number", "effect_of", "effect_on"):
            out[name] = torch.tensor(held[name], dtype=torch.long)
        for name in (*_NUMBERS, "effect"):
            out[name] = torch.tensor(held[name], dtype=torch.float64)
        out["pairing"] = tuple(f"{a}, {b}" for a, b in PAIRINGS)
        rows = []
        for pairing in PAIRINGS:
            for model in ("base", "post"):
                own = [i for i, each in enumerate(held["step_reading"]) if each == model]
                a, b = (np.array([held[name][i] for i in own]) for name in pairing)
                rows.append(
                    rank_correlation(a, b, [held["step_problem"][i] for i in own], inference)
                )
        ends = torch.tensor(rows, dtype=torch.float64).T.reshape(3, len(PAIRINGS), 2)
        out["correlation"] = Estimate.of(ends.contiguous())
        return out


def rank_correlation(
    a: Float[np.ndarray, " step"],
    b: Float[np.ndarray, " step"],
    problem: Sequence[str],
    inference: Inference,
) -> tuple[float, float, float]:
    """Spearman's correlation over steps that have both, with ends from resampling problems.

    Args:
        a: One value a step; NaN where it has none.
        b: The other.
        problem: Problem of each step.
        inference: Coverage, resamples and seed.

    Returns:
        Value, low and high; NaN where one of the two does not vary.
    """
    from scipy.stats import rankdata

    both = ~(np.isnan(a) | np.isnan(b))
    if both.sum() < 3 or np.ptp(a[both]) == 0 or np.ptp(b[both]) == 0:
        return math.nan, math.nan, math.nan
    x, y = rankdata(a[both]), rankdata(b[both])
    names, place = np.unique(np.asarray(problem)[both], return_inverse=True)
    random = np.random.default_rng(inference.seed)
    drawn = random.multinomial(len(names), np.full(len(names), 1 / len(names)),
                               size=inference.n_resamples)  # fmt: skip
    weights = np.concatenate([np.ones((1, len(x))), drawn[:, place]])
    total = weights.sum(1)

    def mean(values: np.ndarray) -> np.ndarray:
        return weights @ values / total

    mx, my = mean(x), mean(y)
    spread = np.sqrt((mean(x * x) - mx**2).clip(0) * (mean(y * y) - my**2).clip(0))
    r = np.divide(mean(x * y) - mx * my, spread, out=np.full_like(mx, np.nan), where=spread > 1e-9)
    if len(names) < 2 or np.isnan(r[1:]).all():
        return float(r[0]), math.nan, math.nan
    outside = (1 - inference.level) / 2
    low, high = np.nanquantile(r[1:], [outside, 1 - outside])
    return float(r[0]), float(low), float(high)
