"""What a probe of one model reads in the other, without a new fit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.representations import Probe
from elicit.representations.evidence import correct
from elicit.verdicts.reading import POSITIVE, States


@dataclass(frozen=True, eq=False, kw_only=True)
class Transferred:
    """Accuracy for each problem; the first way is the base's probe on post, the other back."""

    own: Float[np.ndarray, "way problem"]
    """Of the tested model's own probe."""
    raw: Float[np.ndarray, "way problem"]
    """Of the other's as it is."""
    shifted: Float[np.ndarray, "way problem"]
    """Of the other's after the difference of the means is taken off, which needs no labels."""
    separation: Float[np.ndarray, "way problem"]
    """How far the other's direction sets the two kinds of prompts apart, in units of how far the
    tested model's own does; negative where a prompt lies on the wrong side."""
    draws: Float[np.ndarray, "way draw problem"]
    """The same of random directions."""


def transferred(
    states: States,
    site: int,
    probes: Sequence[Probe],
    tested: Bool[Tensor, " example"],
    *,
    n_random: int,
    seed: int,
) -> Transferred:
    """Accuracy of each model's probe on the other, without a new fit.

    Args:
        states: States of both models.
        site: Which of the sites.
        probes: Of base and of post, fitted on other problems than are tested.
        tested: Which prompts.
        n_random: Random directions.
        seed: Of these.
    """
    found: dict[str, list[np.ndarray]] = {
        name: [] for name in ("own", "raw", "shifted", "separation", "draws")
    }
    target = states.labelled.target[tested]
    positive = states.positive[tested]
    generator = torch.Generator().manual_seed(seed)
    for model, other in ((1, 0), (0, 1)):
        x = states.x[model][:, tested]
        own, probe = probes[model], probes[other]
        moved = x - own.mean[:, None] + probe.mean[:, None]
        for name, scores in (
            ("own", own.scores(x)),
            ("raw", probe.scores(x)),
            ("shifted", probe.scores(moved)),
        ):
            found[name].append(states.by_problem(correct(scores[site], target), tested))
        noise = torch.randn(n_random, x.shape[-1], generator=generator, dtype=torch.float64)
        weights = torch.cat([_toward(own, site)[None], _toward(probe, site)[None], noise])
        far = states.by_problem(_separation(weights @ x[site].T, positive), tested)
        whole = far[0].mean()
        found["separation"].append(far[1] / whole)
        found["draws"].append(far[2:] / whole)
    return Transferred(**{name: np.stack(values) for name, values in found.items()})


def _toward(probe: Probe, site: int) -> Float[Tensor, " d_model"]:
    """A probe's direction, towards the prompts that call for the behaviour."""
    positive = probe.label.index(POSITIVE)
    return probe.weight[site, :, positive] - probe.weight[site, :, 1 - positive]


def _separation(
    scores: Float[Tensor, "*part example"], positive: Bool[Tensor, " example"]
) -> Float[Tensor, "*part example"]:
    """How far each prompt lies on its own side of the middle, in standard deviations of its kind.

    Its mean over prompts is half the distance of the two kinds, where there are as many of each.
    """
    ends = [scores[..., which] for which in (positive, ~positive)]
    means = [end.mean(dim=-1, keepdim=True) for end in ends]
    spread = torch.stack(
        [(end - mean).square().mean(dim=-1) for end, mean in zip(ends, means, strict=True)]
    )
    width = spread.mean(dim=0).sqrt().clamp(min=1e-12)[..., None]
    return (scores - (means[0] + means[1]) / 2) * torch.where(positive, 1.0, -1.0) / width
