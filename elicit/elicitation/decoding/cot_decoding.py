"""CoT-decoding: branch at the first token, and take the answer that a branch is surest of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.elicitation.decoding._branches import CURVES, PICKS, BranchTable
from elicit.elicitation.decoding._final_answers import FinalAnswer, final_answer
from elicit.elicitation.decoding._first_tokens import first_ranks
from elicit.elicitation.decoding._provenance import model_name, provenance
from elicit.elicitation.errors import ElicitationError
from elicit.pair import Side, weights_digest
from elicit.results import Estimate, Result
from elicit.rollouts import Branched, Generation, Rollouts, branch_rollouts, rollouts
from elicit.runs import Execution
from elicit.stats import Inference, joint_estimate
from elicit.tasks import Task


@dataclass(frozen=True, eq=False, kw_only=True)
class CotDecoding(Result):
    """How often the picked branch is right, by the number of first tokens that are branched into.

    A branch counts if its text ended by itself and names one final answer. Where none counts, the
    greedy text stands. An accuracy that rises with k and an oracle that does not differ from it
    say that the model's confidence finds the better branch; an oracle far above says that it does
    not.
    """

    problem: tuple[str, ...]
    """Id of each problem."""
    k: Int[Tensor, " k"]
    """Most probable first tokens that are branched into; a branch is the k-th for which it is the
    last."""
    pick: tuple[str, ...]
    """How the answer is picked; see `Pick`."""
    curve: tuple[str, ...]
    """The picks, and `oracle`: any branch is right, or the greedy text is."""
    right: Float[Tensor, "problem k curve"]
    """Whether the picked text is right, or any is."""
    accuracy: Annotated[Estimate, "k curve"]
    """Mean over problems, with intervals simultaneous over k and curve."""
    chosen: Int[Tensor, "problem k pick"]
    """The branch whose text is picked, by its rank from 1."""
    first_prob: Float[Tensor, "problem k"]
    """Probability of each branch's first token; NaN where the branch was left out."""
    confidence: Float[Tensor, "problem k"]
    """Mean lead in probability of the first token over the second, at the tokens of each branch's
    answer; NaN where the branch does not count."""
    branch_right: Bool[Tensor, "problem k"]
    """Whether each branch counts and is right."""
    n_tokens: Int[Tensor, "problem k"]
    """Tokens of each branch; 0 where it was left out."""
    text: tuple[str, ...]
    """Text of each branch, by problem and then by rank; empty where it was left out. Text of a
    model: never trusted."""
    min_first: float
    """Least probability of a first token as a share of the most probable one's."""
    target: str
    """Name of the model that is compared with; empty where there is none."""
    target_rank: Int[Tensor, " problem"] | None
    """Rank that the target's own first token has for this model, from 1; None without a target."""
    target_accuracy: float
    """Accuracy of the target's greedy texts; NaN without a target."""
    k50: Int[Tensor, " curve"]
    """Fewest branches whose accuracy is half of the target's (of 1 without one); 0 if none."""
    k90: Int[Tensor, " curve"]
    """The same for nine tenths of it."""
    level: float
    """Nominal coverage of the intervals."""

    def texts(self, k: int, pick: str) -> tuple[str, ...]:
        """The text that is picked for each problem.

        Args:
            k: Branches.
            pick: How it is picked.

        Raises:
            ElicitationError: There are not so many branches, or no such pick.
        """
        at, by = self._place(k, pick)
        width = len(self.k)
        ranks = self.chosen[:, at, by].tolist()
        return tuple(self.text[i * width + rank - 1] for i, rank in enumerate(ranks))

    def cost(self, k: int) -> int:
        """Tokens of all branches up to the k-th, of all problems.

        Args:
            k: Branches.
        """
        return int(self.n_tokens[:, : self._place(k, self.pick[0])[0] + 1].sum())

    def _place(self, k: int, pick: str) -> tuple[int, int]:
        if k not in self.k.tolist() or pick not in self.pick:
            raise ElicitationError(
                f"k is {k} and pick {pick!r}, and there are 1 to {len(self.k)} branches and "
                f"{', '.join(self.pick)}. Pass one of these."
            )
        return k - 1, self.pick.index(pick)


