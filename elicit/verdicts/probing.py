"""What can be probed in the base at every site, and what without anything it has learned."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from elicit.metrics import correct
from elicit.pair import ModelPair
from elicit.representations import (
    SURFACES,
    Design,
    Probe,
    choose_l2,
    control_targets,
    fit_probe,
    fit_tasks,
    read_labelled,
    shuffled_targets,
    surface,
)
from elicit.results import Estimate
from elicit.runs import Execution
from elicit.stats import Interval, joint_estimate, linearised_auroc
from elicit.verdicts.rungs import ANEW
from elicit.verdicts.states import States, best_decoded
from elicit.verdicts.tests import Options, best_part, strongest
from elicit.weights import replaced

_SURFACES = {"token": "the token", "position": "the position", "both": "token and position"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Anew:
    """Probes of the base with re-initialised weights, mean over draws."""

    right: Float[np.ndarray, " problem"]
    """Share of each problem's test prompts classified correctly, at the best site in each draw."""
    area: Float[Tensor, "problem site"]
    """What each problem says of the area under the ROC curve at every site."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Decoded:
    """Accuracy for each test problem, that of each control, and AUROCs, at every site."""

    right: Float[np.ndarray, "site problem"]
    """Of the base's probes."""
    controls: Mapping[str, Float[np.ndarray, "site problem"]]
    """Of each control."""
    curve: tuple[str, ...]
    """Whose AUROC each row is; the base's first, then that of its controls."""
    area: Float[Tensor, "problem curve site"]
    """What each problem says of the area under the ROC curve."""

    def at(self, site: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The base's column at one site, and that of each control."""
        return self.right[site], {name: values[site] for name, values in self.controls.items()}

    def told(self, site: int, options: Options) -> Interval:
        """The base's AUROC at one site, its interval of that alone."""
        ends = _ends(self.area[:, 0, site], options)
        return Interval(
            value=ends.value.item(),
            low=ends.low.item(),
            high=ends.high.item(),
            level=options.inference.level,
            n=len(self.area),
            method="delong, bootstrap",
        )

    def auroc(self, options: Options) -> Estimate:
        """Every AUROC, with simultaneous intervals over curves and sites."""
        return _ends(self.area, options)

    def p_site(self, options: Options) -> Float[np.ndarray, " site"]:
        """P-value of every site's being above its strongest control, adjusted for all sites."""
        controls = np.stack([strongest(self.at(site)[1])[1] for site in range(len(self.right))])
        return best_part((self.right - controls).T, options)


def decoded(
    states: States,
    probes: Sequence[Probe],
    anew: Anew | None,
    *,
    n_controls: int,
    n_folds: int,
    options: Options,
) -> Decoded:
    """Accuracy and AUROC of the base's probes on the test problems, and of their controls.

    `anew`: of the base with re-initialised weights; None leaves it out. `n_controls`: draws of the
    control task and of shuffled labels, averaged. `n_folds`: folds by which the surface's probes
    are chosen.
    """
    seed = options.inference.seed
    labelled, target, fit = states.labelled, states.target, states.choosing
    n_sites, group = len(states.sites), states.group(~fit)
    scores = [
        one.scores(x[:, ~fit]) for one, x in zip(probes, states.x, strict=True)
    ]  # of base and of post
    areas = {
        name: linearised_auroc(score, target, group)
        for name, score in zip(("base", "post"), scores, strict=True)
    }
    if anew is not None:
        areas[ANEW] = anew.area
    right = states.by_problem(correct(scores[0], target))
    usual = torch.bincount(labelled.target[fit]).argmax()
    same = states.by_problem((target == usual).double())
    controls = {"the majority": np.tile(same, (n_sites, 1))}
    drawn = {
        "shuffled labels": shuffled_targets(labelled.target, n_draws=n_controls, seed=seed),
        "labels by type": control_targets(labelled, n_draws=n_controls, seed=seed),
    }
    for name, tasks in drawn.items():
        if tasks is None:
            continue
        # The same probe on other labels: its penalty is the one chosen for the real ones.
        given = _answers(states.x[0], tasks, fit, probes[0].l2)
        held = tasks[:, ~fit]
        controls[name] = states.by_problem(correct(given, held).mean(dim=1))
        # A draw that gives all test prompts one label has no area.
        mixed = [i for i, labels in enumerate(held) if len(labels.unique()) > 1]
        if mixed:
            parts = [linearised_auroc(given[:, i], held[i], group) for i in mixed]
            areas[name] = torch.stack(parts).mean(dim=0)
    controls |= _surface(states, n_folds=n_folds, seed=seed)
    return Decoded(
        right=right,
        controls=controls,
        curve=tuple(areas),
        area=torch.stack(list(areas.values()), dim=1),
    )


def read_anew(
    pair: ModelPair,
    states: States,
    *,
    n_draws: int,
    n_folds: int,
    seed: int,
    execution: Execution = Execution(),
) -> Anew | None:
    """Probes of the base's architecture with re-initialised weights.

    Its weights are put back afterwards. There must be room for them once more.

    `n_draws`: draws of all weights; 0 gives None.
    """
    labelled, used = states.labelled, states.choosing
    target, group = states.target, states.group(~used)
    names = [str(site) for site in states.sites]
    fitted = labelled.take(used.nonzero()[:, 0].tolist())
    rights, areas = [], []
    for draw in range(n_draws):
        with drawn_anew(pair.base, seed=seed + draw):
            x = read_labelled(
                pair.base,
                labelled,
                sites=states.sites,
                pad_id=pair.alignment.pad_id,
                execution=execution,
            )
        probe = fit_probe(x[:, used], fitted, sites=names, n_folds=n_folds, seed=seed)
        scores = probe.scores(x[:, ~used])
        rights.append(states.by_problem(correct(scores[best_decoded(probe)], target)))
        areas.append(linearised_auroc(scores, target, group))
    if not rights:
        return None
    return Anew(right=np.stack(rights).mean(axis=0), area=torch.stack(areas).mean(dim=0))


@contextmanager
def drawn_anew(model: nn.Module, *, seed: int) -> Iterator[None]:
    """A model whose parameters are noise of their own mean and spread, for one block.

    What is left is the architecture: tokens still mix, but by nothing that was learned.
    """
    generator = torch.Generator().manual_seed(seed)
    changes = {}
    for parameter in model.parameters():
        old = parameter.data.float()
        noise = torch.randn(old.shape, generator=generator).to(old.device)
        spread = old.std(correction=0) if old.numel() else 0.0
        changes[parameter] = (old.mean() + spread * noise).to(parameter.dtype)
    with replaced(changes):
        yield


def _ends(area: Float[Tensor, "problem ..."], options: Options) -> Estimate:
    """Areas with joint intervals; a perfect one has no spread, and is not sure for that."""
    return joint_estimate(area, inference=options.inference, proportion=True)


def _answers(
    x: Float[Tensor, "site example feature"],
    tasks: Int[Tensor, "task example"],
    fit: Bool[Tensor, " example"],
    l2: Float[Tensor, " site"],
) -> Float[Tensor, "site task tested label"]:
    """Scores of the test examples by probes fitted on the others, for several sets of labels."""
    design = Design.of(x[:, fit])
    wide = l2[:, None].expand(-1, len(tasks))
    fitted = fit_tasks(design, tasks[:, fit], wide, "logistic", 2)
    held = (x[:, ~fit] - design.mean[:, None]) / design.scale[:, None, None]
    return fitted.scores(held @ design.basis)


def _surface(
    states: States, *, n_folds: int, seed: int
) -> dict[str, Float[np.ndarray, "site problem"]]:
    """What probes of the read token and its place tell, at every site the same."""
    labelled, fit = states.labelled, states.choosing
    told = surface(labelled, fit)
    design = Design.of(told[:, fit])
    chosen = choose_l2(design, states.fit, kind="logistic", l2=None, n_folds=n_folds, seed=seed)
    given = _answers(told, labelled.target[None], fit, chosen.l2)[:, 0]
    rows = states.by_problem(correct(given, states.target))
    return {
        _SURFACES[name]: np.tile(row, (len(states.sites), 1))
        for name, row in zip(SURFACES, rows, strict=True)
    }
