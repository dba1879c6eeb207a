"""Budget forcing: thoughts that are made longer by a word, or ended at their longest."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.elicitation.decoding._provenance import provenance
from elicit.elicitation.errors import ElicitationError
from elicit.pair import Side
from elicit.results import Estimate, Result
from elicit.rollouts import Generation, Rollouts, rollouts
from elicit.runs import Execution
from elicit.stats import Inference, joint_estimate
from elicit.tasks import Task


@dataclass(frozen=True, kw_only=True)
class ThoughtBudget:
    """How long a thought must and may be.

    Raises:
        ElicitationError: No thought could keep to it, or nothing would be forced.
    """

    end: str
    """Text with which a thought ends and an answer begins, such as `</think>` or `answer`."""
    wait: str = " Wait"
    """Put in place of the end of a thought that is too short, as it stands."""
    least: int = 0
    """Fewest tokens of a thought."""
    most: int | None = None
    """Most tokens of a thought; None: as many as fit."""
    most_waits: int = 1
    """How often a thought may be made longer."""

    def __post_init__(self) -> None:
        """Refuse budgets that no thought could keep to."""
        if self.least < 0 or (self.most is not None and self.most < max(self.least, 1)):
            raise ElicitationError(
                f"a thought is to have at least {self.least} and at most {self.most} tokens, which "
                "none can. Pass 0 <= least <= most."
            )
        if not self.end.strip() or not self.wait.strip() or self.most_waits < 0:
            raise ElicitationError(
                f"end is {self.end!r}, wait {self.wait!r} and most_waits {self.most_waits}, but a "
                "thought is ended or made longer by words. Pass words, and 0 waits or more."
            )
        if self.most is None and not (self.least and self.most_waits):
            raise ElicitationError(
                "neither a shortest nor a longest thought is set, so nothing would be forced. Pass "
                "least= with most_waits of 1 or more, or most=."
            )

    @property
    def name(self) -> str:
        """The budget in words."""
        waits = f"at least {self.least} tokens by {self.wait.strip()!r}, up to {self.most_waits}x"
        parts = [waits] if self.least and self.most_waits else []
        return ", ".join([*parts, *([] if self.most is None else [f"at most {self.most} tokens"])])


@dataclass(frozen=True, eq=False, kw_only=True)
class BudgetForced(Result):
    """Texts whose thoughts were made longer or ended, beside the model's own."""

    problem: tuple[str, ...]
    """Id of each problem."""
    text_kind: tuple[str, ...]
    """`own` texts, and `forced` ones."""
    right: Float[Tensor, "problem text_kind"]
    """Whether the text is right."""
    accuracy: Annotated[Estimate, "text_kind"]
    """Mean over problems, with intervals simultaneous over both."""
    n_thought: Int[Tensor, "problem text_kind"]
    """Tokens of the thought: before its end, or of the whole text where that is not in it."""
    n_tokens: Int[Tensor, "problem text_kind"]
    """Tokens of the text."""
    n_waits: Int[Tensor, " problem"]
    """How often the thought was made longer."""
    cut: Bool[Tensor, " problem"]
    """Whether it was ended at its longest."""
    text: tuple[str, ...]
    """The forced texts. Text of a model: never trusted."""
    n_forced: Int[Tensor, " problem"]
    """Tokens that were put into the text."""
    level: float
    """Nominal coverage of the intervals."""


