"""Rungs that steer: the base's direction in either model, at a site and strength chosen before."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.directions import Direction, matched_controls
from elicit.edits import last
from elicit.elicitation import (
    Outcomes,
    Sweep,
    Unsteered,
    best_cell,
    direction_arms,
    own_strengths,
    steer_many,
    sweep_arms,
    to_raise,
)
from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference
from elicit.verdicts.design import LadderDesign
from elicit.verdicts.tests import Options, best_part

CORRECT, SHOWN = 0, 1
"""Rows of what is measured: right answers, the behaviour."""


def correct(outcomes: Outcomes) -> Float[np.ndarray, "cell problem"]:
    """1 where the answer is right."""
    return outcomes.score[:, CORRECT].T.numpy()


def coherent(outcomes: Outcomes) -> Float[np.ndarray, "cell problem"]:
    """1 where the text is coherent."""
    return outcomes.coherent.T.numpy()


def as_steered(outcomes: Outcomes, *, raised: bool = True) -> Float[np.ndarray, "cell problem"]:
    """1 where a text is coherent and shows the behaviour, or does not where that is the aim."""
    shown = outcomes.score[:, SHOWN].T.numpy()
    return (shown if raised else 1 - shown) * coherent(outcomes)


@dataclass(frozen=True, eq=False, kw_only=True)
class Turned:
    """A model under the base's direction and its controls, on held-out problems."""

    raised: bool
    """Whether the direction is to bring the behaviour about, or to take it away."""
    site: Site
    """Where it is added."""
    strength: float
    """How strongly; below 0 where it is subtracted."""
    swept: Sweep
    """What it was chosen by."""
    plain: Outcomes
    """The model without steering."""
    direction: Outcomes
    """Under the direction."""
    shuffled: Outcomes
    """Under the direction with its entries shuffled, at the same strength."""
    draws: Outcomes
    """Under random directions of the same length, at the same strength."""
    freed: Outcomes | None
    """Under all of these, the shuffled one last, each at the strength at which it brings about most
    of the behaviour; None where they have none of their own."""
    freed_right: Outcomes | None
    """The same, each at the strength at which most answers are right."""

    @property
    def place(self) -> str:
        """Site and strength in words."""
        return f"{self.site}, {self.strength:+g}"

    def tried(self) -> Float[np.ndarray, "site strength problem"]:
        """1 where a text of the sweep is coherent and as the direction is to make it."""
        return np.moveaxis(_wanted(self.swept, raised=self.raised).numpy(), 0, -1)

    def p_site(self, row: int, options: Options) -> Float[np.ndarray, " site"]:
        """P-value of each site's best strength above no steering, adjusted for all cells."""
        own = self.swept.unsteered.own
        if row == SHOWN:
            gain = self.tried() - as_steered(own, raised=self.raised)[0]
        else:
            right = np.moveaxis(self.swept.score[:, CORRECT].numpy(), 0, -1)
            gain = right - correct(own)[0]
        return best_part(np.moveaxis(gain, -1, 0), options).min(axis=1)


def turn(
    choose: Unsteered,
    test: Unsteered,
    directions: Sequence[Direction],
    *,
    design: LadderDesign,
    inference: Inference,
    generation: Generation,
    execution: Execution = Execution(),
) -> Turned:
    """Choose site and strength on one part of the problems, and steer on the other.

    In the base the behaviour is brought about; in post it is moved towards the base where the gap
    is clear, else away from what most texts do. Every control is tested at the strength of the
    direction, and at strengths of its own, chosen on the same part: where it brings about most of
    the behaviour, and where most answers are right. One that does nothing has none of its own.

    `design`: strengths, the number of random directions, and that of the problems on which controls
    choose strengths of their own.
    """
    how = {"generation": generation, "seed": inference.seed, "execution": execution}
    gap = choose.gap(inference)[SHOWN]
    rate = float(choose.base[:, SHOWN].mean())
    raised = choose.side.name == "base" or to_raise(rate, gap.ends[0], bool(gap.clear))
    sign = 1.0 if raised else -1.0
    arms = [direction_arms(one, where=last(), controls=())[0] for one in directions]
    n_random, n_dosed = design.n_random, design.n_dosed
    signed = [sign * float(one) for one in design.strengths]
    swept = sweep_arms(choose, arms, strengths=signed, **how)
    wanted = _wanted(swept, raised=raised)
    place, dose = best_cell(
        wanted.mean(0),
        swept.strength,
        raised=True,
        unsteered=float(as_steered(choose.own, raised=raised).mean()),
        tie=swept.score[:, CORRECT].mean(0),
    )
    strength, direction = signed[dose], directions[place]
    # The random ones come first and the shuffled one last.
    controls = matched_controls(direction, n_random=n_random, seed=inference.seed)
    doses = _doses(choose, controls, signed, raised=raised, tested=strength, n=n_dosed, **how)
    if choose.side.name != "base":  # whether post is right is not asked
        doses = (doses[0], doses[0])
    cells = [(i, strength) for i in range(len(controls) + 1)]
    cells += [(i, dose) for row in doses for i, dose in enumerate(row, start=1)]
    distinct = list(dict.fromkeys(cells))
    texts = steer_many(
        test,
        [(direction, *controls)[i] for i, _ in distinct],
        strength=[dose for _, dose in distinct],
        where=last(),
        **how,
    )
    at = [distinct.index(cell) for cell in cells]
    same, shown, right = (at[1 + len(controls) * k :][: len(controls)] for k in range(3))
    return Turned(
        raised=raised,
        site=direction.site,
        strength=strength,
        swept=swept,
        plain=test.own,
        direction=_cells(texts, at[:1]),
        shuffled=_cells(texts, same[n_random:]),
        draws=_cells(texts, same[:n_random]),
        freed=_cells(texts, shown) if n_dosed else None,
        freed_right=_cells(texts, right) if n_dosed else None,
    )


def _doses(
    choose: Unsteered,
    controls: Sequence[Direction],
    strengths: Sequence[float],
    *,
    raised: bool,
    tested: float,
    n: int,
    **how: Any,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Strengths of the controls: best for the behaviour, and best for right answers."""
    if not n:
        return (tested,) * len(controls), (tested,) * len(controls)
    few = choose.task.subset(min(n, len(choose.task)), how["seed"])
    ids = [problem.id for problem in choose.task]
    rows = [ids.index(problem.id) for problem in few]
    texts = steer_many(
        replace(choose, task=few),
        [one for one in controls for _ in strengths],
        strength=[dose for _ in controls for dose in strengths],
        where=last(),
        **how,
    )
    each = (
        (as_steered(texts, raised=raised), as_steered(choose.own, raised=raised)),
        (correct(texts), correct(choose.own)),
    )
    best = [
        own_strengths(
            torch.from_numpy(found.mean(1)).view(len(controls), len(strengths)),
            torch.tensor(strengths, dtype=torch.float64),
            unsteered=float(alone[0, rows].mean()),
            tested=tested,
        )
        for found, alone in each
    ]
    return best[0], best[1]


def _wanted(swept: Sweep, *, raised: bool) -> Float[Tensor, "problem site strength"]:
    """1 where a text is coherent and as the direction is to make it."""
    shown = swept.score[:, SHOWN]
    return (shown if raised else 1 - shown) * swept.coherent


def _cells(outcomes: Outcomes, which: Sequence[int]) -> Outcomes:
    """Some of the cells."""
    at = list(which)
    return replace(
        outcomes,
        score=outcomes.score[..., at],
        log_prob=outcomes.log_prob[..., at],
        coherent=outcomes.coherent[..., at],
    )
