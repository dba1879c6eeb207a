"""Rungs that write: the base's direction added to either model, at a place chosen beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import nn

from elicit.directions import Direction, between_states, matched_controls
from elicit.sites import Site
from elicit.tasks import Task
from elicit.verdicts.deciding import Options, best_part
from elicit.verdicts.reading import States
from elicit.verdicts.texts import Texts, Writing, column

_NEAR = 0.05
"""Rates so close to the best are as good: the least strength of them is taken."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Swept:
    """What was tried on the problems to choose on, problem by problem."""

    wanted: Float[np.ndarray, "site strength problem"]
    """1 where a text is coherent and as the direction is to make it."""
    correct: Float[np.ndarray, "site strength problem"]
    """1 where its answer is right."""
    plain_wanted: Float[np.ndarray, " problem"]
    """The same of the model left alone."""
    plain_correct: Float[np.ndarray, " problem"]
    """The same of the model left alone."""

    def p_site(self, name: str, options: Options) -> Float[np.ndarray, " site"]:
        """P-value of each site's best strength above the model left alone, adjusted for all cells.

        Args:
            name: `wanted` or `correct`.
            options: How many sign flips, and their seed.
        """
        gain = getattr(self, name) - getattr(self, f"plain_{name}")
        return best_part(np.moveaxis(gain, -1, 0), options).min(axis=1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Turned:
    """Texts of a model under the base's direction and its controls, on the test problems."""

    wanted: bool
    """Whether the direction is to bring the behaviour about, or to take it away."""
    site: Site
    """Where it is added."""
    strength: float
    """How often; below 0 where it is taken off."""
    swept: Swept
    """What it was chosen by."""
    plain: Texts
    """The model left alone."""
    direction: Texts
    """Under the direction."""
    shuffled: Texts
    """Under the direction with its entries in shuffled places."""
    draws: Texts
    """Under random directions, as long."""

    @property
    def place(self) -> str:
        """Site and strength in words."""
        return f"{self.site}, {self.strength:+g}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Steering:
    """The base's direction at every site, and how it is tried."""

    writing: Writing
    states: States
    parts: tuple[Task, Task]
    """Problems to choose on, and to test on."""
    strengths: tuple[float, ...]
    n_random: int
    seed: int

    def turn(self, model: nn.Module, *, wanted: bool | None) -> Turned:
        """Choose site and strength on one part of the problems, and write to the other.

        Args:
            model: Base or post.
            wanted: Whether the behaviour is to be brought about; None is what the model does not
                do by itself in most texts.
        """
        choose, test = self.parts
        alone = self.writing.plain(model, choose)
        if wanted is None:
            wanted = bool(alone.shown.double().mean() <= 0.5)
        sign = 1.0 if wanted else -1.0
        directions = self.directions()
        tried = [
            self.writing.doses(model, choose, one, [sign * each for each in self.strengths])
            for one in directions
        ]
        swept = Swept(
            wanted=np.stack([texts.as_wanted(wanted) for texts in tried]),
            correct=np.stack([column(texts.correct) for texts in tried]),
            plain_wanted=alone.as_wanted(wanted)[0],
            plain_correct=column(alone.correct)[0],
        )
        rates, scores = swept.wanted.mean(axis=-1), swept.correct.mean(axis=-1)
        place, dose = choose_cell(rates, scores, self.strengths)
        strength = sign * self.strengths[dose]
        # The random ones come first and the shuffled one last.
        controls = matched_controls(directions[place], n_random=self.n_random, seed=self.seed)
        arms = (directions[place], *controls)
        texts = self.writing.directions(model, test, arms, strength=strength)
        return Turned(
            wanted=wanted,
            site=directions[place].site,
            strength=strength,
            swept=swept,
            plain=self.writing.plain(model, test),
            direction=texts.take(slice(0, 1)),
            shuffled=texts.take(slice(len(arms) - 1, None)),
            draws=texts.take(slice(1, len(arms) - 1)),
        )

    def directions(self) -> tuple[Direction, ...]:
        """The base's direction at every site, from the problems to choose on."""
        states, used, pair = self.states, self.states.choosing, self.writing.pair
        return between_states(
            states.x[0][:, used],
            states.positive[used],
            sites=states.sites,
            model=pair.base_name,
            model_digest=pair.base_digest,
            position="last token of the prompt",
        )


def choose_cell(
    rates: Float[np.ndarray, "site strength"],
    scores: Float[np.ndarray, "site strength"],
    strengths: Sequence[float],
) -> tuple[int, int]:
    """Place of the site and strength to test at: near the best rate, least strength, best score.

    Args:
        rates: Share of texts that are as wanted.
        scores: Share of right answers.
        strengths: Of each column, above 0.
    """
    near = np.argwhere(rates >= rates.max() - _NEAR)
    best = min(near, key=lambda cell: (strengths[cell[1]], -scores[tuple(cell)], cell[0]))
    return int(best[0]), int(best[1])
