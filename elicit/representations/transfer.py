"""Is it the same code: probes fitted on one model, tested on the other without a new fit."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.metrics import correct
from elicit.pair import ModelPair
from elicit.representations.errors import RepresentationError
from elicit.representations.geometry import rotation
from elicit.representations.labelled import Labelled
from elicit.representations.paired import PairedTokens
from elicit.representations.prepared import MODELS, Prepared, prepare
from elicit.representations.probes import Kind, Probe, check_options, fit_probe
from elicit.results import Result
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference, joint_estimate, linearised_mean

DIRECTIONS = ("base_to_post", "post_to_base")
WAYS = ("own", "raw", "shifted", "aligned", "random")


@dataclass(frozen=True, eq=False, kw_only=True)
class ProbeTransfer(Result):
    """How well probes of one model read the other, without being fitted on it."""

    kind: str
    """`logistic` or `ridge`."""
    direction: tuple[str, ...]
    """`base_to_post`: fitted on base, tested on post."""
    way: tuple[str, ...]
    """`own`: the tested model's own probe; `raw`: the other's as it is; `shifted`: after taking off
    the difference of the means; `aligned`: after the best rotation and the shift; control `random`:
    weights of the same length in random directions."""
    site: tuple[str, ...]
    """Site of each probe."""
    accuracy: Float[Tensor, "direction way site"]
    """Share of test examples told right."""
    accuracy_low: Float[Tensor, "direction way site"]
    """Lower end, jointly over ways and sites of a direction."""
    accuracy_high: Float[Tensor, "direction way site"]
    """Upper end, jointly over ways and sites of a direction."""
    loss: Float[Tensor, "direction way site"]
    """Accuracy of the own probe minus that of this one: what the transfer costs."""
    loss_low: Float[Tensor, "direction way site"]
    """Lower end, jointly over ways and sites of a direction."""
    loss_high: Float[Tensor, "direction way site"]
    """Upper end, jointly over ways and sites of a direction."""
    above_random: Float[Tensor, "direction way site"]
    """Accuracy minus that of random directions."""
    above_random_low: Float[Tensor, "direction way site"]
    """Lower end, jointly over ways and sites of a direction."""
    above_random_high: Float[Tensor, "direction way site"]
    """Upper end, jointly over ways and sites of a direction."""
    majority: float
    """Accuracy of always naming the label most frequent among the fitted examples."""
    n_aligned: int
    """Tokens that the rotation was fitted on, all of fit problems."""
    n_random: int
    """Draws of random directions, averaged."""
    n_test: int
    """Examples tested on."""
    n_problems: int
    """Problems tested on, the unit of every interval."""
    level: float
    """Nominal coverage of the intervals."""


def transfer(
    pair: ModelPair,
    labelled: Labelled,
    *,
    sites: Sequence[Site | str] | None = None,
    kind: Kind = "logistic",
    l2: float | None = None,
    n_folds: int = 5,
    test_share: float = 0.3,
    n_random: int = 20,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> ProbeTransfer:
    """Accuracy of each model's probes on the other model's activations, both directions.

    What is moved into place is the tested model's activation, with means and a rotation of fit
    problems only: means of their labelled places, the rotation of all their tokens but first ones
    and outliers, without labels.

    Args:
        pair: The two models.
        labelled: Labelled places; each label in four problems or more.
        sites: Sites, or short names of several; the embedding and the end of every layer if None.
        kind: `logistic` or `ridge`.
        l2: Penalty beside the mean loss; None chooses it per site within the fit problems.
        n_folds: Folds of that choice.
        test_share: Share of the problems that is held out.
        n_random: Draws of random directions, at least 1.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        SiteError: A model does not have a site.
        RepresentationError: The labels cannot be fitted and tested, an activation is not finite, or
            an option is out of range.
    """
    check_options(kind, l2, n_folds)
    if n_random < 1:
        raise RepresentationError(
            f"n_random is {n_random}, and a transfer is not told without that of random "
            "directions. Pass 1 or more."
        )
    found = prepare(
        pair, labelled, sites=sites, test_share=test_share, seed=inference.seed, execution=execution
    )
    fit = ~found.held
    rows = tuple(dict.fromkeys(found.fit.rows))
    tokens = PairedTokens(pair, rows, sites=found.sites, execution=execution)
    # x Q is near y where x is base's vector and y post's.
    turns = torch.stack([rotation(moments) for moments in tokens.moments()])
    probes = [
        fit_probe(
            x[:, fit],
            found.fit,
            sites=found.names,
            kind=kind,
            l2=l2,
            n_folds=n_folds,
            seed=inference.seed,
        )
        for x in found.x
    ]
    right = torch.stack(
        [
            _answers(
                found, probes[0], probes[1], 1, turns.mT, n_random=n_random, seed=inference.seed
            ),
            _answers(found, probes[1], probes[0], 0, turns, n_random=n_random, seed=inference.seed),
        ]
    )
    told = [
        [
            joint_estimate(
                linearised_mean(values, found.group), proportion=shares, inference=inference
            )
            for values, shares in (
                (right[way], True),
                (right[way, :1] - right[way], False),
                (right[way] - right[way, -1:], False),
            )
        ]
        for way in range(len(DIRECTIONS))
    ]
    accuracy, lost, above = (
        {
            end: torch.stack([getattr(told[way][kind_of], end) for way in range(len(DIRECTIONS))])
            for end in ("value", "low", "high")
        }
        for kind_of in range(3)
    )
    usual = torch.bincount(labelled.target[fit]).argmax()
    return ProbeTransfer(
        kind=kind,
        direction=DIRECTIONS,
        way=WAYS,
        site=found.names,
        accuracy=accuracy["value"],
        accuracy_low=accuracy["low"],
        accuracy_high=accuracy["high"],
        loss=lost["value"],
        loss_low=lost["low"],
        loss_high=lost["high"],
        above_random=above["value"],
        above_random_low=above["low"],
        above_random_high=above["high"],
        majority=float((found.target == usual).double().mean()),
        n_aligned=tokens.n,
        n_random=n_random,
        n_test=int(found.held.sum()),
        n_problems=len(found.group.unique()),
        level=inference.level,
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "representations.transfer",
                "sites": list(found.names),
                "kind": kind,
                "l2": l2,
                "n_folds": n_folds,
                "test_share": test_share,
                "n_random": n_random,
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
            task_digests={"labelled": labelled.digest},
        ),
    )


def _answers(
    found: Prepared,
    probe: Probe,
    own: Probe,
    model: int,
    turn: Float[Tensor, "site d_model d_model"],
    *,
    n_random: int,
    seed: int,
) -> Float[Tensor, "way site example"]:
    """Which test examples of a model are told right, in every way of reading it.

    Args:
        found: Both models' activations.
        probe: Fitted on the other model.
        own: Fitted on this one.
        model: Which of `MODELS` is tested.
        turn: From this model's basis to the other's.
        n_random: Draws of random directions.
        seed: Of these.
    """
    assert len(MODELS) == 2
    x = found.x[model][:, found.held]
    centred = x - own.mean[:, None]
    seen = {
        "own": own.scores(x),
        "raw": probe.scores(x),
        "shifted": probe.scores(centred + probe.mean[:, None]),
        "aligned": probe.scores(centred @ turn + probe.mean[:, None]),
    }
    answers = [correct(seen[way], found.target) for way in WAYS[:-1]]
    generator = torch.Generator().manual_seed(seed)
    normed = centred / own.scale[:, None, None]
    length = own.weight.norm(dim=1, keepdim=True)
    drawn = torch.zeros_like(answers[0])
    for _ in range(n_random):
        noise = torch.randn(own.weight.shape, generator=generator, dtype=torch.float64)
        weight = noise / noise.norm(dim=1, keepdim=True) * length
        scores = normed @ weight + own.bias[:, None]
        drawn += correct(scores, found.target) / n_random
    return torch.stack([*answers, drawn])
