"""Rungs that steer: the base's direction in either model, at a site and strength chosen before."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
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
    steer_many,
    sweep_arms,
    to_raise,
)
from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference
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
    """Under the direction with its entries shuffled."""
    draws: Outcomes
    """Under random directions of the same length."""

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
    strengths: Sequence[float],
    n_random: int,
    inference: Inference,
    generation: Generation,
    execution: Execution = Execution(),
) -> Turned:
    """Choose site and strength on one part of the problems, and steer on the other.

    In the base the behaviour is brought about; in post it is moved towards the base where the gap
    is clear, else away from what most texts do.

    `strengths`: in units of the difference of the means.
    """
    how = {"generation": generation, "seed": inference.seed, "execution": execution}
    gap = choose.gap(inference)[SHOWN]
    rate = float(choose.base[:, SHOWN].mean())
    raised = choose.side.name == "base" or to_raise(rate, gap.ends[0], bool(gap.clear))
    sign = 1.0 if raised else -1.0
    arms = [direction_arms(one, where=last(), controls=())[0] for one in directions]
    swept = sweep_arms(choose, arms, strengths=[sign * one for one in strengths], **how)
    wanted = _wanted(swept, raised=raised)
    place, dose = best_cell(
        wanted.mean(0),
        swept.strength,
        raised=True,
        unsteered=float(as_steered(choose.own, raised=raised).mean()),
        tie=swept.score[:, CORRECT].mean(0),
    )
    strength, direction = sign * float(strengths[dose]), directions[place]
    # The random ones come first and the shuffled one last.
    controls = matched_controls(direction, n_random=n_random, seed=inference.seed)
    texts = steer_many(test, (direction, *controls), strength=strength, where=last(), **how)
    return Turned(
        raised=raised,
        site=direction.site,
        strength=strength,
        swept=swept,
        plain=test.own,
        direction=_cells(texts, slice(0, 1)),
        shuffled=_cells(texts, slice(n_random + 1, None)),
        draws=_cells(texts, slice(1, n_random + 1)),
    )


def _wanted(swept: Sweep, *, raised: bool) -> Float[Tensor, "problem site strength"]:
    """1 where a text is coherent and as the direction is to make it."""
    shown = swept.score[:, SHOWN]
    return (shown if raised else 1 - shown) * swept.coherent


def _cells(outcomes: Outcomes, which: slice) -> Outcomes:
    """Some of the cells."""
    return replace(
        outcomes,
        score=outcomes.score[..., which],
        log_prob=outcomes.log_prob[..., which],
        coherent=outcomes.coherent[..., which],
    )
