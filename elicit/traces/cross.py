"""Do a few tokens of one model carry its ability into the other's text?

The host writes; where a rule says so it takes the donor's token instead, at most so many a text.
What the tokens that post-training moved are worth is then measured, not inferred.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.rollouts import Crossed, Generation, cross_rollouts, rollouts
from elicit.runs import Execution
from elicit.stats import Inference, paired_difference, paired_permutation, problem_mean
from elicit.surroundings import guarded
from elicit.tasks import Task
from elicit.texts import token_texts
from elicit.traces.errors import TraceError
from elicit.traces.takes import RULES, TakeRule, takes_of

SideName = Literal["base", "post"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Crossing(Result):
    """How right a host is that takes some tokens of a donor, by rule and budget."""

    host: str
    """Writes: `base` or `post`."""
    donor: str
    """Whose tokens are taken."""
    rule: tuple[str, ...]
    """Where they are taken."""
    budget: Float[Tensor, " budget"]
    """Most tokens a text that differ from the host's own; infinite is without end."""
    problem: tuple[str, ...]
    """Problems, the unit of every interval."""
    writer: tuple[str, ...]
    """Who writes alone: the host, then the donor."""
    alone: Annotated[Estimate, "writer"]
    """Accuracy of each model's own greedy texts."""
    alone_correct: Bool[Tensor, "writer problem"]
    """Whether each of these texts is right."""
    accuracy: Annotated[Estimate, "rule budget"]
    """Of the host's texts with tokens of the donor."""
    change: Annotated[Estimate, "rule budget"]
    """Its difference to the host's own accuracy, paired by problem."""
    p: Float[Tensor, "rule budget"]
    """Two-sided p-value of the change, not adjusted."""
    used: Annotated[Estimate, "rule budget"]
    """Tokens a text that were taken and were not the host's own."""
    correct: Bool[Tensor, "rule budget problem"]
    """Whether the text is right."""
    n_used: Int[Tensor, "rule budget problem"]
    """Tokens of it that are the donor's and not the host's own."""
    taken_problem: tuple[str, ...]
    """Problem of every token that was taken at the smallest budget under the first rule that is not
    random."""
    taken_at: Int[Tensor, " taken"]
    """Tokens of the text before it."""
    taken_text: tuple[str, ...]
    """The donor's token."""
    replaced_text: tuple[str, ...]
    """What the host would have written."""


@guarded
def cross_sampled(
    pair: ModelPair,
    task: Task,
    *,
    host: SideName,
    rules: Sequence[TakeRule] = RULES,
    budgets: Sequence[int | None] = (1, 3, None),
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Crossing:
    """Write with one model, take the other's token at some places, and grade.

    Budgets count tokens that differ from what the host would have written, so two equal models use
    none. Without a budget and at a threshold of 0 the text is the donor's.

    Args:
        pair: The two models.
        task: Problems, prompted as they stand.
        host: Which model writes; the other is the donor.
        rules: Where tokens are taken, each once.
        budgets: Most such tokens a text, at least 1, each once; None is without end.
        generation: Greedy, one text a problem.
        inference: Coverage and resamples; its seed draws the random places.
        execution: Checkpoint and progress.

    Raises:
        TraceError: There is no rule or budget, or one is repeated or useless.
        RolloutError: Texts are to be sampled, or see `rollouts.rollouts`.

    Source: Meng et al. 2026 (arXiv:2603.22446), greedy and with a budget a text; tokens that are
        the same in both models are free here.
    """
    _check(rules, budgets)
    ordered = sorted(budgets, key=_number)
    sides = {name: pair.side(name) for name in ("base", "post")}
    donor: SideName = "post" if host == "base" else "base"
    own, other = (
        rollouts(
            sides[name],
            task,
            generation=generation,
            seed=inference.seed,
            execution=execution.scoped(f"crossing/{name}"),
        )
        for name in (host, donor)
    )
    shape = (len(rules), len(budgets), len(task))
    correct, n_used = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.long)
    taken: list[Crossed] = []
    others = [i for i, rule in enumerate(rules) if rule.kind != "random"]
    # What random places are matched with is written before them.
    for numbers in (others, [i for i in range(len(rules)) if i not in others]):
        if not numbers:
            continue
        matched = list(n_used[others[0]]) if taken else [None] * len(ordered)
        arms = [
            takes_of(rules[i], budget, own, inference.seed, count)
            for i in numbers
            for budget, count in zip(ordered, matched, strict=True)
        ]
        found = cross_rollouts(
            sides[host],
            sides[donor],
            task,
            arms,
            generation=generation,
            execution=execution.scoped(f"crossing/{host}-{donor}"),
        )
        correct[numbers] = found.rollouts.correct.view(len(numbers), *shape[1:])
        n_used[numbers] = found.n_taken.view(len(numbers), *shape[1:])
        taken.append(found)
    return Crossing(
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "cross_sampled",
                "host": host,
                "rules": [str(rule) for rule in rules],
                "max_new_tokens": generation.max_new_tokens,
                "templated": generation.templated,
                "level": inference.level,
            },
            task_digests={"task": task.digest},
        ),
        host=host,
        donor=donor,
        rule=tuple(str(rule) for rule in rules),
        budget=torch.tensor([_number(budget) for budget in ordered]),
        problem=tuple(problem.id for problem in task),
        writer=(host, donor),
        alone=Estimate.of_intervals(
            problem_mean(each.correct.double(), inference=inference, proportion=True)
            for each in (own, other)
        ),
        alone_correct=torch.stack([own.correct, other.correct]),
        correct=correct,
        n_used=n_used,
        **_numbers(correct, n_used, own.correct, inference),
        **_taken(pair, taken[0], task),
    )


