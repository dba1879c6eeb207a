"""Principal component of paired differences: the line along which pairs differ most."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.directions.means import found_directions
from elicit.directions.values import DirectionSet
from elicit.pair import Alignment, Text
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference
from elicit.tasks import Task


def paired_pca(
    model: nn.Module,
    alignment: Alignment,
    positive: Task | Sequence[Text],
    negative: Task | Sequence[Text],
    *,
    at: Sequence[Site],
    position: int = -1,
    problem: Sequence[str] | None = None,
    match_tokens: bool = True,
    held_out: float = 0.3,
    templated: bool = False,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> DirectionSet:
    """First principal component of positive minus negative activations, at each of several sites.

    It points to the positive side and is as long as the pairs' mean difference along it, so that
    scale 1 means the same as for `diff_mean`.

    Args:
        model: A bridge in raw mode.
        alignment: How prompts become ids.
        positive: Prompts with what the direction stands for.
        negative: The same ones without it, row by row; tasks must hold the same problems.
        at: Sites of one width: residual streams and what is added to them, or single heads.
        position: Token that is read, from 0, or below 0 from the end.
        problem: Problem of each pair, where several pairs are about one.
        match_tokens: Whether both prompts of a pair must have the same token there.
        held_out: Share of the problems that no direction is found on, for the AUROC, in (0, 1).
        templated: Whether prompts go through the chat template.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        DirectionError: See `diff_mean`.
        SiteError: The model does not have a site.

    Source: Zou et al. 2023, arXiv:2310.01405 (RepE). Theirs centres the differences and takes the
        sign from labels; ours is about 0, because the mean is what is looked for.
    """
    return found_directions(
        model,
        alignment,
        positive,
        negative,
        estimator=first_component,
        how="first component of paired differences",
        at=at,
        position=position,
        problem=problem,
        match_tokens=match_tokens,
        held_out=held_out,
        templated=templated,
        inference=inference,
        execution=execution,
    )


def first_component(differences: Float[Tensor, "pair width"]) -> Float[Tensor, " width"]:
    """Mean of the pairs' differences, projected on the line that holds most of their squares.

    Args:
        differences: Positive minus negative activation of each pair.
    """
    line = torch.linalg.svd(differences, full_matrices=False).Vh[0]
    return (differences.mean(0) @ line) * line
