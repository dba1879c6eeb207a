"""Rungs that only read: what probes of either model say at the end of every prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

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
    def group(self) -> Int[Tensor, " example"]:
        """Problems of the prompts to test on, from 0."""
        return numbered(self.labelled.take((~self.choosing).nonzero()[:, 0].tolist()).problem)

    def by_problem(self, values: Float[Tensor, "*part example"]) -> np.ndarray:
        """Mean over each test problem's prompts.

        Args:
            values: One a test prompt.
        """
        one_hot = torch.nn.functional.one_hot(self.group).double()
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
    labelled.take(choosing.nonzero()[:, 0].tolist()).check(least=2)
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


def best_site(states: States, *, n_folds: int, seed: int) -> tuple[int, tuple[Probe, Probe]]:
    """The site at which the base is read best on problems left out of the fit; both models' probes.

    Only problems of the choosing part are used.

    Args:
        states: States of both models.
        n_folds: Folds.
        seed: Of the folds.
    """
    names = [str(site) for site in states.sites]
    probes = tuple(
        fit_probe(x[:, states.choosing], states.fit, sites=names, n_folds=n_folds, seed=seed)
        for x in states.x
    )
    return int(probes[0].tried_loss.amin(dim=1).argmin()), (probes[0], probes[1])


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
    l2, _ = choose_l2(design, states.fit, kind="logistic", l2=None, n_folds=n_folds, seed=seed)
    shown = _answers(told, labelled.target[None], fit, l2)[:, 0]
    names = {"token": "the token", "position": "the position", "both": "token and position"}
    controls |= {
        names[name]: states.by_problem(row) for name, row in zip(SURFACES, shown, strict=True)
    }
    ends = joint(
        area(scores[None], target, states.group),
        level=options.level,
        n_resamples=options.n_resamples,
        seed=seed,
    )
    auroc = Interval(
        value=ends.value.item(),
        low=ends.low.item(),
        high=ends.high.item(),
        level=options.level,
        n=int(states.group.max()) + 1,
        method="delong, bootstrap",
    )
    return right, controls, auroc


def transferred(
    states: States, site: int, probes: Sequence[Probe], *, n_random: int, seed: int
) -> Mapping[str, np.ndarray]:
    """Accuracy of each model's probe on the other for each test problem, and beside it.

    Args:
        states: States of both models.
        site: Which of the sites.
        probes: Of base and of post.
        n_random: Random directions.
        seed: Of these.

    Returns:
        `own`, `raw` and `shifted` by way and problem, `random` by way, draw and problem; the first
        way is the base's probe on post.
    """
    found: dict[str, list[np.ndarray]] = {"own": [], "raw": [], "shifted": [], "random": []}
    target = states.target
    for tested, other in ((1, 0), (0, 1)):
        x = states.x[tested][:, ~states.choosing]
        own, probe = probes[tested], probes[other]
        moved = x - own.mean[:, None] + probe.mean[:, None]
        for name, scores in (
            ("own", own.scores(x)),
            ("raw", probe.scores(x)),
            ("shifted", probe.scores(moved)),
        ):
            found[name].append(states.by_problem(correct(scores[site], target)))
        generator = torch.Generator().manual_seed(seed)
        normed = (x[site] - own.mean[site]) / own.scale[site]
        shape = (n_random, *own.weight.shape[1:])
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        weight = noise / noise.norm(dim=1, keepdim=True) * own.weight[site].norm(dim=0)
        scores = normed @ weight + own.bias[site]
        found["random"].append(states.by_problem(correct(scores, target.expand(n_random, -1))))
    return {name: np.stack(values) for name, values in found.items()}


def _answers(
    x: Float[Tensor, "site example feature"],
    tasks: Int[Tensor, "task example"],
    fit: Bool[Tensor, " example"],
    l2: Float[Tensor, " site"],
) -> Float[Tensor, "site task example"]:
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
