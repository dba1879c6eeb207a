"""What mechanisms are tried with, and what a try brings: the same problems, models, limits."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation.errors import ElicitationError
from elicit.pair import ModelPair, Side, hugging_face_model
from elicit.representations import problem_states
from elicit.results import Result
from elicit.rollouts import Generation, Rollouts, rollouts
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.tasks import Behaviour, Task, check, last_candidate, last_number
from elicit.texts import TokenRows
from elicit.traces import Checker

Sees = Literal["nothing", "answers", "teacher", "post texts", "post weights"]
"""What a mechanism was told, from least to most: nothing of the task, its right answers, solutions
or critiques by a teacher, texts of the post-trained model, its weights or logits."""
SEES: tuple[Sees, ...] = ("nothing", "answers", "teacher", "post texts", "post weights")
Writes = Callable[[Task, Generation, Execution], Rollouts]
"""How a mechanism writes: texts to every problem of a task, in its order."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Tried:
    """What texts of one setting show, each a mean over a problem's samples."""

    right: Float[Tensor, " problem"]
    """Whether the greedy text gives the right answer."""
    sampled: Float[Tensor, " problem"]
    """Share of texts at temperature 1 that do; NaN where none were drawn."""
    shown: Float[Tensor, " problem"]
    """Whether the greedy text shows the behaviour, such as reasoning before the answer."""
    lenient: Float[Tensor, " problem"]
    """Whether the last candidate or number of the greedy text is the right one, announced or not.
    """
    verified: Float[Tensor, " problem"]
    """Whether the answer is right and every step that could be checked holds; NaN without a
    checker. A text without a step that could be checked is not verified."""
    n_tokens: int
    """Tokens written."""
    texts: tuple[str, ...]
    """The greedy texts. Text of a model: never trusted."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Bench:
    """Problems in three parts, both models, and the limits within which every mechanism is tried.

    Raises:
        ElicitationError: Two parts share a problem, or generation is not greedy.
    """

    pair: ModelPair
    """Base, which every mechanism works on, and post, whose gap is to be closed."""
    fit: Task
    """Problems that mechanisms train on."""
    choose: Task
    """Problems that settings are chosen on."""
    test: Task
    """Problems that shares are reported on."""
    behaviour: Behaviour
    """What post is thought to do, with the prompts that ask for it."""
    generation: Generation = Generation()
    """How greedy texts are written."""
    checker: Checker | None = None
    """Decides whether the steps of a text hold; None leaves verified accuracy out."""
    facts: Task | None = None
    """Facts that base knows, to see what training damages; None leaves that out."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of what is trained: each is a run of its own."""
    n_samples: int = 4
    """Texts of each test problem at temperature 1; 0 draws none."""
    budget: int = 100_000
    """Most tokens that one training run may write or read."""
    read_on: TokenRows | None = None
    """Texts along which the states of what was trained are read, such as post's; None leaves that
    out."""
    inference: Inference = Inference()
    """Coverage, resamples and seed of the intervals."""
    execution: Execution = field(default_factory=Execution)
    """Checkpoint and progress."""

    def __post_init__(self) -> None:
        """Refuse parts that share problems, and texts that are not greedy."""
        parts = {"fit": self.fit, "choose": self.choose, "test": self.test}
        ids = {name: {problem.id for problem in task} for name, task in parts.items()}
        for one, other in (("fit", "choose"), ("fit", "test"), ("choose", "test")):
            both = sorted(ids[one] & ids[other])
            if both:
                raise ElicitationError(
                    f"problem {both[0]!r} and {len(both) - 1} more are in both {one} and {other}, "
                    "so a mechanism would be judged on what it was made on. Pass parts without "
                    "common problems."
                )
        if self.generation.temperature or self.generation.n_samples > 1:
            raise ElicitationError(
                f"generation has temperature {self.generation.temperature} and "
                f"{self.generation.n_samples} samples, and shares are of greedy texts. Pass "
                "temperature 0 and one sample; n_samples of the bench draws the sampled ones."
            )

    @property
    def base(self) -> Side:
        """The model that every mechanism works on."""
        return self.pair.side("base")

    @property
    def post(self) -> Side:
        """Its post-trained sibling."""
        return self.pair.side("post")

    def scoped(self, name: str) -> "Bench":
        """The same bench with checkpoint keys under a name of their own.

        Args:
            name: What comes before each key.
        """
        return replace(self, execution=self.execution.scoped(name))

    def flops(self, n_tokens: int, *, trained: bool = False) -> float:
        """Floating-point operations of tokens that base reads or writes.

        Args:
            n_tokens: Tokens.
            trained: Whether gradients were taken: 6 for each parameter and token instead of 2.
        """
        model = hugging_face_model(self.base.bridge)
        return (6.0 if trained else 2.0) * sum(p.numel() for p in model.parameters()) * n_tokens

    def states(self, side: Side) -> Float[Tensor, "layer problem d_model"] | None:
        """Mean residual stream along `read_on` by problem, under whatever is in force on a model.

        Args:
            side: The model.
        """
        if self.read_on is None:
            return None
        return problem_states(
            side, self.read_on, n_layers=self.pair.n_layers, execution=self.execution
        )

    def writes(
        self, side: Side, *, prefixes: Mapping[str, tuple[int, ...]] | None = None
    ) -> Writes:
        """A model as it is (with whatever edits and weights are in force) as a way to write.

        Args:
            side: The model.
            prefixes: Token ids with which the texts of a problem begin, by its id.
        """

        def write(task: Task, generation: Generation, execution: Execution) -> Rollouts:
            known = {problem.id for problem in task}
            return rollouts(
                side,
                task,
                generation=generation,
                seed=self.inference.seed,
                prefixes={at: ids for at, ids in (prefixes or {}).items() if at in known},
                execution=execution,
            )

        return write

    def tried(self, write: Writes, task: Task, *, sampled: bool) -> Tried:
        """What a way of writing reaches on a task.

        Args:
            write: Writes the texts.
            task: Problems under the prompts that are used.
            sampled: Whether texts at temperature 1 are drawn as well, as many as `n_samples`.
        """
        greedy = write(task, self.generation, self.execution)
        shares = torch.full((len(task),), math.nan, dtype=torch.float64)
        n_tokens = int(greedy.n_tokens.sum())
        if sampled and self.n_samples:
            how = replace(
                self.generation,
                temperature=1.0,
                n_samples=self.n_samples,
            )
            drawn = write(task, how, self.execution)
            shares = drawn.correct.double().view(len(task), -1).mean(1)
            n_tokens += int(drawn.n_tokens.sum())
        return self.read(greedy, task, sampled=shares, n_tokens=n_tokens)

    def read(
        self,
        greedy: Rollouts,
        task: Task,
        *,
        sampled: Float[Tensor, " problem"],
        n_tokens: int,
    ) -> Tried:
        """What texts show, one for each problem in the order of the task.

        Args:
            greedy: The texts.
            task: Their problems.
            sampled: Share of sampled texts of each problem that are right; NaN where none.
            n_tokens: Tokens written in all.
        """
        right = greedy.correct.double()
        return Tried(
            right=right,
            sampled=sampled,
            shown=_each(self.behaviour.shown(text) for text in greedy.text),
            lenient=_each(
                check(text, problem, last_candidate if problem.candidates else last_number).correct
                for text, problem in zip(greedy.text, task, strict=True)
            ),
            verified=self._verified(greedy, task, right),
            n_tokens=n_tokens,
            texts=greedy.text,
        )

    def _verified(
        self, greedy: Rollouts, task: Task, right: Float[Tensor, " problem"]
    ) -> Float[Tensor, " problem"]:
        if self.checker is None:
            return torch.full_like(right, math.nan)
        holds = [self.checker(p, text) for p, text in zip(task, greedy.text, strict=True)]
        return right * _each(one is True for one in holds)


