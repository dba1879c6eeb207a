"""Heat maps of sites: one panel per kind of site, layers × positions or layers × heads."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from elicit.patching.attribution.result import NodeScores
from elicit.patching.columns import shown_pos
from elicit.patching.grid import PatchGrid
from elicit.results import Estimate, label, marks

Cell = tuple[int, int]
"""Indices of a site and a position."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Layout of one heat map."""

    kind: str
    """Kind of its sites, escaped for plotly."""
    pos: int | None
    """Index of the position at which heads are shown; None where columns are positions."""
    x: list[str]
    """Labels of the positions or heads, escaped for plotly."""
    layers: list[int]
    """Layer of each row."""
    cells: list[list[Cell | None]]
    """Cell of each row and column; None: empty."""

    @property
    def height(self) -> int:
        """Pixels of its rows."""
        return min(max(22 * len(self.layers) + 20, 120), 640)

    @property
    def turned(self) -> bool:
        """Whether its labels are rotated."""
        return len(self.x) > 8

    def values(self, of: Float[Tensor, "site pos"]) -> list[list[float]]:
        """Number of each cell; NaN where it is empty."""
        return [[float("nan") if at is None else of[at].item() for at in line]
                for line in self.cells]  # fmt: skip

    def axes(self, figure: Any, row: int, col: int) -> None:
        """Label the rows and columns."""
        place = {"row": row, "col": col}
        title = {"text": "position" if self.pos is None else "head"}
        figure.update_xaxes(marks.ticks(self.x, turned=self.turned), ticks="", title=title, **place)
        layers = {"text": "layer" if col == 1 else ""}
        rows = {"tickvals": list(range(len(self.layers))), "ticktext": list(map(str, self.layers))}
        figure.update_yaxes(rows, showgrid=False, ticks="", title=layers, **place)


def panels_of(result: PatchGrid | NodeScores, effect: Estimate) -> list[Panel]:
    """Panels of a result, one per kind of site; heads at the position with the largest effect."""
    found = []
    for kind in dict.fromkeys(result.kind):
        sites = [i for i, one in enumerate(result.kind) if one == kind]
        layers = sorted({int(result.layer[i]) for i in sites})
        place = {(int(result.layer[i]), int(result.head[i])): i for i in sites}
        heads, pos = sorted({head for _, head in place}), None
        cells: list[list[Cell | None]]
        if heads == [-1]:
            x = [label(shown_pos(pos), 16) for pos in result.pos]
            cells = [[(place[layer, -1], at) for at in range(len(x))] for layer in layers]
        else:
            pos = int(effect.value[sites].abs().amax(dim=0).argmax())
            x = ["all" if head < 0 else str(head) for head in heads]
            cells = [
                [(place[layer, head], pos) if (layer, head) in place else None for head in heads]
                for layer in layers
            ]
        found.append(Panel(kind=label(kind), pos=pos, x=x, layers=layers, cells=cells))
    return found


def scaled(figure: Any, limit: float, unit: str, title: str) -> None:
    """One colour scale centred at 0 for all panels, and the figure's title."""
    figure.update_layout(
        coloraxis={
            "colorscale": marks.DIVERGING,
            "cmin": -limit,
            "cmax": limit,
            "colorbar": {"title": {"text": label(unit)}, "thickness": 12, "len": 0.9},
        },
        title={"text": title, "font": {"size": 14}, "x": 0.01, "xanchor": "left"},
    )
