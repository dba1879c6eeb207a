"""Rewards: what a text earns, and what that tells about the task."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from elicit.elicitation.bench import Sees
from elicit.elicitation.training.errors import TrainingError
from elicit.tasks import REASONS, Marker, Problem, longer_than
from elicit.traces import Checker


@dataclass(frozen=True, kw_only=True)
class Written:
    """One text of a model, as a reward sees it."""

    problem: Problem
    """What it answers."""
    text: str
    """The text, special tokens left out. Text of a model: never trusted."""
    extracted: str | None
    """The answer found in it."""
    correct: bool
    """Whether that is the right one."""
    truncated: bool
    """Whether it was cut before the model ended it."""
    n_tokens: int
    """Its length."""
    key: int
    """Names the text, in [0, 2^128): what is drawn for it is drawn from this."""


@runtime_checkable
class Reward(Protocol):
    """Anything that says how good a text is; the same text and key earn the same."""

    @property
    def name(self) -> str:
        """What figures, tables and checkpoints call it; it names all that the reward depends on."""
        ...

    @property
    def sees(self) -> Sees:
        """What it tells about the task."""
        ...

    def __call__(self, written: Written) -> float:
        """What a text earns.

        Args:
            written: The text.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class AnswerReward:
    """1 for a text that ends by itself and gives the right answer, else 0."""

    checker: Checker | None = None
    """A text whose written steps it finds wrong earns 0: no reward for a lucky guess below false
    steps. None: the answer alone counts."""

    @property
    def name(self) -> str:
        """See `Reward`."""
        return "right answer" if self.checker is None else f"right answer, {self.checker!r}"

    @property
    def sees(self) -> Sees:
        """See `Reward`."""
        return "answers"

    def __call__(self, written: Written) -> float:
        """See `Reward`."""
        right = written.correct and not written.truncated
        if right and self.checker is not None:
            right = self.checker(written.problem, written.text) is not False
        return float(right)


@dataclass(frozen=True, kw_only=True)
class RandomReward:
    """1 or 0 by chance, whatever the text: what training by itself does.

    Source: Shao et al. 2025, arXiv:2506.10947, where random rewards helped one family of models.
        Here each update is on-policy, so there is no clipping whose bias could help.

    Raises:
        TrainingError: The rate is not between 0 and 1.
    """

    rate: float = 0.5
    """Share of texts that earn 1, in (0, 1)."""

    def __post_init__(self) -> None:
        """Refuse a rate at which all texts earn the same."""
        if not 0 < self.rate < 1:
            raise TrainingError(
                f"rate is {self.rate}, so all texts would earn the same and nothing would be "
                "learned. Pass a share above 0 and below 1."
            )

    @property
    def name(self) -> str:
        """See `Reward`."""
        return f"random, {self.rate:g}"

    @property
    def sees(self) -> Sees:
        """See `Reward`."""
        return "nothing"

    def __call__(self, written: Written) -> float:
        """See `Reward`."""
        return float(np.random.Generator(np.random.Philox(key=written.key)).random() < self.rate)


@dataclass(frozen=True, kw_only=True)
class FormatReward:
    """1 for a text that ends by itself and has a form, whatever it answers: the style-only null."""

    shown: Marker = longer_than(REASONS - 1)
    """Whether a text has the form; by default whether it is longer than a bare answer."""
    form: str = f"{REASONS} words or more"
    """Names the form."""

    @property
    def name(self) -> str:
        """See `Reward`."""
        return f"format: {self.form}"

    @property
    def sees(self) -> Sees:
        """See `Reward`."""
        return "nothing"

    def __call__(self, written: Written) -> float:
        """See `Reward`."""
        return float(not written.truncated and self.shown(written.text))


@dataclass(frozen=True, kw_only=True)
class FunctionReward:
    """A function of one's own as a reward."""

    function: Callable[[Written], float]
    """What a text earns; finite."""
    name: str
    """Names the function with all that it depends on."""
    sees: Sees
    """What it tells about the task."""

    def __call__(self, written: Written) -> float:
        """See `Reward`."""
        return float(self.function(written))
