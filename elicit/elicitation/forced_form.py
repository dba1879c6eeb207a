"""Forced form: is base right once it has to begin as post begins?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.elicitation._shares import accuracies, share_or_reason
from elicit.elicitation.errors import ElicitationError
from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.rollouts import Generation, Rollouts, rollouts
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.tasks import Task, check


@dataclass(frozen=True, eq=False, kw_only=True)
class ForcedForm(Result):
    """How often base is right when its text must begin with post's first tokens."""

    problem: tuple[str, ...]
    """Id of each problem."""
    opener: tuple[str, ...]
    """What base had to begin with on each. Text of a model: never trusted."""
    n_forced: Int[Tensor, " problem"]
    """Tokens of it; fewer than `n_first` where more would give the right answer away or end the
    text."""
    right: Float[Tensor, " problem"]
    """Whether the text is right."""
    base: Float[Tensor, " problem"]
    """Whether base's own text is."""
    post: Float[Tensor, " problem"]
    """Whether post's is."""
    accuracy: Annotated[Estimate, "text"]
    """Share right of each kind of text."""
    text: tuple[str, ...]
    """`base`, `base after post's first tokens`, `post`."""
    share: Annotated[Estimate, ""]
    """Share of the gap that the opener closes, never clipped; NaN where `no_share` says why."""
    no_share: str
    """Why there is no share; empty where there is one."""
    n_first: int
    """Most tokens that were forced."""
    written: tuple[str, ...]
    """The texts, openers included. Text of a model: never trusted."""


def forced_form(
    pair: ModelPair,
    task: Task,
    *,
    n_first: int = 1,
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> ForcedForm:
    """Let base write on from the first tokens of post's own greedy text to each problem.

    An opener is cut before the right answer stands in it, because it would then be told, and before
    a token that ends the text.

    Args:
        pair: The two models.
        task: Problems.
        n_first: Tokens of post's text that base must begin with.
        generation: How greedy texts are written; one for each problem.
        inference: Coverage, resamples and seed.
        execution: Checkpoint and progress.

    Raises:
        ElicitationError: Several texts a problem are asked for, `n_first` is below 1, or no problem
            has an opener that does not give the answer away.
    """
    if generation.n_samples != 1 or generation.temperature:
        raise ElicitationError(
            f"generation has temperature {generation.temperature:g} and {generation.n_samples} "
            "samples, and post's greedy beginning is forced on base's greedy text. Pass "
            "temperature 0 and one sample."
        )
    if n_first < 1:
        raise ElicitationError(
            f"n_first is {n_first}, so base would begin as it likes. Pass 1 or more."
        )
    base, post = pair.side("base"), pair.side("post")
    how = {"generation": generation, "seed": inference.seed}
    own = rollouts(base, task, **how, execution=execution.scoped("forced/base"))
    theirs = rollouts(post, task, **how, execution=execution.scoped("forced/post"))
    prefixes = openers(pair, task, theirs, n_first=n_first, generation=generation)
    if not any(prefixes.values()):
        raise ElicitationError(
            f"every text of post gives the right answer within its first token on the {len(task)} "
            "problems, so there is no form apart from the answer that could be forced. Leave the "
            "forced form out."
        )
    forced = rollouts(
        base, task, **how, prefixes={at: ids for at, ids in prefixes.items() if ids},
        execution=execution.scoped(f"forced/{n_first}"),
    )  # fmt: skip
    rows = torch.stack([one.correct.double() for one in (own, forced, theirs)])
    share, why = share_or_reason(rows[1], rows[0], rows[2], inference)
    return ForcedForm(
        provenance=pair.provenance(
            inference.seed,
            {"question": "forced_form", "n_first": n_first, "level": inference.level},
            task_digests={task.name: task.digest},
        ),
        problem=tuple(prefixes),
        opener=tuple(pair.alignment.decode(list(ids)) for ids in prefixes.values()),
        n_forced=torch.tensor([len(ids) for ids in prefixes.values()]),
        right=rows[1],
        base=rows[0],
        post=rows[2],
        accuracy=accuracies(rows, inference),
        text=("base", "base after post's first tokens", "post"),
        share=share,
        no_share=why,
        n_first=n_first,
        written=forced.text,
    )


def openers(
    pair: ModelPair, task: Task, texts: Rollouts, *, n_first: int, generation: Generation
) -> Mapping[str, Sequence[int]]:
    """First tokens of each problem's text, cut before they end it or give the right answer away.

    Args:
        pair: The two models.
        task: The problems, in the order of the texts.
        texts: One text for each problem.
        n_first: Most tokens.
        generation: How answers are found.
    """
    ends = set(texts.sampling.stop_ids)
    found = {}
    for row, problem in enumerate(task):
        ids = texts.ids(row)[:n_first]
        ids = ids[: next((i for i, token in enumerate(ids) if token in ends), len(ids))]
        while ids and check(pair.alignment.decode(ids), problem, generation.extract).correct:
            ids = ids[:-1]
        found[problem.id] = tuple(ids)
    return found
