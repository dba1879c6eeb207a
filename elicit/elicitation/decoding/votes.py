"""Sampled texts: the answer that most give, and whether any of k is right."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.elicitation.decoding._provenance import provenance
from elicit.elicitation.errors import ElicitationError
from elicit.pair import Side
from elicit.results import Estimate, Result
from elicit.rollouts import Generation, Rollouts, rollouts
from elicit.runs import Execution
from elicit.stats import Inference, PassCurve, joint_estimate, pass_curve
from elicit.tasks import Task, same_answer
from elicit.traces import Ballots, vote

_SAMPLED = Generation(temperature=1.0, n_samples=16)


@dataclass(frozen=True, eq=False, kw_only=True)
class Votes(Result):
    """Accuracy of the answer that most of the first k sampled texts give, beside pass@k.

    pass@k needs to know which text is right, a vote does not: only the vote is a way of answering.
    """

    problem: tuple[str, ...]
    """Id of each problem."""
    k: Int[Tensor, " k"]
    """Texts that vote, the first of each problem."""
    right: Float[Tensor, "problem k"]
    """Chance that the vote is right, a tie counting in equal parts."""
    accuracy: Annotated[Estimate, "k"]
    """Mean over problems, with intervals simultaneous over k."""
    passed: PassCurve
    """How often any of k is right, beside what chance would reach."""
    winner: Int[Tensor, "problem k"]
    """The first text that gives the answer with most votes, by its sample number; -1 where no text
    gives one."""
    n_tokens: Float[Tensor, " k"]
    """Mean tokens of a problem's first k texts together."""
    text: tuple[str, ...]
    """All texts, by problem. Text of a model: never trusted."""
    level: float
    """Nominal coverage of the intervals."""


def majority_vote(
    side: Side,
    task: Task,
    *,
    generation: Generation = _SAMPLED,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Votes:
    """Sample texts, and take the answer that most of them give.

    Args:
        side: The model.
        task: Problems with their reference answers.
        generation: How texts are sampled, and how many a problem.
        inference: Coverage, resamples and seed of the intervals and of all random streams.
        execution: Checkpoint and progress.

    Raises:
        ElicitationError: There is one text a problem, so nothing is voted on.
        RolloutError: See `rollouts`.

    Source: Wang et al. 2023, arXiv:2203.11171 (self-consistency).
    """
    if generation.n_samples < 2:
        raise ElicitationError(
            f"n_samples is {generation.n_samples}, and one text wins every vote. Pass a "
            "temperature above 0 and n_samples of 2 or more."
        )
    texts = rollouts(
        side, task, generation=generation, seed=inference.seed, execution=execution.scoped("votes")
    )
    n = generation.n_samples
    numbers = answer_numbers(texts, task)
    answers, right = numbers.given, numbers.right
    ks = torch.arange(1, n + 1)
    problem = torch.arange(len(task)).repeat_interleave(n)
    ballots = Ballots(answer=answers.flatten(), problem=problem, right=right)
    first = [(ks - 1).repeat(len(task)) < k for k in ks.tolist()]
    shares = torch.stack([vote(ballots, kept=kept) for kept in first], dim=1)
    return Votes(
        provenance=provenance(
            side,
            task,
            {
                "question": "majority_vote",
                "temperature": generation.temperature,
                "top_p": generation.top_p,
                "n_samples": n,
            },
            generation=generation,
            inference=inference,
        ),
        problem=tuple(problem.id for problem in task),
        k=ks,
        right=shares,
        accuracy=joint_estimate(shares, inference=inference),
        passed=pass_curve(answers, right, k=ks.tolist(), inference=inference),
        winner=_winners(answers),
        n_tokens=texts.n_tokens.double().view(len(task), n).cumsum(1).mean(0),
        text=texts.text,
        level=inference.level,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class Answered:
    """Answers as numbers: the same number for the same answer in all problems."""

    given: Int[Tensor, "problem sample"]
    """Of each text; -1 where it gives none."""
    right: Int[Tensor, " problem"]
    """Of each problem's right answer."""


def answer_numbers(texts: Rollouts, task: Task) -> Answered:
    """Answers of texts as numbers; a right text has that of the right answer, however spelt.

    Args:
        texts: As many texts for each problem.
        task: The problems.
    """
    known: list[str] = []

    def number(answer: str) -> int:
        for at, other in enumerate(known):
            if same_answer(answer, other):
                return at
        known.append(answer)
        return len(known) - 1

    right = torch.tensor([number(problem.answer) for problem in task])
    given = [-1 if answer is None else number(answer) for answer in texts.extracted]
    answers = torch.tensor(given).view(len(task), -1)
    correct = texts.correct.view(len(task), -1)
    # An extractor may grade by more than the spelling.
    return Answered(given=torch.where(correct, right[:, None], answers), right=right)


def _winners(answers: Int[Tensor, "problem sample"]) -> Int[Tensor, "problem k"]:
    """First text with the answer that most of the first k give; of equal ones the earliest."""
    winners = torch.full_like(answers, -1)
    for problem, row in enumerate(answers.tolist()):
        count: dict[int, int] = {}
        for k, answer in enumerate(row):
            if answer >= 0:
                count[answer] = count.get(answer, 0) + 1
            if count:
                winners[problem, k] = row.index(max(count, key=lambda each: count[each]))
    return winners
