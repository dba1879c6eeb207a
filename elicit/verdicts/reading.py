"""Rungs that only read: what probes of either model say at the end of every prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from elicit.pair import ModelPair
from elicit.representations import Labelled, Probe, fit_probe
from elicit.representations.controls import SURFACES, control_targets, shuffled_targets, surface
from elicit.representations.evidence import area, correct, joint
from elicit.representations.labelled import numbered, read_labelled
from elicit.representations.logistic import Design
from elicit.representations.probes import choose_l2, fit_tasks
from elicit.results import Progress
from elicit.sites import Site
from elicit.stats import Interval
from elicit.tasks import Task
from elicit.verdicts.behaviours import Behaviour
from elicit.verdicts.deciding import Options

POSITIVE, NEGATIVE = "with", "without"


@dataclass(frozen=True, eq=False, kw_only=True)
class States:
    """States of both models after every prompt that calls for the behaviour, and every other."""

    labelled: Labelled
    """The prompts, read at their last tokens."""
    choosing: Bool[Tensor, " example"]
    """Which are of the problems that everything is fitted and chosen on."""
    sites: tuple[Site, ...]
    """Where was read."""
    x: Float[Tensor, "model site example d_model"]
    """Base, then post."""

    @property
    def positive(self) -> Bool[Tensor, " example"]:
        """Prompts that call for the behaviour."""
        return torch.tensor([label == POSITIVE for label in self.labelled.label])

    @property
    def fit(self) -> Labelled:
        """Prompts to fit on."""
        return self.labelled.take(self.choosing.nonzero()[:, 0].tolist())

    @property
    def target(self) -> Int[Tensor, " example"]:
        """Labels of the prompts to test on."""
        return self.labelled.target[~self.choosing]

    @property
    def differing(self) -> Bool[Tensor, " site"]:
        """Sites at which the two models are not in the very same states."""
        return (self.x[0] != self.x[1]).flatten(1).any(dim=1)

    def group(self, which: Bool[Tensor, " example"]) -> Int[Tensor, " some"]:
        """Problem of each of some prompts, from 0.

        Args:
            which: The prompts.
        """
        return numbered(self.labelled.take(which.nonzero()[:, 0].tolist()).problem)

    def by_problem(
        self, values: Float[Tensor, "*part some"], which: Bool[Tensor, " example"] | None = None
    ) -> np.ndarray:
        """Mean over each problem's prompts.

        Args:
            values: One a prompt.
            which: The prompts; those to test on if None.
        """
        group = self.group(~self.choosing if which is None else which)
        one_hot = nn.functional.one_hot(group).double()
        return (values.double() @ one_hot / one_hot.sum(dim=0)).numpy()


def label_prompts(
    pair: ModelPair, behaviour: Behaviour, parts: Sequence[Task], *, templated: bool
) -> tuple[Labelled, Bool[Tensor, " example"]]:
    """Prompts of both kinds, and which are of the first part.

    Args:
        pair: The two models.
        behaviour: Gives the prompts.
        parts: Problems to choose on, and to test on.
        templated: Whether prompts go through the chat template.

    Raises:
        VerdictError: There are no prompts of a kind.
        RepresentationError: A kind is in too few problems.
        PairError: A prompt cannot be read.
    """
    encode = pair.alignment.templated if templated else pair.alignment.plain
    rows, labels, problems, first = [], [], [], []
    for place, part in enumerate(parts):
        for label, which in ((POSITIVE, behaviour.positive), (NEGATIVE, behaviour.negative)):
            for problem in behaviour.prompts(part, which, label):
                rows.append(tuple(encode(problem.prompt)))
                labels.append(label)
                problems.append(problem.id)
                first.append(place == 0)
    labelled = Labelled(
        rows=tuple(rows),
        position=(-1,) * len(rows),
        label=tuple(labels),
        problem=tuple(problems),
        type=_types(rows),
    )
    choosing = torch.tensor(first)
    labelled.take(choosing.nonzero()[:, 0].tolist()).check(least=4)
    return labelled, choosing


def read_states(
    pair: ModelPair,
    labelled: Labelled,
    choosing: Bool[Tensor, " example"],
    *,
    sites: Sequence[Site],
    max_tokens: int,
    progress: Progress | None,
) -> States:
    """States of both models after every prompt.

    Args:
        pair: The two models.
        labelled: The prompts.
        choosing: Which are fitted and chosen on.
        sites: Where to read.
        max_tokens: Most positions in a chunk, padding counted.
        progress: Told the rows done.

    Raises:
        RepresentationError: An activation is not finite, or sites have several widths.
    """
    read = {"sites": sites, "pad_id": pair.alignment.pad_id, "max_tokens": max_tokens}
    x = [
        read_labelled(model, labelled, progress=progress, **read)  # pyright: ignore
        for model in (pair.base, pair.post)
    ]
    return States(labelled=labelled, choosing=choosing, sites=tuple(sites), x=torch.stack(x))


def fit_probes(
    states: States, used: Bool[Tensor, " example"], *, n_folds: int, seed: int
) -> tuple[Probe, Probe]:
    """Probes of base and of post at every site.

    Args:
        states: States of both models.
        used: Which prompts they are fitted on.
        n_folds: Folds by which penalties are chosen.
        seed: Of the folds.
    """
    names = [str(site) for site in states.sites]
    labelled = states.labelled.take(used.nonzero()[:, 0].tolist())
    base, post = (
        fit_probe(x[:, used], labelled, sites=names, n_folds=n_folds, seed=seed) for x in states.x
    )
    return base, post


def best_decoded(probe: Probe, among: Bool[Tensor, " site"] | None = None) -> int:
    """Place of the site that is read best on problems left out of the fit.

    Args:
        probe: Probes of all sites.
        among: Which sites may be named; all if None.
    """
    loss = probe.tried_loss.amin(dim=1)
    return int((loss if among is None else loss.masked_fill(~among, torch.inf)).argmin())


def decoded(
    states: States, site: int, probe: Probe, *, n_controls: int, n_folds: int, options: Options
) -> tuple[np.ndarray, dict[str, np.ndarray], Interval]:
    """Accuracy of the base's probe for each test problem, that of each control, and the AUROC.

    Args:
        states: States of both models.
        site: Which of the sites.
        probe: The base's probes.
        n_controls: Draws of the control task and of shuffled labels, averaged.
        n_folds: Folds by which the surface's probes are chosen.
        options: Level, resamples and seed.
    """
    seed = options.seed
    labelled, target, fit = states.labelled, states.target, states.choosing
    group = states.group(~fit)
    scores = probe.scores(states.x[0][:, ~fit])[site]
    right = states.by_problem(correct(scores, target))
    shuffled = shuffled_targets(labelled.target, n_draws=n_controls, seed=seed)
    by_type = control_targets(labelled, n_draws=n_controls, seed=seed)
    tasks = shuffled if by_type is None else torch.cat([shuffled, by_type])
    # The same probe on other labels: its penalty is the one chosen for the real ones.
    drawn = _answers(states.x[0][site : site + 1], tasks, fit, probe.l2[site : site + 1])[0]
    usual = torch.bincount(labelled.target[fit]).argmax()
    controls = {
        "the majority": states.by_problem((target == usual).double()),
        "shuffled labels": states.by_problem(drawn[:n_controls].mean(dim=0)),
    }
    if by_type is not None:
        controls["labels by type"] = states.by_problem(drawn[n_controls:].mean(dim=0))
    told = surface(labelled, fit)
    design = Design.of(told[:, fit])
    chosen = choose_l2(design, states.fit, kind="logistic", l2=None, n_folds=n_folds, seed=seed)
    shown = _answers(told, labelled.target[None], fit, chosen.l2)[:, 0]
    names = {"token": "the token", "position": "the position", "both": "token and position"}
    controls |= {
        names[name]: states.by_problem(row) for name, row in zip(SURFACES, shown, strict=True)
    }
    ends = joint(
        area(scores[None], target, group),
        level=options.level,
        n_resamples=options.n_resamples,
        seed=seed,
    )
    auroc = Interval(
        value=ends.value.item(),
        low=ends.low.item(),
        high=ends.high.item(),
        level=options.level,
        n=int(group.max()) + 1,
        method="delong, bootstrap",
    )
    return right, controls, auroc


def _answers(
    x: Float[Tensor, "site example feature"],
    tasks: Int[Tensor, "task example"],
    fit: Bool[Tensor, " example"],
    l2: Float[Tensor, " site"],
) -> Float[Tensor, "site task tested"]:
    """Which test examples probes fitted on the others tell right, for several sets of labels."""
    design = Design.of(x[:, fit])
    wide = l2[:, None].expand(-1, len(tasks))
    fitted = fit_tasks(design, tasks[:, fit], wide, "logistic", 2)
    held = (x[:, ~fit] - design.mean[:, None]) / design.scale[:, None, None]
    scores = fitted.scores(held @ design.basis)
    return correct(scores, tasks[:, ~fit].expand(len(x), -1, -1))


def _types(rows: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """Type of each prompt for the control task: the token nearest its end that differs at all.

    All prompts are read at the same last token as a rule, by which no types could be told apart.
    """
    for back in range(1, min(map(len, rows)) + 1):
        found = tuple(str(row[-back]) for row in rows)
        if len(set(found)) > 1:
            return found
    return tuple(str(row[-1]) for row in rows)
