"""Edits as steps along vectors, for engines that know no others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.edits import Clamp, Edit, ProjectOut, Steer, Where
from elicit.sites import Kind, Site

KINDS: tuple[Kind, ...] = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
"""Kinds of site that engines read."""
_WRITTEN = frozenset(KINDS) - {"resid_mid"}
"""Kinds that they write. What interp-engine adds at resid_mid reaches the MLP and not the stream:
its address is the input of the norm between them."""


@dataclass(frozen=True, eq=False)
class PushStep:
    """One step at one site: `add` amount · vector, or `scale` the part along it by the amount."""

    site: Site
    how: Literal["add", "scale"]
    vector: Float[Tensor, " d_model"]
    amount: float


@dataclass(frozen=True, eq=False)
class Push:
    """All steps on one row, in order, and the tokens that they leave alone."""

    steps: tuple[PushStep, ...]
    excluded: tuple[int, ...] = ()
    """Positions of the tokens given that are not pushed."""
    generated: bool = True
    """Whether tokens written after them are pushed."""


def pushes_of(edits: Sequence[Edit], row: int, n_prompt: int, n_given: int) -> Push | None:
    """What edits do to one row, as steps along vectors; None if they do anything else.

    A clamp scales the part along its direction and adds the rest, which is the same up to rounding.

    Args:
        edits: In the order in which they are made.
        row: Row of the batch, for edits with one scale or vector a row.
        n_prompt: Tokens of the row's prompt.
        n_given: Tokens of the row in all, text after the prompt included.
    """
    steps: list[PushStep] = []
    scopes: set[tuple[tuple[int, ...], bool]] = set()
    for edit in edits:
        if not isinstance(edit, Steer | Clamp | ProjectOut) or edit.site.kind not in _WRITTEN:
            return None
        if edit.rows is not None and row not in edit.rows:
            continue
        scope = _scope(edit.where, n_prompt, n_given)
        if scope is None:
            return None
        scale = float(edit.scale[row] if isinstance(edit.scale, Tensor) else edit.scale)
        if scale == 0:
            continue
        scopes.add(scope)
        steps += _steps(edit, scale, row)
    if len(scopes) > 1:
        return None
    excluded, generated = next(iter(scopes), ((), True))
    return Push(tuple(steps), excluded, generated)


def _steps(edit: Steer | Clamp | ProjectOut, scale: float, row: int) -> list[PushStep]:
    if isinstance(edit, Steer):
        vector = edit.vector[row] if edit.vector.ndim > 1 else edit.vector
        return [PushStep(edit.site, "add", vector.detach(), scale)]
    direction = edit.direction.detach()
    found = [PushStep(edit.site, "scale", direction, 1 - scale)]
    if isinstance(edit, Clamp) and edit.value:
        unit = direction / torch.linalg.vector_norm(direction)
        found.append(PushStep(edit.site, "add", unit, scale * edit.value))
    return found


def _scope(where: Where, n_prompt: int, n_given: int) -> tuple[tuple[int, ...], bool] | None:
    """Given positions left alone, and whether later tokens are pushed; None if neither says it."""
    every = range(n_given)
    match where.form:
        case "everywhere":
            return (), True
        case "prompt":
            return tuple(range(n_prompt, n_given)), False
        case "generated" if where.first == 0 and where.final is None:
            return tuple(range(n_prompt)), True
        case "last":
            return tuple(i for i in every if i != n_prompt - 1), False
        case "at":
            meant = {i if i >= 0 else n_prompt + i for i in where.positions}
            return tuple(i for i in every if i not in meant), False
    return None
