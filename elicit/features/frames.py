"""Maps of one model's activations into the other's frame: mean shift, or rotation too."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import CrossMoments, cross_moments
from elicit.features._reading import rows_of
from elicit.features.errors import FeatureError
from elicit.pair import ModelPair
from elicit.runs import Execution
from elicit.sites import Site


@dataclass(frozen=True, eq=False, kw_only=True)
class Frame:
    """Distance-preserving map: a shift, optionally with a rotation about the mean."""

    start: Float[Tensor, " d_model"]
    """Mean that is subtracted."""
    end: Float[Tensor, " d_model"]
    """Mean that is added."""
    rotation: Float[Tensor, "d_model d_model"] | None = None
    """Orthogonal; None: shift only."""

    def into(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token d_model"]:
        """Map activations into the other frame."""
        if self.rotation is None:
            # One addition, so that equal means leave activations bitwise unchanged.
            return x + (self.end - self.start).to(x)
        return (x - self.start.to(x)) @ self.rotation.to(x) + self.end.to(x)

    def back(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token d_model"]:
        """Map activations back from the other frame."""
        if self.rotation is None:
            return x - (self.end - self.start).to(x)
        return (x - self.end.to(x)) @ self.rotation.T.to(x) + self.start.to(x)


@dataclass(frozen=True, eq=False, kw_only=True)
class Frames:
    """Fitted maps of one model's activations into the other's frame."""

    mean: Frame
    """The mean shifted."""
    rotated: Frame
    """The mean shifted and the rest rotated (orthogonal Procrustes)."""
    n_tokens: int
    """Number of tokens fitted on."""


def fit_frames(
    pair: ModelPair,
    rows: Sequence[Sequence[int]],
    *,
    site: Site,
    model: str,
    execution: Execution = Execution(),
) -> Frames:
    """Fit maps of the other model's activations into the frame of `model`, on the same tokens.

    Args:
        pair: Base and post.
        rows: Token ids to fit on; not those that are evaluated.
        site: Site read in both models.
        model: Model whose frame is the target, `base` or `post`.
        execution: Tokens per forward pass.

    Raises:
        FeatureError: There are fewer tokens than dimensions.

    Source: Schönemann 1966, without scaling.
    """
    tokens = rows_of(pair, rows)
    counted = [row for row in tokens.rows if len(row) > 1]
    special = torch.tensor(sorted({int(i) for i in tokens.ids[~tokens.counted & (tokens.pos > 0)]}))
    other = "post" if model == "base" else "base"
    moments = cross_moments(
        pair.side(model),
        pair.side(other),
        counted,
        sites=[site],
        keep=lambda chunk: (
            (chunk.encoded.position_ids > 0)
            & ~torch.isin(chunk.encoded.ids, special.to(chunk.encoded.ids))
        ),
        execution=Execution(max_tokens=execution.max_tokens),
    )[site]
    if moments.n <= len(moments.x.mean):
        raise FeatureError(
            f"there are {moments.n} tokens and activations have {len(moments.x.mean)} "
            "dimensions, so a rotation would fit noise. Pass more rows."
        )
    start, end = moments.y.mean, moments.x.mean
    return Frames(
        mean=Frame(start=start, end=end),
        rotated=Frame(start=start, end=end, rotation=_rotation(moments)),
        n_tokens=moments.n,
    )


def _rotation(moments: CrossMoments) -> Tensor | None:
    """Procrustes rotation of y's deviations onto x's; None if they are equal."""
    if torch.equal(moments.scatter, moments.x.scatter) and torch.equal(
        moments.x.scatter, moments.y.scatter
    ):
        return None  # the decomposition of a symmetric matrix would leave rounding
    left, _, right = torch.linalg.svd(moments.scatter.T)
    return left @ right
