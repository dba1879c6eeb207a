"""Linear probes of both models, with controls."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.metrics import correct
from elicit.pair import ModelPair
from elicit.representations.controls import SURFACES, control_targets, shuffled_targets, surface
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
    """Test scores of every task, and the penalty of each site."""

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
    """Held-out accuracy of linear probes at each layer of both models, with controls.

    Both models read the same tokens; each has its own probes, with the same fit and test
    problems.

    Args:
        pair: The two models.
        labelled: Labelled positions; each label in four problems or more.
        sites: Sites or short names; None: the embedding and the output of every layer.
        options: Probe, penalty, folds and test share.
        n_controls: Draws of control and shuffled labels, at least 1.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        SiteError: A model does not have a site.
        RepresentationError: The labels cannot be fitted and tested, an activation is not finite, or
            an option is out of range.
    """
    if n_controls < 1:
        raise RepresentationError(
            f"n_controls is {n_controls}, but probes are only reported beside their controls. "
            "Pass 1 or more."
        )
    result = prepare(
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
    for x in result.x:
        told = _scores(result, x, tasks, options, inference.seed)
        answers.append(correct(told.scores, tasks[:, result.held]))
        scores.append(told.scores[:, 0])
        chosen.append(told.l2)
    right = torch.stack(answers)
    group = result.group

    def share(values: Float[Tensor, "*part example"], *, shares: bool = False) -> Estimate:
        return joint_estimate(
            linearised_mean(values, group), proportion=shares, inference=inference
        )

    own = right[:, :, 0]
    strays = right[:, :, 1 : 1 + n_controls].mean(dim=2)
    on_types = right[:, :, 1 + n_controls :]
    drawn = torch.full_like(own, torch.nan) if control is None else on_types.mean(dim=2)
    plain, names = _surface_answers(result, options, inference.seed)
    # Best on the test problems themselves, which favours the baselines.
    best = int(plain.mean(dim=-1).argmax())
    accuracy, surfaces = share(own, shares=True), share(plain, shares=True)
    auroc = joint_estimate(
        linearised_auroc(torch.stack(scores), result.target, group), inference=inference
    )
    gain, selectivity = share(own - plain[best]), share(own - drawn)
    controls, chance, differ = share(drawn), share(strays), share(own[1] - own[0])
    effects = linearised_mean(own - plain[best], group)
    return ProbeReport(
        kind=options.kind,
        model=MODELS,
        site=result.names,
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
        n_fit=int((~result.held).sum()),
        n_test=int(result.held.sum()),
        n_problems=len(group.unique()),
        n_types=len(set(labelled.type)),
        level=inference.level,
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "representations.probe",
                **asdict(options),
                "seed": inference.seed,
                "sites": list(result.names),
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

    Controls use the penalty chosen for the real labels: the same probe, other labels.
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
    """Which test examples each baseline classifies correctly, and the names of baselines."""
    fit = ~found.held
    target = found.labelled.target
    read = _scores(found, surface(found.labelled, fit), target[None], options, seed)
    usual = (found.target == torch.bincount(target[fit]).argmax()).double()
    told = correct(read.scores[:, 0], found.target)
    return torch.cat([usual[None], told]), ("majority", *SURFACES)
