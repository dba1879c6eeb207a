"""Tables of settling: depths and ratios of every source, profiles, the band, groups."""

from elicit.page import Cell, Table, effect_cell, table_of
from elicit.page.revision.text import NAMES
from elicit.results import Estimate
from elicit.results.drawing import interval
from elicit.revision import DepthByGroup, Sensitivity, Settling


def source_table(found: Settling) -> Table:
    """Depth and ratio of both models on every source, always with the paired difference.

    Args:
        found: Depths that were read.
    """
    rows = []
    for i, source in enumerate(found.source):
        n_tokens = int((found.source_of == i).sum())
        for what, values, diff in (
            ("mean settling depth, layers", found.mean_depth, found.depth_diff),
            ("share that settles deep (DTR)", found.dtr, found.dtr_diff),
        ):
            rows.append(
                [
                    NAMES.get(source, source),
                    what,
                    effect_cell(*diff[i].ends),
                    *(_plain(values[i, m]) for m in range(len(found.model))),
                    f"{int(found.n_problems[i])}",
                    f"{n_tokens}",
                ]
            )
    head = ("text", "measured", "post minus base", *found.model, "problems", "tokens")
    caption = (
        f"Both models read the same tokens; {100 * found.level:g} % intervals over problems, which "
        "count alike. Read across a row: the difference is paired. Texts of base and of post are "
        "different texts, so that their rows differ in what was written as well."
    )
    return table_of(caption, head, rows, 2)


def profile_table(found: Settling) -> Table:
    """Divergence of every layer in both models, and its difference.

    Args:
        found: Depths that were read.
    """
    rows = []
    for i, source in enumerate(found.source):
        for n, layer in enumerate(found.layer.tolist()):
            rows.append(
                [
                    NAMES.get(source, source),
                    "embedding" if layer == 0 else str(layer),
                    effect_cell(*found.profile_diff[i, n].ends),
                    *(_plain(found.profile[i, m, n]) for m in range(len(found.model))),
                ]
            )
    head = ("text", "layer", "post minus base", *found.model)
    caption = (
        "Mean divergence of each layer’s prediction from the model’s own final one, nats; "
        "intervals hold jointly over layers (and models). Bold: clear of 0."
    )
    return table_of(caption, head, rows, 2, "Numbers of every layer")


def band_table(found: Sensitivity) -> Table:
    """Difference of the ratios and both ratios under every convention of the band.

    Args:
        found: Ratios over a band of conventions.
    """
    rows = []
    for g, threshold in enumerate(found.threshold.tolist()):
        for r, rho in enumerate(found.rho.tolist()):
            rows.append(
                [
                    f"{threshold:.3g} {found.unit}",
                    f"{rho:.3g}",
                    effect_cell(*found.dtr_diff[g, r].ends),
                    *(_plain(found.dtr[g, r, m]) for m in range(len(found.model))),
                ]
            )
    head = ("g", "ρ", "post minus base", *found.model)
    caption = (
        "Share of tokens that settle deep, under every convention of the band; intervals hold "
        "jointly over the whole band. Bold: clear of 0."
    )
    return table_of(caption, head, rows, 2, "Numbers of the band")


def group_table(found: DepthByGroup) -> Table:
    """Depth of every group in both models, their difference, and that from the first group.

    Args:
        found: Depths of groups of tokens.
    """
    rows = []
    for i, group in enumerate(found.group):
        steps: list[str | Cell] = [
            "–" if i == 0 else effect_cell(*found.step[m, i].ends) for m in range(len(found.model))
        ]
        rows.append(
            [
                group,
                effect_cell(*found.diff[i].ends),
                *(_plain(found.depth[m, i]) for m in range(len(found.model))),
                *steps,
                str(int(found.n_problems[i])),
                str(int(found.n_tokens[i])),
            ]
        )
    head = (
        *("difficulty", "post minus base", *found.model),
        *(f"{model}: minus {found.group[0]}" for model in found.model),
        *("problems", "tokens"),
    )
    caption = (
        f"Mean settling depth, layers. {100 * found.level:g} % intervals hold jointly over a "
        "column (Bonferroni). Bold: clear of 0."
    )
    return table_of(caption, head, rows, 1)


def _plain(estimate: Estimate) -> str:
    """A value that is not a difference, with its interval."""
    return interval(*estimate.ends).removeprefix("+")
