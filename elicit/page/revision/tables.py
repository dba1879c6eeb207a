"""Settling tables: depths and ratios by source, profiles, sensitivity, groups."""

from elicit.page import Cell, Column, Table, effect_cell, estimate_cell, result_table, table_of
from elicit.page.revision.text import NAMES
from elicit.revision import DepthByGroup, Sensitivity, Settling


def _models(model: tuple[str, ...], of: str) -> list[Column]:
    """One column a model."""
    return [Column(head=name, of=of, at={"model": m}) for m, name in enumerate(model)]


def source_table(result: Settling) -> Table:
    """Depth and ratio of both models on every source, with the paired difference."""
    rows = []
    for i, source in enumerate(result.source):
        n_tokens = int((result.source_of == i).sum())
        for what, values, diff in (
            ("mean settling depth, layers run", result.mean_depth, result.depth_diff),
            ("share that settles deep (DTR)", result.dtr, result.dtr_diff),
        ):
            rows.append(
                [
                    NAMES.get(source, source),
                    what,
                    effect_cell(*diff[i].ends),
                    *(estimate_cell(values[i, m]) for m in range(len(result.model))),
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
    columns = [
        Column(head="text", of=lambda i, n: str(NAMES.get(result.source[i], result.source[i]))),
        Column(head="layers run", of=lambda i, n: str(int(result.layer[n]) or "0 (embedding)")),
        Column(head="post minus base", of="profile_diff", effect=True),
        *_models(result.model, "profile"),
    ]
    caption = (
        "Mean divergence of the prediction after each layer from the model’s final one, nats; "
        "intervals are simultaneous over depths (and models). Bold: the interval excludes 0."
    )
    folded = "Values by depth"
    return result_table(result, caption, columns, over="source layer", words=2, folded=folded)


def band_table(result: Sensitivity) -> Table:
    """Ratios of both models and their difference under every convention."""
    columns = [
        Column(head="g", of=lambda g, r: f"{result.threshold[g].item():.3g} {result.unit}"),
        Column(head="ρ", of=lambda g, r: f"{result.rho[r].item():.3g}"),
        Column(head="post minus base", of="dtr_diff", effect=True),
        *_models(result.model, "dtr"),
    ]
    caption = (
        "Share of tokens that settle deep under every convention; intervals are simultaneous "
        "over all conventions. Bold: the interval excludes 0."
    )
    folded = "Values by convention"
    return result_table(result, caption, columns, over="threshold rho", words=2, folded=folded)


def group_table(result: DepthByGroup) -> Table:
    """Depth of every group in both models, post minus base, and group minus first group."""

    def step(m: int) -> Column:
        def cell(i: int) -> str | Cell:
            return "–" if i == 0 else effect_cell(*result.step[m, i].ends)

        return Column(head=f"{result.model[m]}: minus {result.group[0]}", of=cell)

    columns = [
        Column(head="difficulty", of="group"),
        Column(head="post minus base", of="diff", effect=True),
        *_models(result.model, "depth"),
        *(step(m) for m in range(len(result.model))),
        Column(head="problems", of="n_problems"),
        Column(head="tokens", of="n_tokens"),
    ]
    caption = (
        f"Mean settling depth, layers run. {100 * result.level:g} % intervals are simultaneous "
        "over a column (Bonferroni). Bold: the interval excludes 0."
    )
    return result_table(result, caption, columns, over="group")
