"""CoT-decoding: branch at the first token, and take the answer that a branch is surest of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.elicitation.decoding._final_answers import FinalAnswer, final_answer
from elicit.elicitation.decoding._first_tokens import first_ranks
from elicit.elicitation.decoding._provenance import model_name, provenance
from elicit.elicitation.errors import ElicitationError
from elicit.pair import Side, weights_digest
from elicit.results import Estimate, Result
from elicit.rollouts import Branched, Generation, Rollouts, branch_rollouts, rollouts
from elicit.runs import Execution
from elicit.stats import Inference, joint_estimate
from elicit.tasks import Task, same_answer

Pick = Literal["sum", "max"]
"""How the answer is picked among branches: by the confidence of all branches that give it, added
up, or by that of the surest branch."""
PICKS: tuple[Pick, ...] = ("sum", "max")
CURVES = (*PICKS, "oracle")
"""The two picks, and whether any branch is right."""


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
    table = _Table(found, answers, n_problems=len(task), branches=branches)
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


class _Table:
    """Branches of all problems, by problem and rank."""

    def __init__(
        self,
        found: Branched,
        answers: Sequence[FinalAnswer | None],
        *,
        n_problems: int,
        branches: int,
    ) -> None:
        written = found.rollouts
        at = (written.place, written.sample)
        empty = torch.full((n_problems, branches), torch.nan, dtype=torch.float64)
        self.first_prob, self.confidence = empty.clone(), empty.clone()
        self.first_prob[at] = found.first_prob
        self.n_tokens = torch.zeros(n_problems, branches, dtype=torch.long)
        self.n_tokens[at] = written.n_tokens
        self.branch_right = torch.zeros(n_problems, branches, dtype=torch.bool)
        self.greedy_right = torch.zeros(n_problems, dtype=torch.float64)
        texts = [""] * (n_problems * branches)
        self._answer: dict[tuple[int, int], str] = {}
        for row, answer in enumerate(answers):
            problem, rank = int(written.place[row]), int(written.sample[row])
            texts[problem * branches + rank] = written.text[row]
            if rank == 0:
                self.greedy_right[problem] = written.correct[row].double()
            if answer is not None:
                self._answer[problem, rank] = answer.value
                lead = found.margins(row)[answer.first : answer.end]
                self.confidence[problem, rank] = lead.mean()
                self.branch_right[problem, rank] = answer.right
        self.text = tuple(texts)

    def picked(self) -> tuple[Int[Tensor, "problem k pick"], Float[Tensor, "problem k curve"]]:
        """Rank of the picked branch from 1, and whether it, or any, is right."""
        n, branches = self.confidence.shape
        chosen = torch.ones(n, branches, len(PICKS), dtype=torch.long)
        right = self.greedy_right[:, None, None].repeat(1, branches, len(CURVES))
        for problem in range(n):
            groups: list[tuple[str, list[int]]] = []
            for k in range(branches):
                if (problem, k) in self._answer:
                    value = self._answer[problem, k]
                    group = next((rows for told, rows in groups if same_answer(told, value)), None)
                    if group is None:
                        groups.append((value, [k]))
                    else:
                        group.append(k)
                if not groups:
                    continue
                confidence = self.confidence[problem]
                for at, pick in enumerate(PICKS):
                    best = self._best([rows for _, rows in groups], confidence, pick)
                    chosen[problem, k, at] = best + 1
                    right[problem, k, at] = self.branch_right[problem, best].double()
                if bool(self.branch_right[problem, : k + 1].any()):
                    right[problem, k, -1] = 1.0
        return chosen, right

    @staticmethod
    def _best(groups: list[list[int]], confidence: Float[Tensor, " k"], pick: Pick) -> int:
        """The surest branch of the answer that is picked; of equal ones the most probable."""
        if pick == "max":
            rows = [row for group in groups for row in group]
        else:
            rows = max(groups, key=lambda group: float(confidence[group].sum()))
        return max(sorted(rows), key=lambda row: float(confidence[row]))


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
