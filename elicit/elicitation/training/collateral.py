"""Collateral damage: facts, and answers in a forced form, before and after training."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation.training.trained import Trained
from elicit.pair import Side, device_of, hugging_face_model
from elicit.results import Estimate, Result
from elicit.rollouts import Generation, rollouts
from elicit.runs import Execution
from elicit.stats import Inference, paired_difference, problem_mean
from elicit.tasks import Task, encode_forced, score_forced


@dataclass(frozen=True, eq=False, kw_only=True)
class Collateral(Result):
    """What training cost: accuracy on facts, and on problems whose texts begin as is forced."""

    when: tuple[str, ...]
    """`before` and `after` training."""
    fact: Float[Tensor, "when known"]
    """Whether each fact's answer is the most probable of its candidates, or would be written
    greedily where it has none."""
    facts: Annotated[Estimate, "when"]
    """Share right."""
    facts_change: Annotated[Estimate, ""]
    """After minus before."""
    form: Float[Tensor, "when problem"]
    """Whether the greedy text that begins as is forced gives the right answer; NaN where nothing
    was forced."""
    forced: Annotated[Estimate, "when"]
    """Share right."""
    forced_change: Annotated[Estimate, ""]
    """After minus before."""
    opener: str
    """What texts had to begin with."""


def collateral(
    side: Side,
    trained: Trained,
    *,
    facts: Task,
    problems: Task,
    opener: str = "",
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Collateral:
    """Facts by teacher forcing, and problems under a forced opener, before and after training.

    Args:
        side: The model that was trained.
        trained: What training left.
        facts: Questions that the model should still answer.
        problems: Problems for the forced form.
        opener: First words of every text, such as those that begin a trace; empty: not measured.
        generation: How texts are written; greedy.
        inference: Coverage, resamples and seed.
        execution: Tokens per forward pass, checkpoint and progress.

    Raises:
        TrainingError: The model is not the one that was trained.
        TaskError: A fact or problem does not fit the model.
    """
    before = _measured(side, facts, problems, opener, generation, execution.scoped("before"))
    with trained.applied(side):
        after = _measured(side, facts, problems, opener, generation, execution.scoped("after"))
    fact, form = (torch.stack(list(both)) for both in zip(before, after, strict=True))
    return Collateral(
        provenance=trained.provenance,
        when=("before", "after"),
        fact=fact,
        facts=_shares(fact, inference),
        facts_change=_change(fact, inference),
        form=form,
        forced=_shares(form, inference),
        forced_change=_change(form, inference),
        opener=opener,
    )


def fact_accuracy(
    side: Side, facts: Task, *, execution: Execution = Execution()
) -> Float[Tensor, " known"]:
    """Whether each fact's answer is the most probable candidate, or would be written greedily.

    Args:
        side: The model, alone or with what was trained.
        facts: The questions.
        execution: Tokens per forward pass.

    Raises:
        TaskError: A fact does not fit the model.
    """
    alignment, model = side.alignment, hugging_face_model(side.bridge)
    rows = encode_forced(
        facts,
        alignment.plain,
        alignment.pad_id,
        n_positions=side.n_positions,
        unknown=alignment.unknown,
        join=partial(alignment.joined, templated=False),
    )

    def logits(ids: Tensor, mask: Tensor, position_ids: Tensor) -> Tensor:
        return model(
            input_ids=ids, attention_mask=mask, position_ids=position_ids, use_cache=False
        ).logits

    device = device_of(model)
    scores = score_forced(logits, rows, max_tokens=execution.max_tokens, device=device)
    return scores.correct.double()


def _measured(
    side: Side,
    facts: Task,
    problems: Task,
    opener: str,
    generation: Generation,
    execution: Execution,
) -> tuple[Float[Tensor, " known"], Float[Tensor, " problem"]]:
    """Facts and problems of the model as it is."""
    known = fact_accuracy(side, facts, execution=execution)
    if not opener:
        return known, torch.full((len(problems),), torch.nan, dtype=torch.float64)
    forced = rollouts(
        side,
        problems,
        generation=generation,
        prefixes={problem.id: _first_tokens(side, problem.prompt, opener) for problem in problems},
        execution=execution,
    )
    return known, forced.correct.double()


def _first_tokens(side: Side, prompt: str, opener: str) -> Sequence[int]:
    """Token ids of the opener after a prompt."""
    return side.alignment.continued(prompt, opener).written


def _shares(rows: Float[Tensor, "when row"], inference: Inference) -> Estimate:
    return Estimate.of_intervals(
        problem_mean(row, inference=inference, proportion=True) for row in rows
    )


def _change(rows: Float[Tensor, "when row"], inference: Inference) -> Estimate:
    found = paired_difference(rows[1], rows[0], inference=inference, proportion=True)
    return Estimate.of_intervals([found])[0]
