"""Edits of single features: values for `edited`, with everything else about x left as it is.

x̂(f') + (x - x̂(f)) = x + (f' - f) @ directions, so nothing is ever decoded and the SAE's error stays
where it was, to the bit.
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
    """A function of activations with a digest of everything it depends on."""

    @property
    def digest(self) -> str:
        """SHA-256 of its kind, of what its SAE computes, and of its numbers."""
        values = dict(vars(self))
        sae = values.pop("sae")
        return digest_json([type(self).__name__, sae.function_digest, values])


@dataclass(frozen=True, eq=False)
class _Added(_Digested):
    """An amount of a feature, whatever its activation was."""

    sae: Sae
    feature: int
    amount: float

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """The feature's direction, `amount` times."""
        return self.amount * self.sae.unit(x) * self.sae.directions[self.feature]


@dataclass(frozen=True, eq=False)
class _Clamped(_Digested):
    """A feature at one value."""

    sae: Sae
    feature: int
    value: float

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """The feature's direction, times what its activation lacks of the value."""
        missing = self.value - self.sae.encode_one(x, self.feature)
        return missing * self.sae.unit(x) * self.sae.directions[self.feature]


@dataclass(frozen=True, eq=False)
class _Rewritten:
    """Features changed together."""

    sae: Sae
    change: Callable[[Codes], Codes]

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """What the change of the features adds."""
        codes = self.sae.encode(x)
        return self.sae.unit(x) * ((self.change(codes) - codes) @ self.sae.directions)


@dataclass(frozen=True, eq=False)
class _Spliced(_Digested):
    """The reconstruction in place of the activation."""

    sae: Sae

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """The reconstruction's error, with its sign turned."""
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
    """A feature added to: x + scale * amount * d_i, whether it was active or not.

    Args:
        sae: Whose feature.
        feature: Its index.
        amount: In units of the feature's activation; multiples of its largest are usual.
        where: For which tokens; None is all.
        rows: For which rows of the batch; None is all.
        scale: How far to go; one number a row makes a sweep in one forward.

    Raises:
        FeatureError: The SAE has no such feature, or it cannot be written with.
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
    """A feature set to a value: x + scale * (value - f_i(x)) * d_i; at 0 it is switched off.

    Args:
        sae: Whose feature.
        feature: Its index.
        value: What its activation becomes at scale 1, in its own units.
        where: For which tokens; None is all.
        rows: For which rows of the batch; None is all.
        scale: How far to go; one number a row makes a sweep in one forward.

    Raises:
        FeatureError: The SAE has no such feature, or it cannot be written with.
        EditError: The value is not finite.

    Source: encode, edit, decode and add the error, in closed form; Galichin et al. 2025,
        arXiv:2503.18878, set 2 times the largest activation at every position.
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
    """Everything along a feature's direction removed, even where the feature is not active.

    Args:
        sae: Whose feature.
        feature: Its index.
        where: For which tokens; None is all.
        rows: For which rows of the batch; None is all.
        scale: How far to go; one number a row makes a sweep in one forward.

    Raises:
        FeatureError: The SAE has no such feature, or it cannot be written with.
    """
    _check(sae, feature)
    direction = sae.directions[feature]
    if sae.site.has_heads and sae.site.head is None:
        raise FeatureError(
            f"{sae.name} reads all heads of {sae.site} as one vector, and projections are taken "
            "there head by head. Use clamp with value 0."
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
    """All features changed at once: x + scale * (change(f) - f) @ directions.

    Args:
        sae: Whose features.
        change: New feature activations of each token from the old ones.
        where: For which tokens; None is all.
        rows: For which rows of the batch; None is all.
        scale: How far to go; one number a row makes a sweep in one forward.

    Raises:
        FeatureError: The SAE cannot be written with.
    """
    _check(sae, 0)
    return _shift(sae, _Rewritten(sae, change), where, rows, scale)


def splice(
    sae: Sae, *, where: Where | None = None, scale: float | Float[Tensor, " row"] = 1.0
) -> Shift:
    """The reconstruction in place of the activation: what the features miss is lost.

    Args:
        sae: Which SAE.
        where: For which tokens; None is all.
        scale: How far to go; one number a row makes a sweep in one forward.

    Raises:
        FeatureError: The SAE cannot be written with.
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
    """The edit at the SAE's own site."""
    return Shift(
        sae.site,
        shift,
        where=where or everywhere(),
        rows=rows,
        scale=scale,
        width=sae.d_in,
    )


def _check(sae: Sae, feature: int) -> None:
    """Refuse what cannot be written."""
    sae.check_reconstructs()
    sae.check_features((feature,))
    if sae.reads_context:
        raise FeatureError(
            f"{sae.name} reads previous tokens, which an edit does not see, so its features cannot "
            "be computed there. Use an SAE that reads each token alone."
        )


def _check_amount(name: str, value: float) -> None:
    """Refuse what is not finite."""
    if value != value or abs(value) == float("inf"):
        raise EditError(f"{name} is {value}, which no activation can be. Pass a finite number.")
