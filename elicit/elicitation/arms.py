"""Arms: what is done to a model at each strength, and what stands beside it as a control."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from elicit.directions import Direction, matched_controls
from elicit.edits import Edit, Where
from elicit.elicitation.errors import ElicitationError
from elicit.rollouts import EditsAt

Kind = Literal["steered", "control", "baseline"]
"""What is under test; a push as hard that should do nothing; another way to the same end."""
_TOLERANCE = 1e-3
"""Relative difference of two lengths that is rounding."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Arm:
    """One way of steering: edits whose strength a row of a batch sets."""

    name: str
    """What figures and tables call it."""
    kind: Kind
    """Which part it plays."""
    edit: EditsAt
    """Edits of a batch from the strength of each of its rows; strength 0 changes no bit."""
    norm: float
    """Length of the push at strength 1; NaN where it depends on the token."""
    resid_norm: float = math.nan
    """Mean length of the activations that are pushed; NaN where it is not known."""
    dose: float | None = None
    """The one strength at which it is run, whatever the curve's; None runs it at the curve's."""

    def edits(self) -> tuple[Edit, ...]:
        """The edits of one row at strength 1."""
        return tuple(self.edit(torch.ones(1)))

    @property
    def site(self) -> str:
        """Where it writes."""
        return ", ".join(dict.fromkeys(str(getattr(edit, "site", "")) for edit in self.edits()))

    @property
    def where(self) -> str:
        """For which tokens."""
        return ", ".join(dict.fromkeys(str(getattr(edit, "where", "")) for edit in self.edits()))


def direction_arms(
    direction: Direction,
    *,
    where: Where,
    controls: Sequence[Direction] | None = None,
    seed: int = 0,
) -> tuple[Arm, ...]:
    """A direction that is added, and others of its norm at its site.

    Args:
        direction: What is added, as often as the strength says.
        where: For which tokens.
        controls: Directions of the same norm that should do nothing; None takes
            `matched_controls`.
        seed: Of the controls that are drawn.
    """
    if controls is None:
        controls = matched_controls(direction, seed=seed)

    def arm(one: Direction, kind: Kind) -> Arm:
        return Arm(
            name=one.how,
            kind=kind,
            edit=lambda strength: [one.to_edit(strength, where)],
            norm=one.vector.double().norm().item(),
            resid_norm=direction.resid_norm,
        )

    return (arm(direction, "steered"), *(arm(control, "control") for control in controls))


def check_arms(arms: Sequence[Arm]) -> None:
    """Refuse arms that could not be held against each other.

    Raises:
        ElicitationError: None or several are under test, it is not the first, two have one name,
            or a control pushes by another length.
    """
    if not arms or [arm.kind for arm in arms].count("steered") != 1 or arms[0].kind != "steered":
        told = ", ".join(f"{arm.name} ({arm.kind})" for arm in arms) or "none"
        raise ElicitationError(
            f"the arms are {told}, and a curve holds one that is steered, first, and its controls. "
            "Make a curve for each; direction_arms and feature_arms give them so."
        )
    names = [arm.name for arm in arms]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ElicitationError(
            f"two arms are called {twice[0]!r}, so their rates could not be told apart. Call one "
            "by another name."
        )
    size = arms[0].norm
    for arm in arms[1:]:
        alike = math.isclose(arm.norm, size, rel_tol=_TOLERANCE)
        if not alike and not (math.isnan(arm.norm) and math.isnan(size)):
            raise ElicitationError(
                f"the control {arm.name!r} has norm {arm.norm:.4g} and {arms[0].name!r} {size:.4g},"
                " so what differs between them may be the size of the push. Make controls with "
                "direction_arms or feature_arms."
            )