def budget_forcing(
    side: Side,
    task: Task,
    budget: ThoughtBudget,
    *,
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> BudgetForced:
    """Write greedily, put a word where a thought would end too soon, and end one that is too long.

    Args:
        side: The model.
        task: Problems with their reference answers.
        budget: How long thoughts must and may be.
        generation: How greedy texts are written, one a problem; their longest counts all tokens.
        inference: Coverage, resamples and seed.
        execution: Checkpoint and progress.

    Raises:
        ElicitationError: Texts are to be sampled.
        RolloutError: See `rollouts`.

    Source: Muennighoff et al. 2025, arXiv:2501.19393, section 3.1: `Wait` in place of the
        end-of-thinking token, that token and the lead-in to an answer at the longest.
    """
    if generation.temperature > 0 or generation.n_samples > 1:
        raise ElicitationError(
            f"generation has temperature {generation.temperature:g} and {generation.n_samples} "
            "samples, and each text is continued from where it stands. Pass temperature 0 and one "
            "sample."
        )
    forcing = _Forcing(side, task, budget, generation, inference.seed, execution)
    own = forcing.write("own", {})
    found, n_waits = own, torch.zeros(len(task), dtype=torch.long)
    for turn in range(budget.most_waits):
        short = forcing.too_short(found)
        if not short:
            break
        n_waits[list(short)] += 1
        found = forcing.continued(f"wait/{turn}", found, short)
    long = forcing.too_long(found)
    if long:
        found = forcing.continued("end", found, long)
    right = torch.stack([one.correct.double() for one in (own, found)], dim=1)
    return BudgetForced(
        provenance=provenance(
            side,
            task,
            {
                "question": "budget_forcing",
                "end": budget.end,
                "wait": budget.wait,
                "least": budget.least,
                "most": budget.most,
                "most_waits": budget.most_waits,
            },
            generation=generation,
            inference=inference,
        ),
        problem=tuple(problem.id for problem in task),
        text_kind=("own", "forced"),
        right=right,
        accuracy=joint_estimate(right, inference=inference, proportion=True),
        n_thought=torch.tensor(
            [[forcing.thought(one, i) for one in (own, found)] for i in range(len(task))]
        ),
        n_tokens=torch.stack([own.n_tokens, found.n_tokens], dim=1),
        n_waits=n_waits,
        cut=torch.tensor([i in long for i in range(len(task))]),
        text=found.text,
        n_forced=n_waits * len(forcing.wait)
        + torch.tensor([len(forcing.end) * (i in long) for i in range(len(task))]),
        level=inference.level,
    )


class _Forcing:
    """Texts of a model that are continued from where their thoughts end."""

    def __init__(
        self,
        side: Side,
        task: Task,
        budget: ThoughtBudget,
        generation: Generation,
        seed: int,
        execution: Execution,
    ) -> None:
        self.side, self.task, self.budget = side, task, budget
        self.generation, self.seed, self.execution = generation, seed, execution
        alignment = side.alignment
        self._reader = alignment.template_tokenizer if generation.templated else alignment.tokenizer
        self.wait = self._ids(budget.wait) if budget.least else ()
        self.end = self._ids(budget.end) if budget.most is not None else ()

    def _ids(self, text: str) -> tuple[int, ...]:
        """Token ids of a text that is put into another."""
        if self.side.alignment.unknown(text, templated=self.generation.templated):
            raise ElicitationError(
                f"the tokenizer does not know a word of {text!r}, so it could not be put into a "
                "text. Use words of its vocabulary."
            )
        return tuple(int(i) for i in self._reader.encode(text, add_special_tokens=False))

    def write(self, name: str, prefixes: Mapping[str, tuple[int, ...]]) -> Rollouts:
        """Texts that begin with given tokens."""
        return rollouts(
            self.side,
            self.task,
            generation=self.generation,
            seed=self.seed,
            prefixes=prefixes,
            execution=self.execution.scoped(name),
        )

    def continued(
        self, name: str, texts: Rollouts, begun: Mapping[int, tuple[int, ...]]
    ) -> Rollouts:
        """The texts, of which some go on from other beginnings."""
        known = texts.problem
        some = replace(self.task, problems=tuple(self.task.problems[i] for i in begun))
        there = _Forcing(
            self.side, some, self.budget, self.generation, self.seed, self.execution
        ).write(name, {known[i]: ids for i, ids in begun.items()})
        place = {i: row for row, i in enumerate(begun)}
        ids = [there.ids(place[i]) if i in place else texts.ids(i) for i in range(len(texts))]

        def each(of: str) -> list:
            rows = (there if i in place else texts for i in range(len(texts)))
            return [getattr(rollout, of)[place.get(i, i)] for i, rollout in enumerate(rows)]

        return replace(
            texts,
            written=torch.tensor([token for row in ids for token in row], dtype=torch.long),
            text=tuple(each("text")),
            extracted=tuple(each("extracted")),
            n_tokens=torch.stack(each("n_tokens")),
            correct=torch.stack(each("correct")),
            truncated=torch.stack(each("truncated")),
            n_forced=torch.stack(each("n_forced")),
        )

    def thought(self, texts: Rollouts, row: int) -> int:
        """Tokens of a text before its thought ends."""
        ids = texts.ids(row)
        return next((i for i in range(len(ids)) if self._ended(ids[: i + 1])), len(ids))

    def _ended(self, ids: list[int]) -> bool:
        if ids[-1] in self.generation.stops(self.side):
            return True
        return self.budget.end.strip() in str(self._reader.decode(ids, skip_special_tokens=True))

    def too_short(self, texts: Rollouts) -> dict[int, tuple[int, ...]]:
        """Beginnings of the texts whose thoughts end too soon, up to there and with the word."""
        found = {}
        for row in range(len(texts)):
            ids, n = texts.ids(row), self.thought(texts, row)
            begun = (*ids[:n], *self.wait)
            if n < min(self.budget.least, len(ids)) and self._fits(begun):
                found[row] = begun
        return found

    def too_long(self, texts: Rollouts) -> dict[int, tuple[int, ...]]:
        """Beginnings of the texts whose thoughts are too long, up to there and with the end."""
        most, found = self.budget.most, {}
        for row in range(len(texts)) if most is not None else ():
            begun = (*texts.ids(row)[:most], *self.end)
            if self.thought(texts, row) > (most or 0) and self._fits(begun):
                found[row] = begun
        return found

    def _fits(self, begun: tuple[int, ...]) -> bool:
        """Whether something can be written after a beginning."""
        return len(begun) < self.generation.max_new_tokens
