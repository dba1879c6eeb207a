"""`elicit report`: the main job, from options to a page."""

from typing import Annotated

import typer

from elicit.cli import options
from elicit.cli.command import Job, job
from elicit.cli.options import RUN, STATISTICS
from elicit.cli.tables import show_report

Kinds = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND,…",
        help="Sizes of part: layer, attn, mlp, norms, matrix, outside "
        "(default: layer,attn,mlp,outside).",
        rich_help_panel=RUN,
    ),
]
Controls = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Shuffled differences a layer and direction; 0 for none (default: 2).",
        rich_help_panel=RUN,
    ),
]
Intervals = Annotated[
    bool | None,
    typer.Option(
        "--intervals/--no-intervals",
        help="Move intervals of layers (default: yes).",
        rich_help_panel=RUN,
    ),
]
Integrated = Annotated[
    bool | None,
    typer.Option(
        "--integrated/--no-integrated",
        help="Integrate gradients over the weights (default: yes).",
        rich_help_panel=RUN,
    ),
]
Spectra = Annotated[
    bool | None,
    typer.Option(
        "--spectra/--no-spectra",
        help="Singular values of each difference (default: where the models are small).",
        rich_help_panel=RUN,
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        metavar="X", help="Smallest gap that counts (default: 0.05).", rich_help_panel=STATISTICS
    ),
]
ShareMargin = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Smallest effect that names a part, as a share of the gap (default: 0.05).",
        rich_help_panel=STATISTICS,
    ),
]


@job(show_report)
def report(
    facts: options.Facts = None,
    problems_how: options.ProblemsHow = None,
    facts_how: options.FactsHow = None,
    max_new_tokens: options.MaxNewTokens = None,
    extractor: options.Extractor = None,
    end: options.End = None,
    kinds: Kinds = None,
    controls: Controls = None,
    intervals: Intervals = None,
    integrated: Integrated = None,
    spectra: Spectra = None,
    margin: Margin = None,
    share_margin: ShareMargin = None,
) -> Job:
    """Say which layers were changed, corrupted, or carry a skill, and write one page about it."""
    from elicit.jobs._report.run import run_report
    from elicit.jobs._report.spec import ReportSpec

    return ReportSpec, run_report
