"""What each layer knows: probes of both models, with their controls."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.metrics import correct
from elicit.pair import ModelPair
from elicit.representations.controls import (
    SURFACES,
    control_targets,
    shuffled_targets,
    surface,
)
from elicit.representations.errors import RepresentationError
from elicit.representations.labels import Labelled
from elicit.representations.logistic import Design
from elicit.representations.probe_result import ProbeReport
from elicit.representations.probes import ProbeOptions, choose_l2, fit_tasks
from elicit.representations.setup import MODELS, Prepared, prepare
from elicit.results import Estimate
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference, joint_estimate, linearised_auroc, linearised_mean, max_t


@dataclass(frozen=True, eq=False)
class _Read:
    """Scores of the test examples for every task, and the penalty of each site."""

    scores: Float[Tensor, "site task test label"]
    l2: Float[Tensor, " site"]


def probe(
    pair: ModelPair,
    labelled: Labelled,
    *,
    sites: Sequence[Site | str] | None = None,
    options: ProbeOptions = ProbeOptions(),
    n_controls: int = 5,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> ProbeReport:
    """How well a linear probe of each layer tells the labels of problems it has not seen.

    Both models read the same tokens; each has its own probes, fitted on the same problems and
    tested on the same others.

    Args:
        pair: The two models.
        labelled: Labelled places; each label in four problems or more.
        sites: Sites, or short names of several; the embedding and the end of every layer if None.
        options: How probes are fitted and which share of the problems tests them.
        n_controls: Draws of the control task and of shuffled labels, at least 1.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        SiteError: A model does not have a site.
        RepresentationError: The labels cannot be fitted and tested, an activation is not finite, or
            an option is out of range.
    """
    if n_controls < 1:
        raise RepresentationError(
            f"n_controls is {n_controls}, and no number of a probe is told without its controls. "
            "Pass 1 or more."
        )
    found = prepare(
        pair,
        labelled,
        sites=sites,
        test_share=options.test_share,
        seed=inference.seed,
        execution=execution,
    )
    target = labelled.target
    control = control_targets(labelled, n_draws=n_controls, seed=inference.seed)
    shuffled = shuffled_targets(target, n_draws=n_controls, seed=inference.seed)
    tasks = torch.cat([target[None], shuffled, *([] if control is None else [control])])
    answers, scores, chosen = [], [], []
    for x in found.x:
        told = _scores(found, x, tasks, options, inference.seed)
        answers.append(correct(told.scores, tasks[:, found.held]))
        scores.append(told.scores[:, 0])
        chosen.append(told.l2)
    right = torch.stack(answers)
    group = found.group

    def share(values: Float[Tensor, "*part example"], *, shares: bool = False) -> Estimate:
        return joint_estimate(
            linearised_mean(values, group), proportion=shares, inference=inference
        )

    own = right[:, :, 0]
    strays = right[:, :, 1 : 1 + n_controls].mean(dim=2)
    on_types = right[:, :, 1 + n_controls :]
    drawn = torch.full_like(own, torch.nan) if control is None else on_types.mean(dim=2)
    plain, names = _surface_answers(found, options, inference.seed)
    # The best on the test problems themselves: a choice in the baselines' favour.
    best = int(plain.mean(dim=-1).argmax())
    accuracy, surfaces = share(own, shares=True), share(plain, shares=True)
    auroc = joint_estimate(
        linearised_auroc(torch.stack(scores), found.target, group), inference=inference
    )
    gain, selectivity = share(own - plain[best]), share(own - drawn)
    controls, chance, differ = share(drawn), share(strays), share(own[1] - own[0])
    effects = linearised_mean(own - plain[best], group)
    return ProbeReport(
        kind=options.kind,
        model=MODELS,
        site=found.names,
        label=labelled.labels,
        accuracy=accuracy,
        auroc=auroc,
        control=controls,
        selectivity=selectivity,
        shuffled=chance,
        surface=names,
        surface_accuracy=surfaces,
        baseline=names[best],
        gain=gain,
        p=torch.from_numpy(
            max_t(
                effects.flatten(1).numpy(), n_resamples=inference.n_resamples, seed=inference.seed
            )
        ).reshape(own.shape[:2]),
        difference=differ,
        l2=torch.stack(chosen),
        n_fit=int((~found.held).sum()),
        n_test=int(found.held.sum()),
        n_problems=len(group.unique()),
        n_types=len(set(labelled.type)),
        level=inference.level,
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "representations.probe",
                **asdict(options),
                "seed": inference.seed,
                "sites": list(found.names),
                "n_controls": n_controls,
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
            task_digests={"labelled": labelled.digest},
        ),
    )


def _scores(
    found: Prepared,
    x: Float[Tensor, "site example d_model"],
    tasks: Int[Tensor, "task example"],
    options: ProbeOptions,
    seed: int,
) -> _Read:
    """Scores for every task.

    Controls have the penalty that was chosen for the real labels: the same probe, other labels.
    """
    fit = ~found.held
    design = Design.of(x[:, fit])
    chosen = choose_l2(
        design, found.fit, kind=options.kind, l2=options.l2, n_folds=options.n_folds, seed=seed
    )
    wide = chosen.l2[:, None].expand(-1, len(tasks))
    fitted = fit_tasks(design, tasks[:, fit], wide, options.kind, len(found.labelled.labels))
    held = (x[:, found.held] - design.mean[:, None]) / design.scale[:, None, None]
    return _Read(fitted.scores(held @ design.basis), chosen.l2)


def _surface_answers(
    found: Prepared, options: ProbeOptions, seed: int
) -> tuple[Float[Tensor, "way test"], tuple[str, ...]]:
    """Which test examples are told right without any model, and the name of each way."""
    fit = ~found.held
    target = found.labelled.target
    read = _scores(
        found,
        surface(found.labelled, fit),
        target[None],
        options,
        seed,
    )
    usual = (found.target == torch.bincount(target[fit]).argmax()).double()
    told = correct(read.scores[:, 0], found.target)
    return torch.cat([usual[None], told]), ("majority", *SURFACES)
