"""Probe transfer: probes fitted on one model, tested on the other without refitting."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.metrics import correct
from elicit.pair import ModelPair
from elicit.representations.errors import RepresentationError
from elicit.representations.geometry import rotation
from elicit.representations.labels import Labelled
from elicit.representations.paired_activations import PairedTokens
from elicit.representations.probes import Probe, ProbeOptions, fit_probe
from elicit.representations.setup import MODELS, Prepared, prepare
from elicit.results import Estimate, Result
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference, joint_estimate, linearised_mean

DIRECTIONS = ("base_to_post", "post_to_base")
WAYS = ("own", "raw", "shifted", "aligned", "random")


@dataclass(frozen=True, eq=False, kw_only=True)
class ProbeTransfer(Result):
    """Accuracy of one model's probes on the other model, without refitting."""

    kind: str
    """`logistic` or `ridge`."""
    direction: tuple[str, ...]
    """`base_to_post`: fitted on base, tested on post."""
    way: tuple[str, ...]
    """`own`: the tested model's own probe; `raw`: the other's probe unchanged; `shifted`: after
    mean-shifting; `aligned`: after the Procrustes rotation and the shift; control `random`: weights
    of equal norm in random directions."""
    site: tuple[str, ...]
    """Site of each probe."""
    accuracy: Annotated[Estimate, "direction way site"]
    """Test accuracy."""
    loss: Annotated[Estimate, "direction way site"]
    """Accuracy of the model's own probe minus that of this one: the cost of transfer."""
    above_random: Annotated[Estimate, "direction way site"]
    """Accuracy minus that of random directions."""
    majority: float
    """Accuracy of the label most frequent among the fit examples."""
    n_aligned: int
    """Tokens of fit problems that the rotation was fitted on."""
    n_random: int
    """Random directions averaged over."""
    n_test: int
    """Examples tested on."""
    n_problems: int
    """Number of test problems, the unit of every interval."""
    level: float
    """Nominal coverage of the intervals."""


def transfer(
    pair: ModelPair,
    labelled: Labelled,
    *,
    sites: Sequence[Site | str] | None = None,
    options: ProbeOptions = ProbeOptions(),
    n_random: int = 20,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> ProbeTransfer:
    """Accuracy of each model's probes on the other model's activations, in both directions.

    The tested model's activations are mapped with means and a rotation from fit problems: means of
    their labelled positions, the rotation, without labels, of all their tokens except first ones
    and outliers.

    Args:
        pair: The two models.
        labelled: Labelled positions; each label in four problems or more.
        sites: Sites or short names; None: the embedding and the output of every layer.
        options: Probe, penalty, folds and test share.
        n_random: Random directions averaged over, at least 1.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        SiteError: A model does not have a site.
        RepresentationError: The labels cannot be fitted and tested, an activation is not finite, or
            an option is out of range.
    """
    if n_random < 1:
        raise RepresentationError(
            f"n_random is {n_random}, but transfer is only reported beside that of random "
            "directions. Pass 1 or more."
        )
    result = prepare(
        pair,
        labelled,
        sites=sites,
        test_share=options.test_share,
        seed=inference.seed,
        execution=execution,
    )
    fit = ~result.held
    rows = tuple(dict.fromkeys(result.fit.rows))
    tokens = PairedTokens(pair, rows, sites=result.sites, execution=execution)
    # x Q is near y where x is base's vector and y post's.
    turns = torch.stack([rotation(moments) for moments in tokens.moments()])
    probes = [
        fit_probe(
            x[:, fit],
            result.fit,
            sites=result.names,
            kind=options.kind,
            l2=options.l2,
            n_folds=options.n_folds,
            seed=inference.seed,
        )
        for x in result.x
    ]
    right = torch.stack(
        [
            _answers(
                result, probes[0], probes[1], 1, turns.mT, n_random=n_random, seed=inference.seed
            ),
            _answers(
                result, probes[1], probes[0], 0, turns, n_random=n_random, seed=inference.seed
            ),
        ]
    )
    estimates = [
        [
            joint_estimate(
                linearised_mean(values, result.group), proportion=shares, inference=inference
            )
            for values, shares in (
                (right[way], True),
                (right[way, :1] - right[way], False),
                (right[way] - right[way, -1:], False),
            )
        ]
        for way in range(len(DIRECTIONS))
    ]
    accuracy, loss, above = (Estimate.stack(both) for both in zip(*estimates, strict=True))
    usual = torch.bincount(labelled.target[fit]).argmax()
    return ProbeTransfer(
        kind=options.kind,
        direction=DIRECTIONS,
        way=WAYS,
        site=result.names,
        accuracy=accuracy,
        loss=loss,
        above_random=above,
        majority=float((result.target == usual).double().mean()),
        n_aligned=tokens.n,
        n_random=n_random,
        n_test=int(result.held.sum()),
        n_problems=len(result.group.unique()),
        level=inference.level,
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "representations.transfer",
                "sites": list(result.names),
                **asdict(options),
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
    """Which test examples of a model each readout classifies correctly."""
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
