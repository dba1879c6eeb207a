"""The dial: accuracy of texts written between base and post, and beyond post."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation.errors import ElicitationError
from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.rollouts import Dial, Generation, rollouts
from elicit.runs import Execution
from elicit.stats import Inference, joint_estimate
from elicit.tasks import Task


@dataclass(frozen=True, eq=False, kw_only=True)
class DialCurve(Result):
    """Accuracy of greedy texts by how far base's logits are moved towards post's.

    A jump at a small share says that post tips a choice that base nearly makes; an accuracy that
    rises evenly, or only at 1, says that post's logits are needed throughout.
    """

    problem: tuple[str, ...]
    """Id of each problem."""
    alpha: Float[Tensor, " alpha"]
    """How far: 0 is base and 1 post, token for token; beyond 1 the difference is exaggerated."""
    right: Float[Tensor, "problem alpha"]
    """Whether the text is right."""
    accuracy: Annotated[Estimate, "alpha"]
    """Mean over problems, with intervals simultaneous over alpha."""
    same_as_post: Float[Tensor, " alpha"]
    """Share of texts that are post's, token for token; NaN where alpha 1 was not among them."""
    n_tokens: Float[Tensor, " alpha"]
    """Mean tokens of a text."""
    threshold: float
    """Least alpha at which accuracy is halfway from base's to post's; NaN where none is, or one of
    the two was not among them."""
    text: tuple[str, ...]
    """The texts, by alpha and then by problem. Text of a model: never trusted."""
    level: float
    """Nominal coverage of the intervals."""


def dial(
    pair: ModelPair,
    task: Task,
    *,
    alphas: Sequence[float] = (0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0),
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> DialCurve:
    """Write greedy texts from (1 - alpha)·base + alpha·post logits.

    Args:
        pair: The two models.
        task: Problems with their reference answers.
        alphas: How far to go, each once; 0 and 1 are the models alone.
        generation: How greedy texts are written.
        inference: Coverage, resamples and seed.
        execution: Checkpoint and progress.

    Raises:
        ElicitationError: There is no alpha, or one is repeated.
        RolloutError: See `rollouts`.
    """
    given = [float(alpha) for alpha in alphas]
    if not given or len(set(given)) < len(given):
        raise ElicitationError(
            f"alphas is {given}, and each is a point of the curve. Pass one or more, each once."
        )
    given.sort()
    base, post = pair.side("base"), pair.side("post")
    texts = [
        rollouts(
            base,
            task,
            generation=generation,
            seed=inference.seed,
            rule=Dial(towards=post, a=alpha),
            execution=execution.scoped(f"dial/{alpha!r}"),
        )
        for alpha in given
    ]
    right = torch.stack([one.correct.double().view(len(task), -1).mean(1) for one in texts], dim=1)
    mean, same = right.mean(0), torch.full((len(given),), torch.nan, dtype=torch.float64)
    if 1.0 in given:
        goal = texts[given.index(1.0)]
        wanted = [goal.ids(row) for row in range(len(goal))]
        for at, one in enumerate(texts):
            equal = [one.ids(row) == wanted[row] for row in range(len(one))]
            same[at] = sum(equal) / len(equal)
    threshold = float("nan")
    if {0.0, 1.0} <= set(given):
        low, high = mean[given.index(0.0)], mean[given.index(1.0)]
        halfway = (low + high) / 2
        past = mean >= halfway if high > low else mean <= halfway
        reached = [alpha for alpha, yes in zip(given, past.tolist(), strict=True) if yes]
        threshold = min(reached) if low != high else threshold
    return DialCurve(
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "dial",
                "alphas": given,
                "max_new_tokens": generation.max_new_tokens,
                "templated": generation.templated,
                "level": inference.level,
            },
            task_digests={task.name: task.digest},
        ),
        problem=tuple(problem.id for problem in task),
        alpha=torch.tensor(given, dtype=torch.float64),
        right=right,
        accuracy=joint_estimate(right, inference=inference, proportion=generation.n_samples == 1),
        same_as_post=same,
        n_tokens=torch.stack([one.n_tokens.double().mean() for one in texts]),
        threshold=threshold,
        text=tuple(text for one in texts for text in one.text),
        level=inference.level,
    )
