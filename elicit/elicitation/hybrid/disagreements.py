"""Where base and post would write different tokens."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from elicit.elicitation.errors import ElicitationError
from elicit.elicitation.hybrid._reading import greedy_ids
from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.rollouts import Generation, Rollouts, rollouts
from elicit.runs import Execution
from elicit.stats import Inference, problem_mean
from elicit.tasks import Task
from elicit.texts import TokenRows, token_texts

WriterName = Literal["base", "post"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Disagreements(Result):
    """Tokens at which base's greedy choice is not post's, along texts of one of them.

    Both models read the same texts; every token is counted, the one that ends a text included.
    """

    writer: str
    """Who wrote the texts: `base` or `post`."""
    problem: tuple[str, ...]
    """Problems, one greedy text each."""
    n_tokens: Int[Tensor, " problem"]
    """Tokens of each text."""
    n_differ: Int[Tensor, " problem"]
    """Of these, tokens at which the two differ."""
    per_text: Annotated[Estimate, ""]
    """Tokens a text at which they differ."""
    share: Annotated[Estimate, ""]
    """Mean over texts of the share of tokens at which they differ."""
    place: Int[Tensor, " token"]
    """Problem of each such token, counted from 0."""
    at: Int[Tensor, " token"]
    """Tokens of the text before it."""
    base_id: Int[Tensor, " token"]
    """What base would write there."""
    post_id: Int[Tensor, " token"]
    """What post would write there."""
    base_text: tuple[str, ...]
    """Base's token as text; never trusted."""
    post_text: tuple[str, ...]
    """Post's token as text; never trusted."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Differing:
    """Texts whose every token is read, and where the two models differ in them."""

    rollouts: Rollouts
    """The texts."""
    rows: TokenRows
    """The same with their prompts."""
    base_id: Int[Tensor, " read"]
    """Base's greedy choice at every token."""
    post_id: Int[Tensor, " read"]
    """Post's."""
    result: Disagreements
    """What is reported of them."""


def disagreements(
    pair: ModelPair,
    task: Task,
    *,
    writer: WriterName = "post",
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Disagreements:
    """Where the greedy tokens of base and post differ, along greedy texts of one of them.

    Args:
        pair: The two models.
        task: Problems, one text each.
        writer: Who writes the texts that both read.
        generation: Greedy, one text a problem.
        inference: Coverage, resamples and seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        ElicitationError: They differ at no token, or texts are to be sampled.
        TaskError: See `rollouts`.
    """
    return differing(
        pair,
        task,
        writer=writer,
        generation=generation,
        inference=inference,
        execution=execution,
    ).result


def differing(
    pair: ModelPair,
    task: Task,
    *,
    writer: WriterName,
    generation: Generation,
    inference: Inference,
    execution: Execution,
) -> Differing:
    """The same with what a fit needs; see `disagreements`."""
    if generation.temperature > 0:
        raise ElicitationError(
            f"texts are to be sampled at temperature {generation.temperature}, and where greedy "
            "choices differ is asked along greedy texts. Pass temperature=0."
        )
    texts = rollouts(
        pair.side(writer),
        task,
        generation=generation,
        seed=inference.seed,
        execution=execution.scoped(f"hybrid/{writer}"),
    )
    rows = TokenRows.of_rollouts(texts, task, skip=(), source=writer)
    base, post = (greedy_ids(pair.side(name), rows, execution) for name in ("base", "post"))
    differ = base != post
    if not bool(differ.any()):
        raise ElicitationError(
            f"base and post choose the same token at all {len(differ)} tokens of {len(task)} texts "
            f"of {writer}, so there is nothing that a guide could change. Pass a pair that "
            "differs, or other problems."
        )
    row, _ = rows.index
    number = torch.arange(len(differ)) - (texts.n_tokens.cumsum(0) - texts.n_tokens)[row]
    count = torch.bincount(row[differ], minlength=len(task))
    words = token_texts(pair.alignment, [*base[differ].tolist(), *post[differ].tolist()])

    def mean(values: Tensor) -> Estimate:
        return _scalar(problem_mean(values.double(), inference=inference, method="bca"))

    result = Disagreements(
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "disagreements",
                "writer": writer,
                "max_new_tokens": generation.max_new_tokens,
                "templated": generation.templated,
                "level": inference.level,
            },
            task_digests={"task": task.digest},
        ),
        writer=writer,
        problem=texts.problem,
        n_tokens=texts.n_tokens,
        n_differ=count,
        per_text=mean(count),
        share=mean(count / texts.n_tokens),
        place=row[differ],
        at=number[differ],
        base_id=base[differ],
        post_id=post[differ],
        base_text=tuple(words[i] for i in base[differ].tolist()),
        post_text=tuple(words[i] for i in post[differ].tolist()),
    )
    return Differing(rollouts=texts, rows=rows, base_id=base, post_id=post, result=result)


def _scalar(interval: object) -> Estimate:
    """One number with its interval, on no axis."""
    return Estimate.of_intervals([interval])[0]  # pyright: ignore[reportArgumentType]
