"""Thinking off, free and on, for whole questions and for those that lack a premise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.traces.abstentions import ABSTENTIONS
from elicit.traces.conditions import Condition, Conditions, conditions
from elicit.traces.errors import TraceError


@dataclass(frozen=True, eq=False, kw_only=True)
class Thinking(Result):
    """What thinking does to answers, and to questions without one, by model.

    `detected` is no share of texts without a number: broken text has none either. Only a text
    that says that there is no answer, and gives none after that, has seen what is missing.
    """

    mode: tuple[str, ...]
    """How models were made to think, the reference first."""
    reading: tuple[str, ...]
    """`base`, `post`."""
    accuracy: Annotated[Estimate, "mode reading"]
    """Share of right answers to whole questions."""
    accuracy_change: Annotated[Estimate, "mode reading"]
    """The same less that of the first mode."""
    accuracy_interaction: Annotated[Estimate, "mode"]
    """Post's change less base's."""
    detected: Annotated[Estimate, "mode reading"]
    """Share of questions without a premise to which a text abstains."""
    detected_change: Annotated[Estimate, "mode reading"]
    """The same less that of the first mode."""
    refused: Annotated[Estimate, "mode reading"]
    """Share of whole questions to which a text abstains: refusing all detects nothing."""
    n: Int[Tensor, " mode"]
    """Whole questions."""
    n_missing: Int[Tensor, " mode"]
    """Questions without a premise; 0 where there are none."""
    truncated: Float[Tensor, "mode reading"]
    """Share of texts to whole questions that were cut before they ended."""
    level: float
    """Nominal coverage of the intervals, each of one number alone."""


def thinking(
    pair: ModelPair,
    whole: Mapping[str, Condition],
    missing: Mapping[str, Condition] | None = None,
    *,
    abstentions: Sequence[str] = ABSTENTIONS,
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Thinking:
    """Let both models answer with thinking off, free and on, whole questions and such without one.

    Modes differ in their prompts (`/no_think`), in what texts begin with (the answer's lead-in, a
    think tag), or in both: each is a `Condition`.

    Args:
        pair: The two models.
        whole: Questions with an answer by mode, say `off`, `free` and `on`; the first is the
            reference.
        missing: The same questions with a premise taken out, by the same modes; None leaves
            `detected` out.
        abstentions: Words or phrases that say that there is no answer.
        generation: How texts are written.
        inference: Coverage, resamples and seed.
        execution: Checkpoint and progress.

    Raises:
        TraceError: Modes of both differ, there are fewer than two, or an opener merges with a
            prompt.

    Source: questions with one variable removed as in 2507.23407; there any text without a number
        counts as detection.
    """
    if missing is not None and list(missing) != list(whole):
        raise TraceError(
            f"whole questions have the modes {list(whole)} and those without a premise "
            f"{list(missing)}, so they could not be compared. Give both in the same modes and "
            "order."
        )

    def asked(of: Mapping[str, Condition], name: str) -> Conditions:
        return conditions(
            pair,
            of,
            abstentions=abstentions,
            generation=generation,
            inference=inference,
            execution=execution.scoped(f"thinking/{name}"),
        )

    told = asked(whole, "whole")
    lacking = None if missing is None else asked(missing, "missing")
    nothing = Estimate.missing(len(told.condition), 2)
    return Thinking(
        provenance=told.provenance,
        mode=told.condition,
        reading=told.reading,
        accuracy=told.accuracy,
        accuracy_change=told.change,
        accuracy_interaction=told.interaction,
        detected=nothing if lacking is None else lacking.abstained,
        detected_change=nothing if lacking is None else lacking.abstention_change,
        refused=told.abstained,
        n=told.n,
        n_missing=torch.zeros_like(told.n) if lacking is None else lacking.n,
        truncated=told.truncated,
        level=told.level,
    )