@dataclass(frozen=True, eq=False, kw_only=True)
class Attempt:
    """What one mechanism reached at its chosen setting, before it is held against base and post.

    Where a mechanism is trained, `seed` has a column for each run; else it has one.
    """

    chosen: Float[Tensor, " problem"]
    """Right on the problems to choose on, mean over seeds."""
    tests: tuple[Tried, ...]
    """On the test problems, one for each seed."""
    bits: float
    """Upper bound on what it was told about the task, bits; the logarithm of the settings that were
    chosen among is part of it."""
    n_trained: int = 0
    """Parameters that were trained."""
    n_tokens: int = 0
    """Tokens written or read to fit and to choose, all seeds; test texts do not count."""
    flops: float = 0.0
    """Floating-point operations of the same."""
    setting: str
    """The setting that was chosen, in words."""
    rejected: tuple[str, ...] = ()
    """Settings that were tried and not chosen, each with its accuracy on the problems to choose
    on."""
    states: Float[Tensor, "layer problem d_model"] | None = None
    """Mean states along `Bench.read_on` under its first seed; None where it changes neither weights
    nor every token alike, or none were asked for."""
    details: Mapping[str, Result] = field(default_factory=dict)
    """What else the page shows of it, such as a curve, by name."""


@runtime_checkable
class Means(Protocol):
    """A mechanism: one way to bring a behaviour out of base, with its settings."""

    @property
    def name(self) -> str:
        """What figures and tables call it."""
        ...

    @property
    def sees(self) -> Sees:
        """What it is told."""
        ...

    @property
    def control(self) -> bool:
        """Whether it is a control, which should do nothing where its counterpart is real."""
        ...

    def attempt(self, bench: Bench) -> Attempt:
        """Fit on `bench.fit`, choose a setting on `bench.choose`, and write on `bench.test`.

        Args:
            bench: Problems, models and limits; its execution is scoped to this mechanism.

        Raises:
            ElicitError: The mechanism cannot be tried with these models, problems or limits.
        """
        ...


def _each(values: Iterable[float | bool]) -> Float[Tensor, " problem"]:
    return torch.tensor([float(value) for value in values], dtype=torch.float64)
