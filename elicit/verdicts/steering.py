"""Rungs that write: the base's direction added to either model, at a place chosen beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.sites import Site
from elicit.tasks import Task
from elicit.verdicts.direction import mean_difference, random_directions, shuffled_places
from elicit.verdicts.reading import States
from elicit.verdicts.texts import Texts, Writing

_NEAR = 0.05
"""Rates so close to the best are as good: the least strength of them is taken."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Turned:
    """Texts of a model under the base's direction and its controls, on the test problems."""

    wanted: bool
    """Whether the direction is to bring the behaviour about, or to take it away."""
    site: Site
    """Where it is added."""
    strength: float
    """How often; below 0 where it is taken off."""
    sweep: Float[np.ndarray, "site strength"]
    """Rate of what is wanted on the problems to choose on."""
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
        if wanted is None:
            wanted = bool(self.writing.plain(model, choose).shown.double().mean() <= 0.5)
        sign = 1.0 if wanted else -1.0
        vectors = self._vectors()
        rates, scores = [], []
        for site, vector in zip(self.states.sites, vectors, strict=True):
            texts = self.writing.doses(
                model, choose, site, vector, [sign * strength for strength in self.strengths]
            )
            rates.append(texts.as_wanted(wanted).mean(axis=1))
            scores.append(texts.correct.double().mean(dim=1).numpy())
        sweep = np.stack(rates)
        place, dose = choose_cell(sweep, np.stack(scores), self.strengths)
        strength = sign * self.strengths[dose]
        site = self.states.sites[place]
        arms = torch.stack(
            [
                vectors[place],
                shuffled_places(vectors[place], seed=self.seed),
                *random_directions(vectors[place], self.n_random, seed=self.seed),
            ]
        )
        texts = self.writing.vectors(model, test, site, strength * arms)
        return Turned(
            wanted=wanted,
            site=site,
            strength=strength,
            sweep=sweep,
            plain=self.writing.plain(model, test),
            direction=texts.take(slice(0, 1)),
            shuffled=texts.take(slice(1, 2)),
            draws=texts.take(slice(2, None)),
        )

    def _vectors(self) -> Float[Tensor, "site d_model"]:
        """The base's direction at every site, from the problems to choose on."""
        states = self.states
        used = states.choosing
        return mean_difference(states.x[0][:, used], states.positive[used], states.sites)


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
