"""Edits of feature activations for `edited`, with the rest of x unchanged.

x̂(f') + (x - x̂(f)) = x + (f' - f) @ directions, so nothing is decoded and the SAE's error is kept
bit for bit.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from elicit.edits import EditError, ProjectOut, Shift, Where, everywhere
from elicit.features.errors import FeatureError
from elicit.features.sae import Sae
from elicit.results import digest_json

Codes = Float[Tensor, "token d_sae"]
"""Feature activations, by token."""


class _Digested:
    """Function of activations with a digest of everything it depends on."""

    @property
    def digest(self) -> str:
        """SHA-256 of its kind, of what its SAE computes, and of its numbers."""
        values = dict(vars(self))
        sae = values.pop("sae")
        return digest_json([type(self).__name__, sae.function_digest, values])


@dataclass(frozen=True, eq=False)
class _Added(_Digested):
    """Adds a fixed amount of a feature."""

    sae: Sae
    feature: int
    amount: float

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """The feature's direction, `amount` times."""
        return self.amount * self.sae.unit(x) * self.sae.directions[self.feature]


@dataclass(frozen=True, eq=False)
class _Clamped(_Digested):
    """Clamps a feature to a value."""

    sae: Sae
    feature: int
    value: float

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """The feature's direction times (value - activation)."""
        missing = self.value - self.sae.encode_one(x, self.feature)
        return missing * self.sae.unit(x) * self.sae.directions[self.feature]


@dataclass(frozen=True, eq=False)
class _Rewritten:
    """Features changed together."""

    sae: Sae
    change: Callable[[Codes], Codes]

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """Change of the features, mapped to x."""
        codes = self.sae.encode(x)
        return self.sae.unit(x) * ((self.change(codes) - codes) @ self.sae.directions)


@dataclass(frozen=True, eq=False)
class _Spliced(_Digested):
    """Splices in the reconstruction."""

    sae: Sae

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """Reconstruction minus activation."""
        made = self.sae.reconstruct(x)
        return made - x.to(made.device)


def add(
    sae: Sae,
    feature: int,
    amount: float,
    *,
    where: Where | None = None,
    rows: tuple[int, ...] | None = None,
    scale: float | Float[Tensor, " row"] = 1.0,
) -> Shift:
    """Add a feature: x + scale * amount * d_i, whether it is active or not.

    Args:
        sae: SAE of the feature.
        feature: Its index.
        amount: In units of the feature's activation; multiples of its maximum are usual.
        where: Tokens that are edited; None: all.
        rows: Rows of the batch that are edited; None: all.
        scale: Strength of the edit; one number per row makes a sweep in one forward pass.

    Raises:
        FeatureError: The SAE has no such feature, or does not support edits.
        EditError: The amount is 0 or not finite.
    """
    _check(sae, feature)
    _check_amount("amount", amount)
    if amount == 0:
        raise EditError(
            f"amount of feature {feature} is 0, so nothing would change and it would look like a "
            "null result. Pass an amount; for a control without effect use scale=0."
        )
    return _shift(sae, _Added(sae, feature, amount), where, rows, scale)


def clamp(
    sae: Sae,
    feature: int,
    value: float,
    *,
    where: Where | None = None,
    rows: tuple[int, ...] | None = None,
    scale: float | Float[Tensor, " row"] = 1.0,
) -> Shift:
    """Clamp a feature: x + scale * (value - f_i(x)) * d_i; value 0 ablates it.

    Args:
        sae: SAE of the feature.
        feature: Its index.
        value: Its activation at scale 1.
        where: Tokens that are edited; None: all.
        rows: Rows of the batch that are edited; None: all.
        scale: Strength of the edit; one number per row makes a sweep in one forward pass.

    Raises:
        FeatureError: The SAE has no such feature, or does not support edits.
        EditError: The value is not finite.

    Source: encode, edit, decode and add the error, in closed form; Galichin et al. 2025,
        arXiv:2503.18878, use 2 times the largest activation at every position.
    """
    _check(sae, feature)
    _check_amount("value", value)
    return _shift(sae, _Clamped(sae, feature, value), where, rows, scale)


def project_out(
    sae: Sae,
    feature: int,
    *,
    where: Where | None = None,
    rows: tuple[int, ...] | None = None,
    scale: float | Float[Tensor, " row"] = 1.0,
) -> ProjectOut:
    """Project out a feature's direction, even where the feature is not active.

    Args:
        sae: SAE of the feature.
        feature: Its index.
        where: Tokens that are edited; None: all.
        rows: Rows of the batch that are edited; None: all.
        scale: Strength of the edit; one number per row makes a sweep in one forward pass.

    Raises:
        FeatureError: The SAE has no such feature, or does not support edits.
    """
    _check(sae, feature)
    direction = sae.directions[feature]
    if sae.site.has_heads and sae.site.head is None:
        raise FeatureError(
            f"{sae.name} reads all heads of {sae.site} as one vector, but projections there are "
            "per head. Use clamp with value 0."
        )
    return ProjectOut(sae.site, direction, where=where or everywhere(), rows=rows, scale=scale)


def rewrite(
    sae: Sae,
    change: Callable[[Codes], Codes],
    *,
    where: Where | None = None,
    rows: tuple[int, ...] | None = None,
    scale: float | Float[Tensor, " row"] = 1.0,
) -> Shift:
    """Change all features at once: x + scale * (change(f) - f) @ directions.

    Args:
        sae: SAE of the features.
        change: Maps feature activations to new ones, token by token.
        where: Tokens that are edited; None: all.
        rows: Rows of the batch that are edited; None: all.
        scale: Strength of the edit; one number per row makes a sweep in one forward pass.

    Raises:
        FeatureError: The SAE does not support edits.
    """
    _check(sae, 0)
    return _shift(sae, _Rewritten(sae, change), where, rows, scale)


def splice(
    sae: Sae, *, where: Where | None = None, scale: float | Float[Tensor, " row"] = 1.0
) -> Shift:
    """Replace the activation by its reconstruction, which drops the SAE's error.

    Args:
        sae: SAE that reconstructs.
        where: Tokens that are edited; None: all.
        scale: Strength of the edit; one number per row makes a sweep in one forward pass.

    Raises:
        FeatureError: The SAE does not support edits.
    """
    _check(sae, 0)
    return _shift(sae, _Spliced(sae), where, None, scale)


def _shift(
    sae: Sae,
    shift: Callable[[Tensor], Tensor],
    where: Where | None,
    rows: tuple[int, ...] | None,
    scale: float | Tensor,
) -> Shift:
    """Edit at the SAE's site."""
    return Shift(
        sae.site, shift, where=where or everywhere(), rows=rows, scale=scale, width=sae.d_in
    )


def _check(sae: Sae, feature: int) -> None:
    """Refuse features that cannot be edited."""
    sae.check_reconstructs()
    sae.check_features((feature,))
    if sae.reads_context:
        raise FeatureError(
            f"{sae.name} reads previous tokens, which an edit does not see, so its features cannot "
            "be computed. Use an SAE that reads each token independently."
        )


def _check_amount(name: str, value: float) -> None:
    """Refuse values that are not finite."""
    if value != value or abs(value) == float("inf"):
        raise EditError(f"{name} is {value}, which no activation can take. Pass a finite number.")
