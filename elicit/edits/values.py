"""Edits as values: what is written, at which site, for which rows and tokens, how strongly."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.edits.errors import EditError
from elicit.edits.where import Where, everywhere
from elicit.sites import Site

How = Literal["zero", "mean", "resample"]


@dataclass(frozen=True, eq=False, repr=False)
class _SiteEdit:
    """What every edit of an activation has."""

    site: Site
    """Where in the model."""
    where: Where = field(default_factory=everywhere, kw_only=True)
    """For which tokens."""
    rows: tuple[int, ...] | None = field(default=None, kw_only=True)
    """For which rows of the batch; None is all."""
    scale: float | Float[Tensor, " row"] = field(default=1.0, kw_only=True)
    """How far to go: 0 not at all, 1 all the way. One number for each row of the batch makes a
    sweep in one forward."""

    def __post_init__(self) -> None:
        """Refuse what could not be made on any model."""
        _check_rows(self, self.rows)
        _check_finite(self, "scale", torch.as_tensor(self.scale))
        if isinstance(self.scale, Tensor) and self.scale.ndim != 1:
            raise EditError(
                f"{self} has a scale of shape {tuple(self.scale.shape)}. Pass a number, or one "
                "number for each row of the batch."
            )

    def __repr__(self) -> str:
        """The value in one line, tensors by their shapes."""
        return _shown(self)


@dataclass(frozen=True, eq=False, repr=False)
class Patch(_SiteEdit):
    """An activation replaced by a donor's: x + scale * (donor - x)."""

    donor: Float[Tensor, "*shape"]
    """[batch pos ...] over the columns of the first call as given to the model, [batch ...] for one
    value a row, or [...] for one value. With a head, the width is that of one head. For a pattern:
    [batch head dest src], with a head [batch dest src], each also without batch."""

    def __post_init__(self) -> None:
        """Refuse a donor with NaN or infinite values."""
        super().__post_init__()
        _check_finite(self, "donor", self.donor)


@dataclass(frozen=True, eq=False, repr=False)
class Steer(_SiteEdit):
    """A vector added: x + scale * vector."""

    vector: Float[Tensor, "*shape"]
    """[...] of the site's width, or [batch ...] for one vector a row."""

    def __post_init__(self) -> None:
        """Refuse a vector that steers nowhere."""
        super().__post_init__()
        _check_no_pattern(self, "steered")
        _check_finite(self, "vector", self.vector)
        _check_norm(self, "vector", self.vector)


@dataclass(frozen=True, eq=False, repr=False)
class Clamp(_SiteEdit):
    """The projection on a direction set to a value: x + scale * (value - x·u) u."""

    direction: Float[Tensor, "*width"]
    """Of the site's width; u is this at norm 1."""
    value: float
    """What x·u becomes at scale 1."""

    def __post_init__(self) -> None:
        """Refuse a direction that points nowhere."""
        super().__post_init__()
        _check_direction(self, self.direction)
        _check_finite(self, "value", torch.as_tensor(self.value))


@dataclass(frozen=True, eq=False, repr=False)
class ProjectOut(_SiteEdit):
    """The projection on a direction removed: x - scale * (x·u) u."""

    direction: Float[Tensor, "*width"]
    """Of the site's width; u is this at norm 1."""

    def __post_init__(self) -> None:
        """Refuse a direction that points nowhere."""
        super().__post_init__()
        _check_direction(self, self.direction)


@dataclass(frozen=True, eq=False, repr=False)
class Ablate(_SiteEdit):
    """An activation replaced by nothing, by its mean or by another prompt's."""

    how: How = "zero"
    """By what it is replaced."""
    value: Float[Tensor, "*shape"] | None = None
    """The mean, or the other prompts' activations, in one of the shapes of a donor; none for
    `zero`."""

    def __post_init__(self) -> None:
        """Refuse a value without need and a need without value."""
        super().__post_init__()
        if self.how not in ("zero", "mean", "resample"):
            raise EditError(f"how is {self.how!r}; it is 'zero', 'mean' or 'resample'.")
        if (self.how == "zero") != (self.value is None):
            raise EditError(
                f"{self} has how={self.how!r} and {'no' if self.value is None else 'a'} value: "
                "zero needs none, and mean and resample cannot be made up. "
                + (
                    "Pass value=."
                    if self.value is None
                    else "Leave value out, or pass how='mean' or how='resample'."
                )
            )
        if self.value is not None:
            _check_finite(self, "value", self.value)


