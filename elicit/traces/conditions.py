"""Both models on the same problems under several conditions: prompts, openers, other problems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Estimate, Provenance, Result
from elicit.rollouts import Generation, Rollouts, rollouts
from elicit.runs import Execution
from elicit.stats import Inference, Interval, paired_difference, problem_mean, unpaired_difference
from elicit.surroundings import guarded
from elicit.tasks import Task, shown
from elicit.traces._answer_table import AnswerTable
from elicit.traces.abstentions import ABSTENTIONS
from elicit.traces.errors import TraceError
from elicit.traces.ledger import MODELS


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Prompts under one condition, and the text that every answer to them begins with."""

    task: Task
    """The problems. Those with the ids of another condition are paired with it."""
    opener: str = ""
    """Text that begins each model's text, such as `<think>` or `The answer is`; may be empty."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Conditions(Result):
    """How both models answer under several conditions, beside a reference.

    Changes are paired problem by problem where a condition has the reference's problems, and
    differences of two means where it has others.
    """

    condition: tuple[str, ...]
    """Names, the reference first."""
    reading: tuple[str, ...]
    """`base`, `post`."""
    accuracy: Annotated[Estimate, "condition reading"]
    """Share of right answers."""
    change: Annotated[Estimate, "condition reading"]
    """The same less that under the reference."""
    interaction: Annotated[Estimate, "condition"]
    """Post's change less base's."""
    kept: Annotated[Estimate, "condition reading"]
    """Of the problems answered rightly under the reference, the share that is right here too; NaN
    where the problems are others."""
    floor: Float[Tensor, "condition reading"]
    """Share of right answers if each answer is graded against all other problems': chance."""
    abstained: Annotated[Estimate, "condition reading"]
    """Share of texts that say that there is no answer, and give none after that."""
    abstention_change: Annotated[Estimate, "condition reading"]
    """The same less that under the reference."""
    truncated: Float[Tensor, "condition reading"]
    """Share of texts that were cut before they ended."""
    mean_tokens: Float[Tensor, "condition reading"]
    """Mean length of a text."""
    paired: Bool[Tensor, " condition"]
    """Whether a condition has the reference's problems."""
    n: Int[Tensor, " condition"]
    """Problems."""
    level: float
    """Nominal coverage of the intervals, each of one number alone."""

    def of(self, condition: str) -> int:
        """Place of a condition.

        Args:
            condition: Its name.

        Raises:
            TraceError: There is no such condition.
        """
        if condition not in self.condition:
            raise TraceError(
                f"there is no condition {condition!r} among {', '.join(self.condition)}. Pass one "
                "of them."
            )
        return self.condition.index(condition)


@guarded
def conditions(
    pair: ModelPair,
    asked: Mapping[str, Condition],
    *,
    abstentions: Sequence[str] = ABSTENTIONS,
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Conditions:
    """Let both models answer under several conditions, and compare each with the first.

    One text a problem: greedy, or the first sample.

    Args:
        pair: The two models.
        asked: Conditions by name; the first is the reference. At least two.
        abstentions: Words or phrases that say that there is no answer, whole words in any case.
        generation: How texts are written; samples beyond the first are not drawn.
        inference: Coverage, resamples and seed.
        execution: Checkpoint and progress.

    Raises:
        TraceError: There are fewer than two conditions, or an opener merges with a prompt.
        TaskError: See `rollouts.rollouts`.
    """
    generation = replace(generation, n_samples=1)
    written = {
        name: tuple(
            rollouts(
                pair.side(model),
                condition.task,
                generation=generation,
                seed=inference.seed,
                prefixes=opened(pair, condition, templated=generation.templated),
                execution=execution.scoped(f"conditions/{name}/{model}"),
            )
            for model in MODELS
        )
        for name, condition in asked.items()
    }
    return compare_conditions(
        {name: condition.task for name, condition in asked.items()},
        written,
        abstentions=abstentions,
        inference=inference,
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "conditions",
                "openers": {name: condition.opener for name, condition in asked.items()},
                "level": inference.level,
            },
            task_digests={name: condition.task.digest for name, condition in asked.items()},
        ),
    )


