"""`elicit exists`: does the base already have what the post-trained model shows?"""

from pathlib import Path
from typing import Annotated

import typer

from elicit.cli import options
from elicit.cli.command import Job, job
from elicit.cli.options import RUN, STATISTICS, TASKS
from elicit.cli.tables import show_exists

Problems = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Problems as JSONL, 100 or more for a useful verdict. An embedded pair has its own.",
        rich_help_panel=TASKS,
    ),
]
Sites = Annotated[
    list[str] | None,
    typer.Option(
        "--sites",
        "--site",
        metavar="SITE,…",
        help="Where the direction is looked for (default: resid_post, of every layer).",
        rich_help_panel=RUN,
    ),
]
Strengths = Annotated[
    list[str] | None,
    typer.Option(
        "--strengths",
        metavar="X,…",
        help="How often the direction is added (default: 0.25,0.5,0.75,1,1.25,1.5,2).",
        rich_help_panel=RUN,
    ),
]
NRandom = Annotated[
    int | None,
    typer.Option(metavar="N", help="Random directions (default: 20).", rich_help_panel=RUN),
]
NRedrawn = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Draws of all weights of the base, probed as a control (default: 3).",
        rich_help_panel=RUN,
    ),
]
LeastEffect = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Smallest effect that matters (default: 0.2).",
        rich_help_panel=STATISTICS,
    ),
]
LeastShare = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Share of the gap that is sufficient (default: 0.5).",
        rich_help_panel=STATISTICS,
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Loss of accuracy or coherence that counts as none (default: 0.1).",
        rich_help_panel=STATISTICS,
    ),
]


@job(show_exists)
def exists(
    problems: Problems = None,
    reasoning_cue: options.ReasoningCue = None,
    direct_cue: options.DirectCue = None,
    shown: options.ShownBy = None,
    baselines: options.Baselines = None,
    max_new_tokens: options.MaxNewTokens = None,
    extractor: options.Extractor = None,
    sites: Sites = None,
    strengths: Strengths = None,
    n_random: NRandom = None,
    n_redrawn: NRedrawn = None,
    choose_share: options.ChooseShare = None,
    least_effect: LeastEffect = None,
    least_share: LeastShare = None,
    margin: Margin = None,
) -> Job:
    """Say how far the evidence goes that the base already has what post shows."""
    from elicit.jobs._exists.run import run_exists
    from elicit.jobs._exists.spec import ExistsSpec

    return ExistsSpec, run_exists
