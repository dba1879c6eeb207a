"""Vectors as other tools take them: one layer, one multiple."""

import math
from dataclasses import dataclass

import numpy as np

from elicit.directions import Direction
from elicit.exports.errors import ExportError
from elicit.exports.material import Material
from elicit.exports.registry import Options

RESIDUAL = ("resid_pre", "resid_post")


@dataclass(frozen=True, kw_only=True)
class Vector:
    """A direction with the multiple that is added."""

    direction: Direction
    """The direction."""
    scale: float
    """Multiple of it."""
    where: str
    """Tokens at which it was evaluated; empty if unknown."""

    @property
    def layer(self) -> int:
        """Layer whose output it is added to.

        Raises:
            ExportError: It is not added to the output of a layer.
        """
        site = self.direction.site
        # resid_pre of a layer is resid_post of the one before.
        layer = site.layer - 1 if site.kind == "resid_pre" else site.layer
        if site.kind not in RESIDUAL or layer < 0:
            raise ExportError(
                f"the direction is at {site}, and the tool adds to outputs of layers only, so it "
                "would steer elsewhere. Export a direction of resid_post."
            )
        return layer

    @property
    def values(self) -> np.ndarray:
        """The direction in float32, not multiplied."""
        return self.direction.vector.detach().cpu().float().numpy()

    @property
    def says(self) -> tuple[str, ...]:
        """What to know before it is relied on."""
        if self.where in ("", "everywhere()"):
            return ()
        return (
            f"The tool adds the vector at every token; here it was evaluated at {self.where}. "
            "Evaluate it with --where all before relying on it.",
        )


def vector_of(material: Material, options: Options) -> Vector:
    """The vector that is asked for, times the strength that its run chose.

    Args:
        material: A run of `elicit steer`, or a folder with a direction.
        options: Which result and site, and another multiple.

    Raises:
        ElicitError: There is none, or the multiple is not a number.
    """
    direction = material.vector(options.result, options.site)
    chosen = material.summary.get("chosen")
    found = chosen.get("strength") if isinstance(chosen, dict) else None
    scale = options.scale
    if scale is None:
        own = options.result in (None, "vector") and options.site is None
        scale = float(found) if own and isinstance(found, int | float) else 1.0
    if not math.isfinite(scale) or scale == 0:
        raise ExportError(f"scale is {scale}, so nothing would be added. Pass another number.")
    steered = material.summary.get("steered")
    where = str(steered.get("where", "")) if isinstance(steered, dict) else ""
    return Vector(direction=direction, scale=scale, where=where)