def opened(pair: ModelPair, condition: Condition, *, templated: bool) -> dict[str, tuple[int, ...]]:
    """Tokens that begin the texts of a condition, by problem.

    Args:
        pair: How text becomes token ids.
        condition: Its problems and opener.
        templated: Whether prompts go through the chat template.

    Raises:
        TraceError: The opener merges with the last token of a prompt.
    """
    found: dict[str, tuple[int, ...]] = {}
    for problem in condition.task if condition.opener else ():
        begun = pair.alignment.continued(problem.turns, condition.opener, templated=templated)
        prompt = pair.alignment.prompt(problem.turns, templated=templated)
        if list(begun.prompt) != list(prompt):
            raise TraceError(
                f"the opener {shown(condition.opener)} merges with the last token of the prompt of "
                f"problem {shown(problem.id)}, so models would continue another text. Begin it "
                "with a space or a line break, or end the prompts in one."
            )
        found[problem.id] = tuple(begun.written)
    return found


def compare_conditions(
    asked: Mapping[str, Task],
    written: Mapping[str, Sequence[Rollouts]],
    *,
    abstentions: Sequence[str] = ABSTENTIONS,
    inference: Inference = Inference(),
    provenance: Provenance | None = None,
) -> Conditions:
    """Texts of both models under several conditions, each compared with the first.

    Args:
        asked: Problems of each condition, by name; the first is the reference.
        written: Base's texts and post's, by condition.
        abstentions: Words or phrases that say that there is no answer.
        inference: Coverage, resamples and seed.
        provenance: Where the texts come from.

    Raises:
        TraceError: There are fewer than two conditions, or texts of another task.
    """
    names = list(asked)
    if len(names) < 2:
        raise TraceError(
            f"there are {len(names)} conditions, and each is compared with the first. Pass two or "
            "more."
        )
    tables = {name: AnswerTable(asked[name], written[name], abstentions) for name in names}
    first = tables[names[0]]
    right = [_sides(tables[name].right, first.right, tables[name], first, inference)
             for name in names]  # fmt: skip
    none = [_sides(tables[name].none, first.none, tables[name], first, inference)
            for name in names]  # fmt: skip
    return Conditions(
        provenance=provenance,
        condition=tuple(names),
        reading=MODELS,
        accuracy=_stacked([side.value for side in right]),
        change=_stacked([side.change for side in right]),
        interaction=Estimate.of_intervals(side.interaction for side in right),
        kept=_stacked([_kept(tables[name], first, inference) for name in names]),
        floor=torch.stack([tables[name].floor for name in names]),
        abstained=_stacked([side.value for side in none]),
        abstention_change=_stacked([side.change for side in none]),
        truncated=torch.stack([tables[name].truncated for name in names]),
        mean_tokens=torch.stack([tables[name].mean_tokens for name in names]),
        paired=torch.tensor([tables[name].ids == first.ids for name in names]),
        n=torch.tensor([len(tables[name].ids) for name in names]),
        level=inference.level,
    )


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """A share of both models, its change, and how much more it changed in post."""

    value: list[Interval]
    change: list[Interval]
    interaction: Interval


def _sides(
    here: Float[Tensor, "reading problem"],
    there: Float[Tensor, "reading reference"],
    table: AnswerTable,
    first: AnswerTable,
    inference: Inference,
) -> _Sides:
    value = [problem_mean(row, inference=inference, proportion=True) for row in here]
    if table.ids == first.ids:
        change = [
            paired_difference(a, b, inference=inference, proportion=True)
            for a, b in zip(here, there, strict=True)
        ]
        apart = (here[1] - there[1]) - (here[0] - there[0])
        between = problem_mean(apart, inference=inference, span=2.0).within(-2.0, 2.0)
        if table is first:
            between = problem_mean(apart, inference=inference)
            change = [problem_mean(a - a, inference=inference) for a in here]
        return _Sides(value=value, change=change, interaction=between)
    before = [problem_mean(row, inference=inference, proportion=True) for row in there]
    change = [
        unpaired_difference(a, b).within(-1.0, 1.0) for a, b in zip(value, before, strict=True)
    ]
    gaps = [
        paired_difference(rows[1], rows[0], inference=inference, proportion=True)
        for rows in (here, there)
    ]
    between = unpaired_difference(*gaps).within(-2.0, 2.0)
    return _Sides(value=value, change=change, interaction=between)


def _kept(table: AnswerTable, first: AnswerTable, inference: Inference) -> list[Interval]:
    """Of what is right under the reference, how much is right here."""
    nothing = torch.full((1,), torch.nan, dtype=torch.float64)
    rows = [
        a[b == 1] if table.ids == first.ids and bool(b.any()) else nothing
        for a, b in zip(table.right, first.right, strict=True)
    ]
    return [problem_mean(row, inference=inference, proportion=True) for row in rows]


def _stacked(rows: Sequence[Sequence[Interval]]) -> Estimate:
    return Estimate.stack(Estimate.of_intervals(row) for row in rows)