def cot_decoding(
    side: Side,
    task: Task,
    *,
    branches: int = 10,
    min_first: float = 0.01,
    target: Side | None = None,
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> CotDecoding:
    """Branch into the most probable first tokens, write greedily, and pick by confidence.

    Args:
        side: The model.
        task: Problems with their reference answers; which pick and k are best must be chosen on
            others.
        branches: First tokens of each problem, at least 1.
        min_first: Least probability of a first token as a share of the most probable one's. Most
            tokens begin nothing a model has learnt; what follows them is noise, and the surest of
            many noisy answers beats a sure one. 0 branches into them too, as the paper does.
        target: Model whose first token is ranked and whose accuracy is to be reached.
        generation: How greedy texts are written; one for each branch.
        inference: Coverage, resamples and seed.
        execution: Checkpoint and progress.

    Raises:
        RolloutError: Texts are to be sampled, or see `branch_rollouts`.
        TaskError: See `rollouts`.

    Source: Wang & Zhou 2024, arXiv:2402.10200, eq. 1; its `aggregate` is `sum` here. Departures:
        `min_first`, texts that did not end do not count, and the first token has the confidence
        that the model gives it.
    """
    found = branch_rollouts(
        side,
        task,
        branches=branches,
        min_first=min_first,
        generation=generation,
        execution=execution.scoped("branches"),
    )
    answers = _answers(side, task, found, generation)
    table = BranchTable(found, answers, n_problems=len(task), branches=branches)
    chosen, right = table.picked()
    reference = (
        None
        if target is None
        else rollouts(target, task, generation=generation, execution=execution.scoped("target"))
    )
    aim = math.nan if reference is None else reference.correct.double().mean().item()
    return CotDecoding(
        provenance=provenance(
            side,
            task,
            {
                "question": "cot_decoding",
                "branches": branches,
                "min_first": min_first,
                "target_digest": None if target is None else weights_digest(target.bridge),
            },
            generation=generation,
            inference=inference,
        ),
        problem=tuple(problem.id for problem in task),
        k=torch.arange(1, branches + 1),
        pick=PICKS,
        curve=CURVES,
        right=right,
        accuracy=joint_estimate(right, inference=inference, proportion=True),
        chosen=chosen,
        first_prob=table.first_prob,
        confidence=table.confidence,
        branch_right=table.branch_right,
        n_tokens=table.n_tokens,
        text=table.text,
        min_first=min_first,
        target="" if target is None else model_name(target),
        target_rank=None if reference is None else _ranks(side, reference),
        target_accuracy=aim,
        k50=_reached(right, 0.5, aim),
        k90=_reached(right, 0.9, aim),
        level=inference.level,
    )


def _answers(
    side: Side, task: Task, found: Branched, generation: Generation
) -> list[FinalAnswer | None]:
    """The final answer of every branch that counts."""
    alignment, written = side.alignment, found.rollouts
    reader = alignment.template_tokenizer if generation.templated else alignment.tokenizer

    def read(ids: Sequence[int]) -> str:
        return str(reader.decode(list(ids), skip_special_tokens=True))

    return [
        None
        if bool(written.truncated[row])
        else final_answer(
            written.ids(row),
            task.problems[int(written.place[row])],
            generation.extract,
            read=read,
        )
        for row in range(len(written))
    ]


def _ranks(side: Side, texts: Rollouts) -> Int[Tensor, " problem"]:
    """Rank that the first token of each problem's text has after its prompt, from 1."""
    rows = [(texts.prompt_ids(row), texts.ids(row)[0]) for row in range(len(texts))]
    return first_ranks(side, rows)


def _reached(
    right: Float[Tensor, "problem k curve"], share: float, aim: float
) -> Int[Tensor, " curve"]:
    """Fewest branches with which each curve has a share of an accuracy; 0 if none has."""
    least = share * (1.0 if math.isnan(aim) else aim)
    # A mean of as many ones is the accuracy itself only up to rounding.
    enough = right.mean(0) >= least - 1e-9
    return torch.where(enough.any(0), enough.long().argmax(0) + 1, 0)