def _check(rules: Sequence[TakeRule], budgets: Sequence[int | None]) -> None:
    if not rules or len(set(rules)) < len(rules):
        raise TraceError(
            f"the rules are {[str(rule) for rule in rules]}, and each is measured once. Pass one "
            "or more, each once."
        )
    wrong = [budget for budget in budgets if budget is not None and budget < 1]
    if not budgets or wrong or len(set(budgets)) < len(budgets):
        raise TraceError(
            f"the budgets are {list(budgets)}. A text with no token of the donor is the host's "
            "own, which is graded in any case, and a repeated one adds nothing. Pass budgets from "
            "1 up, each once, None for one without end."
        )


def _number(budget: int | None) -> float:
    return float("inf") if budget is None else float(budget)


def _numbers(
    correct: Bool[Tensor, "rule budget problem"],
    n_used: Int[Tensor, "rule budget problem"],
    own: Bool[Tensor, " problem"],
    inference: Inference,
) -> dict[str, Any]:
    """Accuracies, changes and tokens used, with intervals over problems."""
    shape = correct.shape[:2]
    rows, before = correct.flatten(0, 1).double(), own.double()

    def shaped(found: Estimate) -> Estimate:
        return found.map(lambda ends: ends.view(shape))

    changes = [paired_difference(r, before, inference=inference, proportion=True) for r in rows]
    p = [
        paired_permutation(
            r, before, n_resamples=inference.n_resamples, seed=inference.seed
        ).p
        if len(r) >= 2 else float("nan")
        for r in rows
    ]  # fmt: skip
    used = [
        problem_mean(row.double(), inference=inference, method="bca")
        for row in n_used.flatten(0, 1)
    ]
    return {
        "accuracy": shaped(
            Estimate.of_intervals(
                problem_mean(row, inference=inference, proportion=True) for row in rows
            )
        ),
        "change": shaped(Estimate.of_intervals(changes)),
        "p": torch.tensor(p, dtype=torch.float64).view(shape),
        "used": shaped(Estimate.of_intervals(used)),
    }


def _taken(pair: ModelPair, found: Crossed, task: Task) -> dict[str, Any]:
    """Tokens taken in the first arm, at the smallest budget."""
    here = found.taken_row < len(task)
    given, before = found.taken_id[here].tolist(), found.replaced_id[here].tolist()
    texts = token_texts(pair.alignment, [*given, *before])
    return {
        "taken_problem": tuple(task.problems[row].id for row in found.taken_row[here].tolist()),
        "taken_at": found.taken_at[here],
        "taken_text": tuple(texts[i] for i in given),
        "replaced_text": tuple(texts[i] for i in before),
    }
