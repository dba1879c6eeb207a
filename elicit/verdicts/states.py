"""States of both models at the end of every prompt, and probes of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from elicit.pair import ModelPair
from elicit.representations import Labelled, Probe, fit_probe, numbered, read_labelled
from elicit.runs import Execution
from elicit.sites import Site
from elicit.tasks import Behaviour, Task

WITH, WITHOUT = "with", "without"


@dataclass(frozen=True, eq=False, kw_only=True)
class States:
    """States of both models after every prompt that elicits the behaviour, and every other."""

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
        """Prompts that elicit the behaviour."""
        return torch.tensor([label == WITH for label in self.labelled.label])

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
        """Problem of each of some prompts, from 0."""
        return numbered(self.labelled.take(which.nonzero()[:, 0].tolist()).problem)

    def by_problem(
        self, values: Float[Tensor, "*part some"], which: Bool[Tensor, " example"] | None = None
    ) -> np.ndarray:
        """Mean over each problem's prompts.

        `which`: the prompts; those to test on if None.
        """
        group = self.group(~self.choosing if which is None else which)
        one_hot = nn.functional.one_hot(group).double()
        return (values.double() @ one_hot / one_hot.sum(dim=0)).numpy()


def label_prompts(
    pair: ModelPair, behaviour: Behaviour, parts: Sequence[Task], *, templated: bool
) -> tuple[Labelled, Bool[Tensor, " example"]]:
    """Prompts of both kinds, and which are of the first part.

    `parts`: problems to choose on, and to test on.

    Raises:
        VerdictError: There are no prompts of a kind.
        RepresentationError: A kind is in too few problems.
        PairError: A prompt cannot be read.
    """
    rows, labels, problems, first = [], [], [], []
    for place, part in enumerate(parts):
        for label, which in ((WITH, behaviour.positive), (WITHOUT, behaviour.negative)):
            for problem in behaviour.prompts(part, which, label):
                rows.append(tuple(pair.alignment.prompt(problem.turns, templated=templated)))
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
    execution: Execution = Execution(),
) -> States:
    """States of both models after every prompt.

    Raises:
        RepresentationError: An activation is not finite, or sites have several widths.
    """
    x = [
        read_labelled(
            model, labelled, sites=sites, pad_id=pair.alignment.pad_id, execution=execution
        )
        for model in (pair.base, pair.post)
    ]
    return States(labelled=labelled, choosing=choosing, sites=tuple(sites), x=torch.stack(x))


def fit_probes(
    states: States, used: Bool[Tensor, " example"], *, n_folds: int, seed: int
) -> tuple[Probe, Probe]:
    """Probes of base and of post at every site."""
    names = [str(site) for site in states.sites]
    labelled = states.labelled.take(used.nonzero()[:, 0].tolist())
    base, post = (
        fit_probe(x[:, used], labelled, sites=names, n_folds=n_folds, seed=seed) for x in states.x
    )
    return base, post


def best_decoded(probe: Probe, among: Bool[Tensor, " site"] | None = None) -> int:
    """Place of the site that is read best on problems left out of the fit.

    `among`: which sites may be named; all if None.
    """
    loss = probe.tried_loss.amin(dim=1)
    return int((loss if among is None else loss.masked_fill(~among, torch.inf)).argmin())


def _types(rows: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """Type of each prompt for the control task: the token nearest its end that differs at all.

    All prompts are read at the same last token as a rule, by which no types could be told apart.
    """
    for back in range(1, min(map(len, rows)) + 1):
        found = tuple(str(row[-back]) for row in rows)
        if len(set(found)) > 1:
            return found
    return tuple(str(row[-1]) for row in rows)
