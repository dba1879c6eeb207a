"""From texts of a dose curve to rates, effects and shares of a gap, with their intervals."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation.coherence import text_log_probs
from elicit.pair import Side
from elicit.rollouts import Rollouts
from elicit.stats import Inference, bootstrap_mean, gap_shares, simultaneous_intervals, wilson

Behaviour = Callable[[str], bool]
"""Whether a text shows a behaviour, such as writing a trace."""


def by_strength(values: Tensor, n_strengths: int) -> Float[Tensor, "strength problem sample"]:
    """Values of rows as a table; rows go by strength, then problem, then sample.

    Args:
        values: One a row.
        n_strengths: Strengths of the curve.
    """
    return values.double().view(n_strengths, -1, 1)


def scores_of(
    found: Rollouts, behaviours: Mapping[str, Behaviour], n_strengths: int
) -> Float[Tensor, "problem metric strength"]:
    """Share of each problem's texts that are right, or show each behaviour.

    Args:
        found: Texts of one curve.
        behaviours: What else is looked for.
        n_strengths: Strengths of the curve.
    """
    shown = [
        torch.tensor([bool(sees(text)) for text in found.text]) for sees in behaviours.values()
    ]
    n_problems = len(found.problem)
    return torch.stack(
        [
            values.double().view(n_strengths, n_problems, -1).mean(-1).T
            for values in (found.correct, *shown)
        ],
        dim=1,
    )


def coherence(side: Side, found: Rollouts, n_strengths: int) -> Float[Tensor, "problem strength"]:
    """Mean log-probability of a token of each problem's texts under a model as it is, nats.

    Args:
        side: The model, without the edits of the curve.
        found: Texts of one curve.
        n_strengths: Strengths of the curve.
    """
    texts = [(tuple(found.prompt_ids(row)), tuple(found.ids(row))) for row in range(len(found))]
    each = text_log_probs(side.bridge, texts, pad_id=side.alignment.pad_id)
    return each.view(n_strengths, len(found.problem), -1).mean(-1).T


def rates_of(
    scores: Float[Tensor, "problem metric arm strength"], n_samples: int, inference: Inference
) -> dict[str, Float[Tensor, "metric arm strength"]]:
    """Mean over problems with the ends of each cell alone.

    Args:
        scores: Rate of each problem.
        n_samples: Texts a problem; of one alone the rate is a proportion.
        inference: Coverage and resamples of the intervals, and the seed.
    """
    found = []
    for values in scores.flatten(1).T.numpy():
        if n_samples == 1:
            one = wilson(int(values.sum()), len(values), level=inference.level)
        else:
            one = bootstrap_mean(
                values,
                level=inference.level,
                n_resamples=inference.n_resamples,
                seed=inference.seed,
            )
        found.append([one.value, one.low, one.high])
    ends = torch.tensor(found, dtype=torch.float64).T.unflatten(1, scores.shape[1:])
    return dict(zip(("rate", "rate_low", "rate_high"), ends, strict=True))


def effects_of(
    effects: Float[Tensor, "problem metric arm strength"], inference: Inference
) -> dict[str, Float[Tensor, "metric arm strength"]]:
    """Mean effects with ends that hold for all cells of a metric at once.

    Args:
        effects: Steered minus unsteered rate of each problem.
        inference: Coverage and resamples of the intervals, and the seed.
    """
    joint = [
        simultaneous_intervals(
            effects[:, row].flatten(1).numpy(),
            level=inference.level,
            n_resamples=inference.n_resamples,
            seed=inference.seed,
        )
        for row in range(effects.shape[1])
    ]
    return {
        f"effect{end}": torch.from_numpy(
            np.stack([getattr(one, end.removeprefix("_") or "value") for one in joint])
        ).view(effects.shape[1:])
        for end in ("", "_low", "_high")
    }


def shares_of(
    scores: Float[Tensor, "problem metric arm strength"],
    base: Float[Tensor, "problem metric"],
    post: Float[Tensor, "problem metric"],
    inference: Inference,
) -> dict[str, Tensor]:
    """Shares of the gap with the ends of each cell alone, where there is a clear gap.

    Args:
        scores: Rate of each problem.
        base: Unsteered rate of each problem.
        post: The target's; NaN where there is none.
        inference: Coverage and resamples of the intervals, and the seed.
    """
    gains = (scores - base[:, :, None, None]).numpy()
    ends = np.full((3, *scores.shape[1:]), np.nan)
    for row in range(scores.shape[1]):
        gap = (post[:, row] - base[:, row]).numpy()
        if not np.isnan(gap).any():
            flat = gains[:, row].reshape(len(gap), -1)
            ends[:, row] = gap_shares(flat, gap, level=inference.level).reshape(
                3, *scores.shape[2:]
            )
    value, low, high = torch.from_numpy(ends)
    return {"share": value, "share_low": low, "share_high": high}


def gaps_of(
    base: Float[Tensor, "problem metric"],
    post: Float[Tensor, "problem metric"],
    inference: Inference,
) -> dict[str, Tensor]:
    """The gap of each metric with the ends that decide whether there are shares of it.

    Args:
        base: Unsteered rate of each problem.
        post: The target's; NaN where there is none.
        inference: Coverage and resamples of the intervals, and the seed.
    """
    from scipy.special import stdtrit

    gap = post - base
    value, n = gap.mean(0), len(gap)
    half = float(stdtrit(n - 1, (1 + inference.level) / 2)) * gap.std(0) / n**0.5
    # Where every problem has the same gap there is no spread, and rounding must not make one.
    half[(gap == gap[0]).all(0)] = 0.0
    return {
        "gap": value,
        "gap_low": value - half,
        "gap_high": value + half,
        "gap_clear": value.abs() > half,
    }
