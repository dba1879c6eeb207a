"""Minimum description length of labels given activations, by the online code."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.representations.controls import control_targets, shuffled_targets
from elicit.representations.labels import Labelled, read_labelled
from elicit.representations.logistic import Design, fit_logistic
from elicit.representations.places import sites_of
from elicit.representations.setup import LEAST, MODELS
from elicit.results import Result
from elicit.runs import Execution
from elicit.sites import Site

FRACTIONS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)
PRIORS = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
"""Weight precisions that the mixture code averages over; inputs have variance 1."""
TASKS = ("real", "control", "shuffled")


@dataclass(frozen=True, eq=False, kw_only=True)
class OnlineCode(Result):
    """Online codelength of labels, each block coded by a probe fitted on the blocks before."""

    model: tuple[str, ...]
    """`base` and `post`."""
    task: tuple[str, ...]
    """`real` labels; controls: `control` labels drawn at random per type, and `shuffled` labels."""
    site: tuple[str, ...]
    """Site that the probes read."""
    codelength: Float[Tensor, "model task site"]
    """Codelength of all labels, nats. NaN: only one type, so no control task."""
    compression: Float[Tensor, "model task site"]
    """Uniform codelength divided by codelength. Unequal label frequencies alone compress too, by
    as much as the shuffled labels."""
    saved: Float[Tensor, "model site"]
    """Codelength of the control task minus that of the real labels, nats; NaN without one."""
    uniform: float
    """Codelength with all labels equally likely, nats."""
    block: Int[Tensor, " block"]
    """Examples sent at the end of each block."""
    block_length: Float[Tensor, "model task site block"]
    """Codelength of each block under the best weight precision, nats."""
    n_examples: int
    """Examples sent."""
    n_problems: int
    """Number of problems; a block holds whole problems."""
    n_types: int
    """Number of types in the control task."""


def online_code(
    pair: ModelPair,
    labelled: Labelled,
    *,
    sites: Sequence[Site | str] | None = None,
    seed: int = 0,
    execution: Execution = Execution(),
) -> OnlineCode:
    """Codelength of labels, nats, with each block coded by a probe fitted on the blocks before.

    Problems are shuffled once and cut into blocks at 0.1 % to 100 % of the examples; the first is
    coded uniformly. Weights have a normal prior, the bias one of precision 1; the weight precision
    costs at most log 7 nats, because the code is a mixture over seven. Activations, shared by
    sender and receiver, are normalised over all examples.

    Args:
        pair: The two models.
        labelled: Labelled positions; each label in four problems or more.
        sites: Sites or short names; None: the embedding and the output of every layer.
        seed: Seed of the order and of the control labels.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        SiteError: A model does not have a site.
        RepresentationError: The labels cannot be classified, or an activation is not finite.

    Source: Voita & Titov 2020, arXiv:2003.12298, online code; with a mixture over penalties in
        place of their development set, and whole problems in each block.
    """
    labelled.check(least=LEAST)
    named = sites_of(pair, sites)
    order, ends = _blocks(labelled, seed)
    sent = labelled.take(order.tolist())
    target, n_labels = sent.target, len(sent.labels)
    control = control_targets(sent, n_draws=1, seed=seed)
    shuffled = shuffled_targets(target, n_draws=1, seed=seed)
    tasks = torch.cat([target[None], target[None] if control is None else control, shuffled])
    result = []
    for name in MODELS:
        x = read_labelled(
            getattr(pair, name),
            sent,
            sites=named,
            pad_id=pair.alignment.pad_id,
            execution=execution,
        )
        result.append(_lengths(Design.of(x), tasks, ends, n_labels))
    # By model, precision, site, task and block.
    lengths = torch.stack(result)
    total = lengths.sum(dim=-1)
    mixed = math.log(len(PRIORS)) - torch.logsumexp(-total, dim=1)
    best = total.argmin(dim=1)[:, None, ..., None].expand(-1, 1, -1, -1, lengths.shape[-1])
    blocks = lengths.gather(1, best)[:, 0]
    codelength, blocks = mixed.transpose(1, 2).contiguous(), blocks.transpose(1, 2).contiguous()
    if control is None:
        codelength[:, 1], blocks[:, 1] = torch.nan, torch.nan
    uniform = len(sent) * math.log(n_labels)
    return OnlineCode(
        model=MODELS,
        task=TASKS,
        site=tuple(map(str, named)),
        codelength=codelength,
        compression=uniform / codelength,
        saved=codelength[:, 1] - codelength[:, 0],
        uniform=uniform,
        block=torch.tensor(ends),
        block_length=blocks,
        n_examples=len(sent),
        n_problems=len(set(sent.problem)),
        n_types=len(set(sent.type)),
        provenance=pair.provenance(
            seed,
            {"question": "representations.online_code", "sites": list(map(str, named))},
            task_digests={"labelled": labelled.digest},
        ),
    )


def _blocks(labelled: Labelled, seed: int) -> tuple[Int[Tensor, " example"], list[int]]:
    """Examples in the order sent, and how many are sent at the end of each block."""
    group = labelled.group
    rank = torch.from_numpy(np.random.default_rng([seed, 3]).permutation(int(group.max()) + 1))
    order = torch.argsort(rank[group], stable=True)
    done = torch.bincount(rank[group]).cumsum(0)
    # First end of a problem at or after each fraction; coinciding fractions are merged.
    requested = [max(share * len(group), 1.0) for share in FRACTIONS]
    ends = sorted({int(done[int((done < share - 1e-9).sum())]) for share in requested})
    return order, ends


def _lengths(
    design: Design, tasks: Int[Tensor, "task example"], ends: Sequence[int], n_labels: int
) -> Float[Tensor, "prior site task block"]:
    """Codelength of every block under each weight precision, nats."""
    n_sites, n_tasks = len(design.features), len(tasks)
    shape = (len(PRIORS), n_sites, n_tasks, len(ends))
    result = torch.full(shape, ends[0] * math.log(n_labels), dtype=torch.float64)
    i = torch.arange(tasks.shape[1])
    for block, (seen, until) in enumerate(zip(ends, ends[1:], strict=False), 1):
        weight = (i < seen).double().expand(n_tasks, -1)
        fit = None
        for index in reversed(range(len(PRIORS))):
            penalty = torch.full((n_sites, n_tasks), PRIORS[index] / seen, dtype=torch.float64)
            fit = fit_logistic(
                design,
                tasks,
                weight,
                penalty,
                n_labels=n_labels,
                bias_l2=torch.full_like(penalty, 1.0 / seen),
                tolerance=1e-4,
                start=fit,
            )
            log_probs = torch.log_softmax(fit.scores(design.features[:, seen:until]), dim=-1)
            requested = tasks[None, :, seen:until, None].expand(n_sites, -1, -1, 1)
            result[index, ..., block] = -log_probs.gather(-1, requested)[..., 0].sum(-1)
    return result
