"""Tables of patching: scores, peaks, top cells, every cell, and the factorial."""

from elicit.page import Cell, Table, effect_cell, table_of
from elicit.page.patching.names import CONTROLS, metric_text
from elicit.patching import Factorial, PatchGrid, shown_pos
from elicit.results import interval, number

TOP = 12
"""Number of cells in the table of the largest effects."""


def score_table(grid: PatchGrid) -> Table:
    """Scores of host and donor on every metric, and the gap between them."""
    rows = [
        [
            metric,
            grid.unit[m],
            *(
                interval(*getattr(grid, name)[m].ends, digits=2).removeprefix("+")
                for name in ("host_score", "donor_score")
            ),
            effect_cell(*grid.gap[m].ends),
            str(grid.n_problems),
        ]
        for m, metric in enumerate(grid.metric)
    ]
    head = ("metric", "unit", f"host: {grid.host}", f"donor: {grid.donor}", "gap", "problems")
    caption = (
        f"Unpatched scores of both runs, with {100 * grid.level:g} % intervals. Gap: donor minus "
        "host, paired by problem."
    )
    return table_of(caption, head, rows, 2)


def peak_table(grid: PatchGrid) -> Table | None:
    """Largest step or effect for each metric and kind of site; None if there is no peak."""
    rows = [
        [
            metric,
            kind,
            "embedding" if peak.layer < 0 else str(peak.layer),
            shown_pos(peak.pos),
            effect_cell(*peak.step.ends),
            effect_cell(*peak.effect.ends),
        ]
        for metric in grid.metric
        for kind, peak in grid.peaks(metric).items()
    ]
    if not rows:
        return None
    head = ("metric", "kind of site", "layer", "position", "step", "effect of the patch")
    caption = (
        "Where most of the effect enters: for the residual stream, the largest step from one layer "
        "to the next; for components, the largest effect. Intervals are simultaneous over all "
        "cells; bold: excludes 0."
    )
    return table_of(caption, head, rows, 4)


def top_table(grid: PatchGrid, row: int) -> Table:
    """The cells with the largest effects on one metric, with their controls."""
    effects = grid.effect.value[0, row]
    order = effects.abs().flatten().argsort(descending=True, stable=True)[:TOP].tolist()
    n_pos = len(grid.pos)
    ran = [name for name in CONTROLS if getattr(grid, name).value[row].isfinite().any()]
    rows = []
    for site, pos in (divmod(place, n_pos) for place in order):
        share = grid.joint_share[row, site, pos].ends
        cells: list[str | Cell] = [
            grid.site[site],
            shown_pos(grid.pos[pos]),
            effect_cell(*grid.effect[0, row, site, pos].ends),
            "–" if share[0] != share[0] else interval(*share, digits=2).removeprefix("+"),
            number(grid.p[0, row, site, pos].item()),
        ]
        for name in ran:
            cells.append(effect_cell(*getattr(grid, name)[row, site, pos].ends))
            cells.append("yes" if getattr(grid, f"above_{name}")[row, site, pos] else "no")
        rows.append(cells)
    head = ["site", "position", f"effect, {grid.unit[row]}", "share of the gap", "adjusted p"]
    words = {"other_prompt": "another prompt", "noise": "noise"}
    for name in ran:
        head += [f"control: {words[name]}", "effect exceeds it"]
    n_cells = len(grid.site) * n_pos
    caption = (
        f"The {len(rows)} largest of {n_cells} effects on {metric_text(grid.metric[row])}. Their "
        "intervals, those of shares too, and p-values are simultaneous over all cells (bold: "
        "excludes 0)."
    )
    return table_of(caption, head, rows, 2)


def cell_tables(grid: PatchGrid, row: int) -> list[Table]:
    """Every effect on one metric, one table per kind of site: layers and heads × positions."""
    found = []
    for kind in dict.fromkeys(grid.kind):
        rows = []
        for site, own in enumerate(grid.kind):
            if own != kind:
                continue
            cells = [grid.site[site]]
            for pos in range(len(grid.pos)):
                effect = grid.effect[0, row, site, pos]
                word = number(effect.ends[0], sign=True, digits=2)
                cells.append(Cell(word, bool(effect.clear)))  # pyright: ignore
            rows.append(cells)
        caption = f"Effect on {metric_text(grid.metric[row])}; bold: its interval excludes 0."
        head = ("site", *map(shown_pos, grid.pos))
        folded = f"All cells: {kind}, {grid.metric[row]}"
        found.append(table_of(caption, head, rows, 1, folded))
    return found


def width_table(grid: PatchGrid) -> Table | None:
    """Largest effect for each window width; None if only single layers were patched."""
    if len(grid.width) == 1:
        return None
    rows = []
    for m, metric in enumerate(grid.metric):
        for kind in dict.fromkeys(grid.kind):
            own = [site for site, one in enumerate(grid.kind) if one == kind]
            for w, width in enumerate(grid.width.tolist()):
                place = int(grid.effect.value[w, m, own].abs().argmax())
                site, pos = own[place // len(grid.pos)], place % len(grid.pos)
                rows.append(
                    [
                        metric,
                        kind,
                        str(width),
                        grid.site[site],
                        shown_pos(grid.pos[pos]),
                        effect_cell(*grid.effect[w, m, site, pos].ends),
                    ]
                )
    head = ("metric", "kind of site", "layers at once", "first site", "position", "largest effect")
    caption = (
        "Windows of layers patched together. Wide windows inflate peaks: check single layers first."
    )
    return table_of(caption, head, rows, 5)


def factorial_table(factorial: Factorial) -> Table:
    """Effects at every boundary, and the KL of the mixed models to the nearer pure model."""
    f = factorial
    terms = ("wrote", "reader", "head", "wrote:reader")
    rows = []
    for p, pos in enumerate(f.pos):
        words = f.reading(pos)
        for b, boundary in enumerate(f.boundary.tolist()):
            rows.append(
                [
                    str(boundary),
                    shown_pos(pos),
                    words[b].replace("+", ", ").replace(":", " × "),
                    *(effect_cell(*f.effect[f.term.index(term), b, p].ends) for term in terms),
                    number(f.off_manifold[b, p].item()),
                ]
            )
    head = (
        *("boundary", "position", "excludes 0"),
        *("upstream: wrote", "downstream: reader", "unembedding: head", "wrote × reader"),
        "off-manifold KL, nats",
    )
    caption = (
        f"Effects on {metric_text(f.metric)} ({f.unit}) at every boundary; intervals are "
        "simultaneous over the boundaries of a term (bold: excludes 0)."
    )
    return table_of(caption, head, rows, 3)


def cube_table(factorial: Factorial) -> Table:
    """The mean metric of all eight models at every boundary."""
    f = factorial
    who = ("base", "post")
    corners = [(u, d, h) for u in (0, 1) for d in (0, 1) for h in (0, 1)]
    rows = [
        [
            *(str(boundary), shown_pos(pos)),
            *(number(f.cell.value[b, p, u, d, h].item()) for u, d, h in corners),
        ]
        for p, pos in enumerate(f.pos)
        for b, boundary in enumerate(f.boundary.tolist())
    ]
    head = ("boundary", "position", *(f"{who[u]} | {who[d]} | {who[h]}" for u, d, h in corners))
    caption = "Mean of each of the eight models: layers below | layers above | unembedding."
    return table_of(caption, head, rows, 2, "Scores of the eight models")
