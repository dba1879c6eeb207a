"""Settling tables: depths and ratios by source, profiles, sensitivity, groups."""

from elicit.page import Cell, Table, effect_cell, table_of
from elicit.page.revision.text import NAMES
from elicit.results import Estimate
from elicit.results.drawing import interval
from elicit.revision import DepthByGroup, Sensitivity, Settling


def source_table(result: Settling) -> Table:
    """Depth and ratio of both models on every source, with the paired difference."""
    rows = []
    for i, source in enumerate(result.source):
        n_tokens = int((result.source_of == i).sum())
        for what, values, diff in (
            ("mean settling depth, layers", result.mean_depth, result.depth_diff),
            ("share that settles deep (DTR)", result.dtr, result.dtr_diff),
        ):
            rows.append(
                [
                    NAMES.get(source, source),
                    what,
                    effect_cell(*diff[i].ends),
                    *(_plain(values[i, m]) for m in range(len(result.model))),
                    f"{int(result.n_problems[i])}",
                    f"{n_tokens}",
                ]
            )
    head = ("text", "measured", "post minus base", *result.model, "problems", "tokens")
    caption = (
        f"Both models read the same tokens; {100 * result.level:g} % intervals over equally "
        "weighted problems. Differences within a row are paired. Base and post wrote different "
        "texts, so their rows also differ in content."
    )
    return table_of(caption, head, rows, 2)


def profile_table(result: Settling) -> Table:
    """Divergence of every layer in both models, and its difference."""
    rows = []
    for i, source in enumerate(result.source):
        for n, layer in enumerate(result.layer.tolist()):
            rows.append(
                [
                    NAMES.get(source, source),
                    "embedding" if layer == 0 else str(layer),
                    effect_cell(*result.profile_diff[i, n].ends),
                    *(_plain(result.profile[i, m, n]) for m in range(len(result.model))),
                ]
            )
    head = ("text", "layer", "post minus base", *result.model)
    caption = (
        "Mean divergence of each layer’s prediction from the model’s final one, nats; "
        "intervals are simultaneous over layers (and models). Bold: the interval excludes 0."
    )
    return table_of(caption, head, rows, 2, "Values by layer")


def band_table(result: Sensitivity) -> Table:
    """Ratios of both models and their difference under every convention."""
    rows = []
    for g, threshold in enumerate(result.threshold.tolist()):
        for r, rho in enumerate(result.rho.tolist()):
            rows.append(
                [
                    f"{threshold:.3g} {result.unit}",
                    f"{rho:.3g}",
                    effect_cell(*result.dtr_diff[g, r].ends),
                    *(_plain(result.dtr[g, r, m]) for m in range(len(result.model))),
                ]
            )
    head = ("g", "ρ", "post minus base", *result.model)
    caption = (
        "Share of tokens that settle deep under every convention; intervals are simultaneous "
        "over all conventions. Bold: the interval excludes 0."
    )
    return table_of(caption, head, rows, 2, "Values by convention")


def group_table(result: DepthByGroup) -> Table:
    """Depth of every group in both models, post minus base, and group minus first group."""
    rows = []
    for i, group in enumerate(result.group):
        steps: list[str | Cell] = [
            "–" if i == 0 else effect_cell(*result.step[m, i].ends)
            for m in range(len(result.model))
        ]
        rows.append(
            [
                group,
                effect_cell(*result.diff[i].ends),
                *(_plain(result.depth[m, i]) for m in range(len(result.model))),
                *steps,
                str(int(result.n_problems[i])),
                str(int(result.n_tokens[i])),
            ]
        )
    head = (
        *("difficulty", "post minus base", *result.model),
        *(f"{model}: minus {result.group[0]}" for model in result.model),
        *("problems", "tokens"),
    )
    caption = (
        f"Mean settling depth, layers. {100 * result.level:g} % intervals are simultaneous "
        "over a column (Bonferroni). Bold: the interval excludes 0."
    )
    return table_of(caption, head, rows, 1)


def _plain(estimate: Estimate) -> str:
    """A value that is not a difference, with its interval."""
    return interval(*estimate.ends).removeprefix("+")
