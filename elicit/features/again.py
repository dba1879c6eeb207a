"""What came back, counted place by place and told with intervals over problems."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.features.places import Places
from elicit.features.reading import Rows
from elicit.features.rewriting import Cut, Rewriting
from elicit.features.sae import Sae
from elicit.stats import Inference, bootstrap_mean, wilson


@dataclass(frozen=True, eq=False, kw_only=True)
class Told:
    """What is said of one candidate, arm by arm."""

    verdict: str
    again: tuple[Tensor, Tensor, Tensor]
    """Rate of each arm, with its ends."""
    excess: tuple[Tensor, Tensor, Tensor]
    """Own places minus each arm, with its ends."""
    token: Float[Tensor, " arm"]
    shown: Float[Tensor, " arm"]
    rates: list[float]
    """Of each of its own places."""


class Counted:
    """Shares of the continuations of every cut in which something came back.

    Attributes:
        active: [cut, feature] of all features read.
        token: Share that holds the token cut off, by cut.
        shown: Share that shows the behaviour, by cut; NaN if not asked.
    """

    def __init__(
        self,
        rewriting: Rewriting,
        sae: Sae,
        tokens: Rows,
        places: Places,
        shown: Callable[[str], bool] | None,
    ) -> None:
        """Write everything again, and read it.

        Args:
            rewriting: How.
            sae: Whose features.
            tokens: Texts.
            places: Where they are cut.
            shown: Whether a continuation shows the behaviour.
        """
        self.places = places
        cuts = sorted({cut for both in (places.own, places.random) for one in both for cut in one})
        self._number = {cut: i for i, cut in enumerate(cuts)}
        written = rewriting.write(tokens, cuts)
        largest = rewriting.largest(sae, tokens, cuts, written, places.features)
        self.active = (largest >= places.threshold).double().mean(1)
        self.token = torch.tensor(
            [
                sum(tokens.rows[row][pos] in ids for ids in samples) / len(samples)
                for (row, pos), samples in zip(cuts, written, strict=True)
            ],
            dtype=torch.float64,
        )
        decode = rewriting.pair.alignment.decode
        self.shown = torch.tensor(
            [
                float("nan")
                if shown is None
                else sum(bool(shown(decode(ids))) for ids in samples) / len(samples)
                for samples in written
            ],
            dtype=torch.float64,
        )

    def at(self, cuts: Sequence[Cut]) -> list[int]:
        """Numbers of some cuts.

        Args:
            cuts: Which.
        """
        return [self._number[cut] for cut in cuts]


def tell(counted: Counted, i: int, *, least: float, inference: Inference = Inference()) -> Told:
    """Rates of one candidate with their ends, and what follows.

    Args:
        counted: What came back.
        i: Number of the candidate among all.
        least: Rate that a stable one must clearly exceed.
        inference: Coverage and resamples of the intervals, and the seed.
    """
    places, nan = counted.places, float("nan")
    own, random = counted.at(places.own[i]), counted.at(places.random[i])
    rows = [row for row, _ in places.own[i]]
    # A text without another place has no random one; the pairs are those that have both.
    there = [rows.index(row) for row, _ in places.random[i]]
    like = [places.features.index(f) for f in places.matched[i]]
    at_own = counted.active[own, i].numpy()
    at_random = counted.active[random, i].numpy()
    of_like = (
        counted.active[own][:, like].mean(1).numpy() if like else np.zeros(0, dtype=np.float64)
    )

    def bounds(values: np.ndarray) -> tuple[float, float, float]:
        if len(values) < 2:
            return (float(values.mean()) if len(values) else nan), nan, nan
        if values.min() == values.max() and values[0] in (0.0, 1.0):
            # No failure was seen, which is not to say that there are none.
            found = wilson(round(len(values) * values[0]), len(values), level=inference.level)
        else:
            # BCa: the ends of a share stay shares.
            found = bootstrap_mean(
                values,
                level=inference.level,
                n_resamples=inference.n_resamples,
                method="bca",
                seed=inference.seed,
            )
        return found.value, found.low, found.high

    def difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
        values = a - b
        if len(values) < 2:
            return (float(values.mean()) if len(values) else nan), nan, nan
        if np.ptp(values) == 0:
            # The same in every problem: as unsure as each of the two sides by itself.
            one, two = bounds(a), bounds(b)
            half = float(np.hypot(one[0] - one[1], two[2] - two[0]))
            other = float(np.hypot(one[2] - one[0], two[0] - two[1]))
            return float(values[0]), float(values[0]) - half, float(values[0]) + other
        found = bootstrap_mean(
            values, level=inference.level, n_resamples=inference.n_resamples, seed=inference.seed
        )
        return found.value, found.low, found.high

    rates = [bounds(at_own), bounds(at_random), bounds(of_like)]
    over = [
        (nan, nan, nan),
        difference(at_own[there], at_random),
        difference(at_own, of_like) if like else (nan, nan, nan),
    ]
    return Told(
        verdict=verdict(rates[0], over[1:], least=least),
        again=_columns(rates),
        excess=_columns(over),
        token=torch.tensor([_mean(counted.token[own]), _mean(counted.token[random]), nan]),
        shown=torch.tensor([_mean(counted.shown[own]), _mean(counted.shown[random]), nan]),
        rates=at_own.tolist(),
    )


def verdict(
    rate: tuple[float, float, float],
    over: Sequence[tuple[float, float, float]],
    *,
    least: float,
) -> str:
    """What the rate at a feature's own places says, beside both controls.

    Args:
        rate: Value and ends at its own places.
        over: The same of how much that is above each control.
        least: Rate that a stable feature must clearly exceed, and an unstable one clearly miss.
    """
    value, low, high = rate
    if value != value:
        return "nowhere active"
    if low > least and all(one[1] > 0 for one in over):
        return "stable"
    return "unstable" if high < least else "unclear"


def _columns(told: Sequence[tuple[float, float, float]]) -> tuple[Tensor, Tensor, Tensor]:
    value, low, high = torch.tensor(told, dtype=torch.float64).T
    return value, low, high


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else float("nan")
