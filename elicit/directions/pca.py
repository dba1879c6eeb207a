"""Principal component of paired differences: the line along which pairs differ most."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.directions.contrast import PromptPairs
from elicit.directions.means import Estimator, directions_by
from elicit.directions.values import DirectionSet
from elicit.pair import Side
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference


def paired_pca(
    side: Side,
    pairs: PromptPairs,
    *,
    sites: Sequence[Site],
    held_out: float = 0.3,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> DirectionSet:
    """First principal component of positive minus negative activations, at each of several sites.

    It points to the positive side and is as long as the pairs' mean difference along it, so that
    scale 1 means the same as for `diff_mean`.

    Args:
        side: The model that is read.
        pairs: Prompts with and without what the direction stands for.
        sites: Sites of one width: residual streams and what is added to them, or single heads.
        held_out: Share of the problems that no direction is found on, for the AUROC, in (0, 1).
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        DirectionError: See `diff_mean`.
        SiteError: The model does not have a site.

    Source: Zou et al. 2023, arXiv:2310.01405 (RepE). Theirs centres the differences and takes the
        sign from labels; ours is about 0, because the mean is what is looked for.
    """
    return directions_by(
        Estimator("first component of paired differences", first_component),
        side,
        pairs,
        sites=sites,
        held_out=held_out,
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