@dataclass(frozen=True, eq=False, repr=False)
class Shift(_SiteEdit):
    """A function of the activation added: x + scale * shift(x).

    Where the function gives 0 the activation keeps its very bits, so what it does not change, the
    error of a dictionary for one, is not computed again.
    """

    shift: Callable[[Float[Tensor, "token width"]], Float[Tensor, "token width"]]
    """What is added to each token's activation, from all tokens that are meant; the heads of a site
    come as one long vector. It must not depend on which tokens come together."""
    width: int | None = field(default=None, kw_only=True)
    """Width that the function reads; None is whatever the site has."""

    def __post_init__(self) -> None:
        """Refuse a place that has no vectors."""
        super().__post_init__()
        _check_no_pattern(self, "shifted")


@dataclass(frozen=True, eq=False, repr=False)
class MaskAttention:
    """Attention from some tokens to some tokens removed, the rest of it scaled up to sum to 1.

    The same as a score of minus infinity there, after any soft cap.
    """

    layers: tuple[int, ...]
    """In which layers."""
    dest: Where
    """Tokens that shall not look."""
    src: Where
    """Tokens that shall not be seen."""
    heads: tuple[int, ...] | None = None
    """Which query heads; None is all."""
    rows: tuple[int, ...] | None = None
    """For which rows of the batch; None is all."""

    def __post_init__(self) -> None:
        """Refuse what names nothing."""
        _check_rows(self, self.rows)
        for name, given in (("layers", self.layers), ("heads", self.heads)):
            if given is not None and (not given or min(given) < 0):
                raise EditError(
                    f"{self} has {name}={given}, and {name} are counted from 0 and one is needed. "
                    "Pass one or more."
                )

    def __repr__(self) -> str:
        """The value in one line."""
        return _shown(self)


Edit = Patch | Steer | Clamp | ProjectOut | Ablate | Shift | MaskAttention


def _shown(edit: object) -> str:
    """An edit in one line: fields at their defaults left out, tensors by their shapes."""
    parts = []
    for item in fields(edit):  # pyright: ignore[reportArgumentType]
        value = getattr(edit, item.name)
        if value is None or (item.name == "where" and value == everywhere()):
            continue
        if isinstance(value, Tensor):
            parts.append(f"{item.name}={list(value.shape)}")
        elif item.name == "site":
            parts.insert(0, str(value))
        elif item.name != "scale" or value != 1.0:
            parts.append(f"{item.name}={value}")
    return f"{type(edit).__name__}({', '.join(parts)})"


def _check_rows(edit: object, rows: tuple[int, ...] | None) -> None:
    """Rows are counted from 0, each once."""
    if rows is not None and (not rows or min(rows) < 0 or len(set(rows)) != len(rows)):
        raise EditError(
            f"{edit} has rows={rows}, and rows of the batch are counted from 0, each once. Pass "
            "one or more, or leave rows out for all."
        )


def _check_finite(edit: object, name: str, value: Tensor) -> None:
    """A NaN would spread over all logits."""
    bad = (~torch.isfinite(value.detach())).nonzero()
    if len(bad):
        raise EditError(
            f"{edit} has a {name} that is not finite in {len(bad)} of {value.numel()} entries, "
            f"first at {bad[0].tolist()}, and one such entry spoils every logit after it. Find "
            "where it comes from."
        )


def _check_norm(edit: object, name: str, value: Tensor) -> None:
    """A vector of norm 0 does nothing, which would look like a finding."""
    if not bool(value.detach().any()):
        raise EditError(
            f"{edit} has a {name} of norm 0, so nothing would change and it would look like a null "
            "result. Pass another one; for a control without effect use scale=0."
        )


def _check_no_pattern(edit: _SiteEdit, verb: str) -> None:
    """A pattern has no directions."""
    if edit.site.kind == "pattern":
        raise EditError(
            f"{edit} is at a pattern, which holds probabilities of tokens and cannot be {verb} "
            "along a direction. Use MaskAttention, Patch or Ablate there."
        )


def _check_direction(edit: _SiteEdit, direction: Tensor) -> None:
    """A direction is finite and points somewhere."""
    _check_no_pattern(edit, "projected")
    _check_finite(edit, "direction", direction)
    _check_norm(edit, "direction", direction)
