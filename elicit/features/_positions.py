"""Positions at which texts are resampled, and rate-matched control features."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.features._reading import Rows, blocks
from elicit.features.activations import TopActivations, top_activations
from elicit.features.errors import FeatureError
from elicit.features.sae import Sae
from elicit.pair import Side
from elicit.rollouts import Generation
from elicit.runs import Execution

Cut = tuple[int, int]
"""A row, and the position of its first resampled token."""
_SEARCHED = 64
"""Largest activations searched per requested position, to get one per problem."""


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """Options of resampling.

    Raises:
        FeatureError: Nothing would be counted, or all continuations would be equal.
    """

    n_positions: int = 16
    """Largest number of problems per candidate: those with its largest activations."""
    share: float = 0.5
    """A feature counts as active above this share of its mean activation at its positions, and
    positions have at least this share of its largest activation."""
    least: float = 0.5
    """Rate that a stable feature clearly exceeds and an unstable one clearly misses."""
    n_matched: int = 8
    """Number of rate-matched features, whose mean is a control."""
    shown: Callable[[str], bool] | None = None
    """Test of whether a continuation shows the behaviour, if that is counted too."""
    generation: Generation = Generation(n_samples=8, max_new_tokens=8, temperature=1.0)
    """Number, length and sampling of the continuations."""

    def __post_init__(self) -> None:
        """Refuse options that allow no conclusion."""
        for name in ("n_positions", "n_matched"):
            if getattr(self, name) < 1:
                raise FeatureError(
                    f"{name} is {getattr(self, name)}, so nothing could be counted. Pass 1 or more."
                )
        if not self.generation.temperature > 0:
            raise FeatureError(
                f"temperature is {self.generation.temperature}, at which all continuations of a "
                "position are equal, so they would count as many but be one. Pass a temperature "
                "above 0."
            )
        for name in ("share", "least"):
            if not 0 < getattr(self, name) < 1:
                raise FeatureError(
                    f"{name} is {getattr(self, name)}, but must be a share. Pass a number between "
                    "0 and 1."
                )


@dataclass(frozen=True, eq=False, kw_only=True)
class Positions:
    """Cuts of each candidate, and activation thresholds."""

    peaks: tuple[tuple[Cut, ...], ...]
    """Each candidate's cuts before its largest activation in a problem."""
    random: tuple[tuple[Cut, ...], ...]
    """For each of these a random position of the same text, omitted where there is none."""
    matched: tuple[tuple[int, ...], ...]
    """Each candidate's rate-matched features, active on about as many tokens."""
    features: tuple[int, ...]
    """Candidates, then all matched features."""
    threshold: Float[Tensor, " every"]
    """Activation above which each of `features` counts as active."""

    @property
    def cuts(self) -> list[Cut]:
        """All distinct cuts, sorted."""
        return sorted({cut for arm in (self.peaks, self.random) for cuts in arm for cut in cuts})


def find_positions(
    side: Side,
    sae: Sae,
    tokens: Rows,
    candidates: tuple[int, ...],
    problem: Int[Tensor, " row"],
    *,
    resampling: Resampling,
    seed: int,
    execution: Execution = Execution(),
) -> Positions:
    """Positions at which features are most active, one per problem, with controls."""
    n, quiet = resampling.n_positions, Execution(max_tokens=execution.max_tokens)
    rates = n_active_of(side, sae, tokens, execution=quiet)
    matched = features_of_like_rate(rates, candidates, resampling.n_matched)
    features = tuple(dict.fromkeys([*candidates, *(f for subset in matched for f in subset)]))
    n_searched = min(_SEARCHED * n, int(tokens.counted.sum()))
    top = top_activations(side, sae, tokens, features, n=n_searched, execution=execution)
    chosen = [
        _one_a_problem(top, tokens, problem, i, n, resampling.share) for i in range(len(features))
    ]
    peaks = [cuts for _, cuts in chosen[: len(candidates)]]
    threshold = [
        # A feature that is never active never counts as active.
        resampling.share * float(np.mean(values)) if values else float("inf")
        for values, _ in chosen
    ]
    rng = np.random.default_rng([seed, 3])
    random: list[tuple[Cut, ...]] = []
    for cuts in peaks:
        drawn: list[Cut] = []
        for row, pos in cuts:
            allowed = tokens.pos[(tokens.row == row) & tokens.counted].tolist()
            others = [at for at in allowed if at != pos]
            if others:
                drawn.append((row, int(others[int(rng.integers(len(others)))])))
        random.append(tuple(drawn))
    return Positions(
        peaks=tuple(peaks),
        random=tuple(random),
        matched=matched,
        features=features,
        threshold=torch.tensor(threshold),
    )


def n_active_of(
    side: Side, sae: Sae, tokens: Rows, *, execution: Execution = Execution()
) -> Int[Tensor, " feature"]:
    """Number of tokens at which each feature is active."""
    total = torch.zeros(sae.d_sae, dtype=torch.long)
    for block in blocks(side, sae, tokens, execution=execution):
        total += (block.acts != 0).sum(0).cpu()
    return total


def features_of_like_rate(
    n_active: Int[Tensor, " feature"], candidates: Sequence[int], n: int
) -> tuple[tuple[int, ...], ...]:
    """For each candidate the non-candidate live features of nearest activation rate.

    `n`: number per candidate; fewer if fewer are live.
    """
    others = [int(i) for i in n_active.nonzero()[:, 0] if int(i) not in set(candidates)]
    rate = n_active.double().clamp(min=0.5).log()
    return tuple(
        tuple(sorted(others, key=lambda i: (abs(float(rate[i] - rate[f])), i))[:n])
        for f in candidates
    )


def _one_a_problem(
    top: TopActivations, tokens: Rows, problem: Tensor, i: int, n: int, share: float
) -> tuple[list[float], tuple[Cut, ...]]:
    """Largest activation in each problem, if not small relative to the largest overall."""
    # A position at which the feature is hardly active would lose it in any case.
    least = share * float(top.value[i, 0])
    values: list[float] = []
    cuts: list[Cut] = []
    seen: set[int] = set()
    for value, index in zip(top.value[i].tolist(), top.index[i].tolist(), strict=True):
        row = int(tokens.row[index])
        number = int(problem[row])
        if value > 0 and value >= least and number not in seen and len(cuts) < n:
            seen.add(number)
            values.append(value)
            cuts.append((row, int(tokens.pos[index])))
    return values, tuple(cuts)
