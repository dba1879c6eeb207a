"""Training as mechanisms: settings fixed before, the number of updates chosen, seeds redrawn."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch

from elicit.elicitation.bench import Attempt, Bench, Sees, Tried
from elicit.elicitation.training.collateral import collateral
from elicit.elicitation.training.critiques import Critic, CritiqueKind, critiques, solutions_of
from elicit.elicitation.training.documents import Documents, answer_documents, trace_documents
from elicit.elicitation.training.errors import TrainingError
from elicit.elicitation.training.examples import Hardness, example_rates
from elicit.elicitation.training.fine_tune import fine_tune, within_positions
from elicit.elicitation.training.grpo import grpo
from elicit.elicitation.training.plans import FineTunePlan, GrpoPlan, Trainable
from elicit.elicitation.training.rewards import (
    AnswerReward,
    FormatReward,
    RandomReward,
    Reward,
)
from elicit.elicitation.training.trained import Trained
from elicit.results import Result
from elicit.runs import Execution
from elicit.tasks import Task

Trains = Callable[[Bench, int, Execution], Trained]
"""One training run: of a seed."""
TrainingName = Literal[
    "rlvr",
    "one-example",
    "bias",
    "tiny",
    "random-reward",
    "format-reward",
    "sft-answers",
    "sft-traces",
    "critique",
    "critique-shuffled",
]
"""Mechanisms that train."""
N_CANDIDATES = 24
"""Problems among which examples are looked for."""
N_SOLUTIONS = 4
"""Solutions of each problem that are criticised."""


@dataclass(frozen=True, kw_only=True)
class ReinforcedMeans:
    """Reinforcement learning as a mechanism."""

    name: str
    """What figures and tables call it."""
    reward: Reward
    """What a text earns."""
    trainable: Trainable = "all"
    """What is trained."""
    plan: GrpoPlan = GrpoPlan()
    """Sizes and rates; generation and budget are those of the bench."""
    examples: Hardness | None = None
    """Whether each seed trains on one example of its own, and which; None: on all problems."""
    control: bool = False
    """Whether it should do nothing."""
    opener: str = ""
    """First words of every text for the forced form of collateral damage; empty: left out."""

    @property
    def sees(self) -> Sees:
        """See `Means`."""
        return self.reward.sees

    def attempt(self, bench: Bench) -> Attempt:
        """See `Means`.

        Raises:
            TrainingError: The budget is below one update, or see `grpo` and `ExampleRates.pick`.
        """
        # Here an unmoved model is an outcome: it is held against base like any other.
        plan = replace(
            self.plan,
            generation=replace(bench.generation, batch_size=max(128, bench.generation.batch_size)),
            budget=bench.budget if self.plan.budget is None else self.plan.budget,
            constant="keep",
        )
        tasks, n_tokens, details = self._tasks(bench)

        def train(bench: Bench, seed: int, execution: Execution) -> Trained:
            return grpo(
                bench.base,
                tasks[seed],
                reward=self.reward,
                choose=bench.choose,
                trainable=self.trainable,
                plan=plan,
                seed=seed,
                execution=execution,
            )

        return attempted(bench, train, n_tokens=n_tokens, opener=self.opener, details=details)

    def _tasks(self, bench: Bench) -> tuple[dict[int, Task], int, dict[str, Result]]:
        """What each seed trains on, and the tokens that finding it took."""
        if self.examples is None:
            return dict.fromkeys(bench.seeds, bench.fit), 0, {}
        candidates = bench.fit.subset(min(N_CANDIDATES, len(bench.fit)), bench.inference.seed)
        rates = example_rates(
            bench.base,
            candidates,
            generation=replace(bench.generation, batch_size=max(128, bench.generation.batch_size)),
            shown=bench.behaviour.shown,
            execution=bench.execution.scoped("examples"),
        )
        chosen = rates.pick(self.examples, len(bench.seeds))
        known = {problem.id: problem for problem in candidates}
        tasks = {
            seed: Task(name=f"example {name}", problems=(known[name],))
            for seed, name in zip(bench.seeds, chosen, strict=True)
        }
        return tasks, rates.n_tokens, {"examples": rates}


@dataclass(frozen=True, kw_only=True)
class TunedMeans:
    """Fine-tuning on documents as a mechanism."""

    name: str
    """What figures and tables call it."""
    sees: Sees
    """What its documents tell."""
    documents: Callable[[Bench], Documents]
    """Documents of the problems to train on."""
    trainable: Trainable = "all"
    """What is trained."""
    plan: FineTunePlan = FineTunePlan()
    """Sizes and rates; generation and budget are those of the bench."""
    control: bool = False
    """Whether it should do nothing."""
    opener: str = ""
    """See `ReinforcedMeans`."""

    def attempt(self, bench: Bench) -> Attempt:
        """See `Means`.

        Raises:
            TrainingError: See `fine_tune`, or the documents cannot be made of these problems.
        """
        documents = self.documents(bench)
        plan = replace(
            self.plan,
            generation=replace(bench.generation, batch_size=max(128, bench.generation.batch_size)),
            budget=bench.budget if self.plan.budget is None else self.plan.budget,
        )

        def train(bench: Bench, seed: int, execution: Execution) -> Trained:
            return fine_tune(
                bench.base,
                documents,
                choose=bench.choose,
                trainable=self.trainable,
                plan=plan,
                seed=seed,
                execution=execution,
            )

        return attempted(bench, train, n_tokens=0, opener=self.opener, details={})


def training_means(
    name: TrainingName, *, form: str = "answer {} .", opener: str = "", critic: Critic | None = None
) -> ReinforcedMeans | TunedMeans:
    """A mechanism that trains, with its default settings.

    Args:
        name: Which.
        form: How a target writes an answer; `{}` stands for it.
        opener: First words of a text of the behaviour, for collateral damage; empty: left out.
        critic: Criticises solutions, for the two that learn critiques.

    Raises:
        TrainingError: There is no such mechanism, or it needs a critic and none is given.
    """
    answers = AnswerReward()
    reinforced: Mapping[str, ReinforcedMeans] = {
        "rlvr": ReinforcedMeans(name="rlvr", reward=answers),
        "one-example": ReinforcedMeans(
            name="one-example", reward=answers, examples="hard", plan=GrpoPlan(steps=16)
        ),
        "bias": ReinforcedMeans(name="bias", reward=answers, trainable="bias"),
        "tiny": ReinforcedMeans(name="tiny", reward=answers, trainable="tiny"),
        "random-reward": ReinforcedMeans(
            name="random-reward", reward=RandomReward(), control=True, plan=GrpoPlan(steps=8)
        ),
        "format-reward": ReinforcedMeans(
            name="format-reward", reward=FormatReward(), plan=GrpoPlan(steps=16)
        ),
    }
    if name in reinforced:
        return replace(reinforced[name], opener=opener)
    made: Mapping[str, tuple[Sees, bool, Callable[[Bench], Documents]]] = {
        "sft-answers": ("answers", False, lambda bench: answer_documents(bench.fit, form=form)),
        "sft-traces": ("teacher", False, lambda bench: trace_documents(bench.fit, form=form)),
        "critique": ("teacher", False, lambda bench: _criticised(bench, critic, "full")),
        "critique-shuffled": (
            "teacher",
            True,
            lambda bench: _criticised(bench, critic, "shuffled"),
        ),
    }
    if name not in made:
        raise TrainingError(
            f"there is no mechanism {name!r} that trains; there are "
            f"{', '.join([*reinforced, *made])}. Pass one of these."
        )
    if name.startswith("critique") and critic is None:
        raise TrainingError(
            f"{name!r} learns what a critic says of solutions, and there is none. Pass critic=, an "
            "oracle, a teacher model, or leave the mechanism out."
        )
    sees, control, documents = made[name]
    return TunedMeans(name=name, sees=sees, control=control, documents=documents, opener=opener)


def attempted(
    bench: Bench,
    train: Trains,
    *,
    n_tokens: int,
    opener: str,
    details: Mapping[str, Result],
) -> Attempt:
    """Train once for each seed, and write on the test problems with what came out.

    Args:
        bench: Problems, model and limits.
        train: One training run.
        n_tokens: Tokens that were read and written before.
        opener: See `ReinforcedMeans`.
        details: What else is shown.
    """
    runs: list[Trained] = []
    tests: list[Tried] = []
    shown, states = dict(details), None
    for seed in bench.seeds:
        found = train(bench, seed, bench.execution.scoped(f"seed {seed}"))
        with found.applied(bench.base):
            tests.append(bench.tried(bench.writes(bench.base), bench.test, sampled=True))
            states = bench.states(bench.base) if states is None else states
        runs.append(found)
        shown[f"seed {seed}"] = found.course
    if bench.facts is not None:
        shown["collateral"] = collateral(
            bench.base,
            runs[0],
            facts=bench.facts,
            problems=bench.test,
            opener=opener,
            generation=bench.generation,
            inference=bench.inference,
            execution=bench.execution.scoped("collateral"),
        )
    return Attempt(
        chosen=torch.stack([run.chosen_right.double() for run in runs]).mean(0),
        tests=tuple(tests),
        bits=sum(run.bits + math.log2(max(1, len(run.choice))) for run in runs) / len(runs),
        n_trained=runs[0].n_trained,
        n_tokens=n_tokens + sum(run.n_tokens for run in runs),
        flops=bench.flops(n_tokens) + sum(run.flops for run in runs),
        setting="; ".join(
            f"seed {seed}: {run.setting} ({run.stopped})"
            for seed, run in zip(bench.seeds, runs, strict=True)
        ),
        rejected=tuple(
            f"seed {seed}: {n} updates, {float(right.double().mean()):.3f} right"
            for seed, run in zip(bench.seeds, runs, strict=True)
            for n, right in zip(run.choice.tolist(), run.chosen, strict=True)
            if n != run.n_updates
        ),
        states=states,
        details=shown,
    )


def _criticised(bench: Bench, critic: Critic | None, kind: CritiqueKind) -> Documents:
    """Critiques of base's own sampled solutions to the problems to train on."""
    assert critic is not None
    how = replace(
        bench.generation,
        temperature=1.0,
        n_samples=N_SOLUTIONS,
        batch_size=max(128, bench.generation.batch_size),
    )
    solutions = solutions_of(bench.base, bench.fit, generation=how, seed=bench.inference.seed)
    said = critiques(bench.fit, solutions, critic, kind=kind, seed=bench.inference.seed)
    return within_positions(bench.base, said, templated=bench.generation.templated)
