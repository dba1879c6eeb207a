"""What a probe of one model reads in the other, without a new fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.metrics import correct
from elicit.pair import ModelPair
from elicit.representations import PairedTokens, Probe, rotation
from elicit.runs import Execution
from elicit.verdicts.states import WITH, States
from elicit.verdicts.tests import Options, best_part, high_draw


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
    turned: Float[np.ndarray, "way problem"] | None = None
    """Accuracy of the other's after the best rotation of all tokens as well; None if none is
    known."""
    turned_separation: Float[np.ndarray, "way problem"] | None = None
    """Separation after that rotation."""


def transferred(
    states: States,
    probes: Sequence[Probe],
    tested: Bool[Tensor, " example"],
    *,
    n_random: int,
    seed: int,
    turns: Mapping[int, Float[Tensor, "d_model d_model"]] | None = None,
) -> dict[int, Transferred]:
    """Accuracy of each model's probe on the other without a new fit, where the two differ.

    `probes`: of base and of post, fitted on other problems than are tested. `turns`: rotation from
    base's basis to post's, by the place of its site; see `turn_between`.
    """
    turns = turns or {}
    target = states.labelled.target[tested]
    positive = states.positive[tested]
    every = {site: [] for site in states.differing.nonzero()[:, 0].tolist()}
    generator = torch.Generator().manual_seed(seed)
    for model, other in ((1, 0), (0, 1)):
        x = states.x[model][:, tested]
        own, probe = probes[model], probes[other]
        centred = x - own.mean[:, None]
        scores = {
            "own": own.scores(x),
            "raw": probe.scores(x),
            "shifted": probe.scores(centred + probe.mean[:, None]),
        }
        told = {name: states.by_problem(correct(s, target), tested) for name, s in scores.items()}
        for site, found in every.items():
            noise = torch.randn(n_random, x.shape[-1], generator=generator, dtype=torch.float64)
            weights = torch.cat([_toward(own, site)[None], _toward(probe, site)[None], noise])
            far = states.by_problem(_separation(weights @ x[site].T, positive), tested)
            whole = far[0].mean()
            columns = {name: values[site] for name, values in told.items()}
            columns |= {"separation": far[1] / whole, "draws": far[2:] / whole}
            if site in turns:
                # It turns base into post; what is tested goes into the other model's basis.
                turn = turns[site] if model == 0 else turns[site].mT
                moved = centred[site] @ turn
                whole_scores = _one(probe, site, moved + probe.mean[site])
                columns["turned"] = states.by_problem(correct(whole_scores, target), tested)
                apart = _separation(_toward(probe, site)[None] @ moved.T, positive)
                columns["turned_separation"] = states.by_problem(apart, tested)[0] / whole
            found.append(columns)
    return {
        site: Transferred(**{name: np.stack([way[name] for way in found]) for name in found[0]})
        for site, found in every.items()
    }


def turn_between(
    pair: ModelPair, states: States, site: int, *, execution: Execution = Execution()
) -> Float[Tensor, "d_model d_model"]:
    """Best rotation from base's states to post's at one site, over the prompts to choose on."""
    rows = tuple(dict.fromkeys(states.fit.rows))
    tokens = PairedTokens(pair, rows, sites=[states.sites[site]], execution=execution)
    return rotation(tokens.moments()[0])


def p_site_of(
    found: Mapping[int, Transferred], n_sites: int, options: Options
) -> Float[np.ndarray, " site"]:
    """P-value of every site's separation in its worse way, adjusted for all sites and both ways.

    `n_sites`: sites in all; NaN where the models do not differ.
    """
    gains = [
        [one.separation[way] - high_draw(one.draws[way], options.inference) for way in range(2)]
        for one in found.values()
    ]
    told = np.full(n_sites, np.nan)
    told[list(found)] = best_part(np.moveaxis(np.array(gains), -1, 0), options).max(axis=1)
    return told


def _one(
    probe: Probe, site: int, x: Float[Tensor, "example d_model"]
) -> Float[Tensor, "example label"]:
    """Scores of the probe of one site."""
    return (x - probe.mean[site]) / probe.scale[site] @ probe.weight[site] + probe.bias[site]


def _toward(probe: Probe, site: int) -> Float[Tensor, " d_model"]:
    """A probe's direction, towards the prompts that elicit the behaviour."""
    positive = probe.label.index(WITH)
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
