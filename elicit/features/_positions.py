"""Positions at which features are resampled: their own, random ones, and features of like rate."""

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
"""A row, and the position in it of the first token that is resampled."""
_SEARCHED = 64
"""Largest activations searched for one of each problem, per position wanted."""


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How texts are cut, resampled and read.

    Raises:
        FeatureError: Nothing could be counted, or all continuations would be equal.
    """

    n_positions: int = 16
    """Problems a candidate, at most: those with its largest activations."""
    share: float = 0.5
    """A feature counts as active from this share of its mean activation at its own positions on,
    and positions have at least this share of its largest."""
    least: float = 0.5
    """Rate that a stable feature must clearly exceed, and an unstable one clearly miss."""
    n_matched: int = 8
    """Other features of about the same rate, whose mean is a control."""
    shown: Callable[[str], bool] | None = None
    """Whether a continuation shows the behaviour, if that is counted too."""
    generation: Generation = Generation(n_samples=8, max_new_tokens=8, temperature=1.0)
    """Continuations of each position, and their length."""

    def __post_init__(self) -> None:
        """Refuse options from which nothing would follow."""
        for name in ("n_positions", "n_matched"):
            if getattr(self, name) < 1:
                raise FeatureError(
                    f"{name} is {getattr(self, name)}, so nothing could be counted. Pass 1 or more."
                )
        if not self.generation.temperature > 0:
            raise FeatureError(
                f"temperature is {self.generation.temperature}, at which all continuations of a "
                "position are equal, so they would be counted as many and be one. Pass a "
                "temperature above 0."
            )
        for name in ("share", "least"):
            if not 0 < getattr(self, name) < 1:
                raise FeatureError(
                    f"{name} is {getattr(self, name)}, which is a share to exceed or to miss. Pass "
                    "a number between 0 and 1."
                )


@dataclass(frozen=True, eq=False, kw_only=True)
class Positions:
    """Cuts of each candidate, and what counts as active."""

    peaks: tuple[tuple[Cut, ...], ...]
    """Of each candidate, its largest activation in each of some problems."""
    random: tuple[tuple[Cut, ...], ...]
    """For each of these, another position of the same text; one fewer where there is none."""
    matched: tuple[tuple[int, ...], ...]
    """Of each candidate, other features that are active on about as many tokens."""
    features: tuple[int, ...]
    """Candidates, then all matched features."""
    threshold: Float[Tensor, " every"]
    """Of each of `features`, the activation above which it counts as active."""

    @property
    def cuts(self) -> list[Cut]:
        """All different cuts, in order."""
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
    """Positions at which features are most active, one a problem, with their controls.

    Args:
        side: The model.
        sae: Whose features.
        tokens: Texts; the tokens that count are those that may be resampled.
        candidates: Features that are tested.
        problem: Number of each row's problem.
        resampling: How many positions and matched features, and what counts as active.
        seed: Of the random positions.
        execution: Tokens per forward pass, memory, checkpoint and progress.
    """
    n, quiet = resampling.n_positions, Execution(max_tokens=execution.max_tokens)
    rates = n_active_of(side, sae, tokens, execution=quiet)
    matched = features_of_like_rate(rates, candidates, resampling.n_matched)
    features = tuple(dict.fromkeys([*candidates, *(f for some in matched for f in some)]))
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
    """Tokens at which each feature is active.

    Args:
        side: The model.
        sae: Whose features.
        tokens: Texts.
        execution: Tokens per forward pass, memory, checkpoint and progress.
    """
    total = torch.zeros(sae.d_sae, dtype=torch.long)
    for block in blocks(side, sae, tokens, execution=execution):
        total += (block.acts != 0).sum(0).cpu()
    return total


def features_of_like_rate(
    n_active: Int[Tensor, " feature"], candidates: Sequence[int], n: int
) -> tuple[tuple[int, ...], ...]:
    """For each candidate the live features of the nearest rates that are no candidates themselves.

    Args:
        n_active: Tokens at which each feature is active.
        candidates: Features that are tested.
        n: How many of each; fewer where fewer are live.
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
    """The largest activation in each problem, where it is not small beside the largest of all."""
    # A position at which the feature is hardly active could not fail to lose it.
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
