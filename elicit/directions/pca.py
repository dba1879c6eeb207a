"""First principal component of paired differences."""

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
    """First principal component of positive minus negative activations, for each site.

    It points to the positive side, with the norm of the mean difference along it, so that scale 1
    means the same as for `diff_mean`.

    Args:
        side: The model that is read.
        pairs: Positive and negative prompts.
        sites: Sites of one width: residual streams and layer outputs, or single heads.
        held_out: Share of problems held out for the AUROC, in (0, 1).
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        DirectionError: See `diff_mean`.
        SiteError: The model does not have a site.

    Source: Zou et al. 2023, arXiv:2310.01405 (RepE). Theirs centres the differences and takes the
        sign from labels; ours does not centre, because the mean is the quantity of interest.
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
    """Mean paired difference, projected on the first uncentred principal component."""
    line = torch.linalg.svd(differences, full_matrices=False).Vh[0]
    return (differences.mean(0) @ line) * line
