"""Branches of several problems, and which of them is picked."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.elicitation.decoding._final_answers import FinalAnswer
from elicit.rollouts import Branched
from elicit.tasks import same_answer

Pick = Literal["sum", "max"]
"""How the answer is picked among branches: by the confidence of all branches that give it, added
up, or by that of the surest branch."""
PICKS: tuple[Pick, ...] = ("sum", "max")
CURVES = (*PICKS, "oracle")
"""The two picks, and whether any branch is right."""


class BranchTable:
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
