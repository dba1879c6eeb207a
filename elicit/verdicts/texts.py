"""What models write: whether it shows the behaviour, hangs together, and is right."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from elicit.directions import Direction, batched_directions
from elicit.edits import last
from elicit.pair import ModelPair, Side
from elicit.rollouts import Generation, Rollouts, dose_rollouts, rollouts
from elicit.runs import Execution
from elicit.tasks import Task

_GRAM, _DISTINCT = 4, 0.3
"""A text loops if less than that share of its runs of so many tokens are different ones."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Texts:
    """What was written to each problem, in several ways of asking."""

    shown: Bool[Tensor, "arm problem"]
    """Whether the text shows the behaviour."""
    coherent: Bool[Tensor, "arm problem"]
    """Whether it gives an answer and does not go round in a loop."""
    correct: Bool[Tensor, "arm problem"]
    """Whether the answer is right."""

    def take(self, arms: slice) -> "Texts":
        """Some of the ways of asking.

        Args:
            arms: Which.
        """
        return Texts(
            shown=self.shown[arms], coherent=self.coherent[arms], correct=self.correct[arms]
        )

    def as_wanted(self, wanted: bool = True) -> Float[np.ndarray, "arm problem"]:
        """1 where a text is coherent and shows the behaviour, or does not if that is wanted.

        Args:
            wanted: Whether it is to be shown.
        """
        return column((self.shown == wanted) & self.coherent)


def column(values: Bool[Tensor, "*arm problem"]) -> Float[np.ndarray, "*arm problem"]:
    """Outcomes as numbers.

    Args:
        values: Outcomes.
    """
    return values.double().numpy()


@dataclass(frozen=True, eq=False, kw_only=True)
class Writing:
    """How every text of a ladder is written."""

    pair: ModelPair
    shown: Callable[[str], bool]
    generation: Generation
    seed: int
    execution: Execution

    def plain(self, model: nn.Module, task: Task) -> Texts:
        """Texts of a model left alone.

        Args:
            model: Base or post.
            task: Problems under the prompts to be used.
        """
        found = rollouts(self._side(model), task, **self._options())  # pyright: ignore
        return self._read(found, 1)

    def doses(
        self, model: nn.Module, task: Task, direction: Direction, strengths: Sequence[float]
    ) -> Texts:
        """Texts under one direction at several strengths, added at the last token of the prompt.

        Args:
            model: Base or post.
            task: Problems.
            direction: What is added.
            strengths: How often.
        """
        found = dose_rollouts(
            self._side(model),
            task,
            lambda strength: [direction.to_edit(strength, last())],
            strengths=strengths,
            **self._options(),  # pyright: ignore
        )
        return self._read(found, len(strengths))

    def directions(
        self, model: nn.Module, task: Task, directions: Sequence[Direction], *, strength: float
    ) -> Texts:
        """Texts under each of several directions, added at the last token of the prompt.

        Args:
            model: Base or post.
            task: Problems.
            directions: What is added, all at one site.
            strength: How often.
        """
        found = dose_rollouts(
            self._side(model),
            task,
            batched_directions(directions, scale=strength, where=last()),
            strengths=[float(number) for number in range(len(directions))],
            **self._options(),  # pyright: ignore
        )
        return self._read(found, len(directions))

    def _options(self) -> dict[str, object]:
        return {
            "generation": self.generation,
            "seed": self.seed,
            "execution": self.execution,
        }

    def _side(self, model: nn.Module) -> Side:
        return self.pair.side("base" if model is self.pair.base else "post")

    def _read(self, found: Rollouts, n_arms: int) -> Texts:
        shown = torch.tensor([bool(self.shown(text)) for text in found.text])
        coherent = torch.tensor(
            [
                answer is not None and not _loops(found.ids(row))
                for row, answer in enumerate(found.extracted)
            ]
        )
        return Texts(
            shown=shown.reshape(n_arms, -1),
            coherent=coherent.reshape(n_arms, -1),
            correct=found.correct.reshape(n_arms, -1),
        )


def _loops(ids: Sequence[int]) -> bool:
    """Whether a text says the same over and over."""
    grams = [tuple(ids[i : i + _GRAM]) for i in range(len(ids) - _GRAM + 1)]
    return bool(grams) and len(set(grams)) < _DISTINCT * len(grams)
