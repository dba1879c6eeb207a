"""Where features are tested for coming back: their own places, random ones, features like them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.features.reading import Rows, blocks
from elicit.features.rewriting import Cut
from elicit.features.sae import Sae
from elicit.features.tops import Tops, find_tops
from elicit.pair import Bridge, ModelPair
from elicit.runs import Execution

_ROOM = 64
"""Largest activations looked through for one of each problem, a place wanted."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Places:
    """Cuts of each candidate, and what counts as active."""

    own: tuple[tuple[Cut, ...], ...]
    """Of each candidate, its largest activation in each of some problems."""
    random: tuple[tuple[Cut, ...], ...]
    """For each of these, another place of the same text; one fewer where there is none."""
    matched: tuple[tuple[int, ...], ...]
    """Of each candidate, other features that are active on about as many tokens."""
    features: tuple[int, ...]
    """Candidates, then all matched features."""
    threshold: Float[Tensor, " every"]
    """Of each of `features`, the activation from which it counts as active."""


def find_places(
    model: Bridge,
    sae: Sae,
    tokens: Rows,
    wanted: tuple[int, ...],
    of_problem: Int[Tensor, " row"],
    *,
    pair: ModelPair,
    n_places: int,
    n_matched: int,
    share: float,
    seed: int,
    execution: Execution = Execution(),
) -> Places:
    """Places at which features are most active, one a problem, with their controls.

    Args:
        model: What is read.
        sae: Whose features.
        tokens: Texts, of which those tokens count that may be cut off.
        wanted: Candidates.
        of_problem: Number of each row's problem.
        pair: For its padding.
        n_places: Places of each candidate, at most.
        n_matched: Features like each.
        share: Of the mean activation at a feature's places, from which it counts as active.
        seed: Of the random places.
        execution: Tokens per forward pass, memory, checkpoint and progress.
    """
    matched = like(n_active_of(model, sae, tokens, pair, execution.max_tokens), wanted, n_matched)
    features = tuple(dict.fromkeys([*wanted, *(f for some in matched for f in some)]))
    tops = find_tops(
        model,
        sae,
        tokens,
        features,
        pair=pair,
        n=min(_ROOM * n_places, int(tokens.counted.sum())),
        execution=execution,
    )
    chosen = [
        _one_a_problem(tops, tokens, of_problem, i, n_places, share) for i in range(len(features))
    ]
    threshold = torch.tensor(
        # Of a feature that is nowhere active nothing counts.
        [share * float(np.mean(values)) if values else float("inf") for values, _ in chosen]
    )
    allowed = {
        row: tokens.pos[(tokens.row == row) & tokens.counted].tolist()
        for _, own in chosen[: len(wanted)]
        for row, _ in own
    }
    rng = np.random.default_rng([seed, 3])
    random: list[tuple[Cut, ...]] = []
    for _, own in chosen[: len(wanted)]:
        drawn: list[Cut] = []
        for row, pos in own:
            others = [at for at in allowed[row] if at != pos]
            if others:
                drawn.append((row, int(others[int(rng.integers(len(others)))])))
        random.append(tuple(drawn))
    return Places(
        own=tuple(own for _, own in chosen[: len(wanted)]),
        random=tuple(random),
        matched=matched,
        features=features,
        threshold=threshold,
    )


def n_active_of(
    model: Bridge, sae: Sae, tokens: Rows, pair: ModelPair, max_tokens: int
) -> Int[Tensor, " feature"]:
    """Tokens at which each feature is active.

    Args:
        model: What is read.
        sae: Whose features.
        tokens: Texts.
        pair: For its padding.
        max_tokens: Most positions in a chunk, padding counted.
    """
    found = torch.zeros(sae.d_sae, dtype=torch.long)
    for block in blocks(
        model, sae, tokens, pad_id=pair.alignment.pad_id, execution=Execution(max_tokens=max_tokens)
    ):
        found += (block.acts != 0).sum(0).cpu()
    return found


def like(
    n_active: Int[Tensor, " feature"], wanted: Sequence[int], n: int
) -> tuple[tuple[int, ...], ...]:
    """For each candidate the live features, no candidates, of the nearest rates.

    Args:
        n_active: Tokens at which each feature is active.
        wanted: Candidates.
        n: How many of each; fewer where fewer live.
    """
    others = [int(i) for i in n_active.nonzero()[:, 0] if int(i) not in set(wanted)]
    rate = n_active.double().clamp(min=0.5).log()
    return tuple(
        tuple(sorted(others, key=lambda i: (abs(float(rate[i] - rate[f])), i))[:n]) for f in wanted
    )


def _one_a_problem(
    tops: Tops, tokens: Rows, of_problem: Tensor, i: int, n_places: int, share: float
) -> tuple[list[float], tuple[Cut, ...]]:
    """The largest activation in each problem, where that is not small beside the largest of all."""
    # A place at which the feature hardly is active could not fail to lose it.
    least = share * float(tops.value[i, 0])
    values: list[float] = []
    cuts: list[Cut] = []
    seen: set[int] = set()
    for value, place in zip(tops.value[i].tolist(), tops.index[i].tolist(), strict=True):
        row = int(tokens.row[place])
        problem = int(of_problem[row])
        if value > 0 and value >= least and problem not in seen and len(cuts) < n_places:
            seen.add(problem)
            values.append(value)
            cuts.append((row, int(tokens.pos[place])))
    return values, tuple(cuts)
