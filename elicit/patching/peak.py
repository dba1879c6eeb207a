"""The cell that a sweep names."""

from dataclasses import dataclass
from typing import Any

from elicit.results import Estimate


@dataclass(frozen=True, eq=False, kw_only=True)
class Peak:
    """The cell at which most of an effect enters."""

    metric: str
    """Metric."""
    kind: str
    """Kind of site."""
    site: str
    """Site of the cell."""
    pos: str
    """Position of the cell."""
    layer: int
    """Layer of the step; -1: the embedding."""
    head: int
    """Head of the site; -1: none."""
    effect: Estimate
    """Effect of patching the cell, in the metric's unit; interval simultaneous over cells."""
    step: Estimate
    """Contribution of the layer or component, see `PatchGrid.step`; simultaneous over cells."""
    share: Estimate
    """Effect as a share of the gap, see `PatchGrid.joint_share`; simultaneous over cells."""

    @property
    def clear(self) -> bool:
        """Whether the step's interval excludes 0."""
        return bool(self.step.clear)

    def to_json(self) -> dict[str, Any]:
        """Names, numbers and whether the step's interval excludes 0."""
        numbers = {name: getattr(self, name).to_json() for name in ("effect", "step", "share")}
        return {**vars(self), **numbers, "clear": self.clear}
