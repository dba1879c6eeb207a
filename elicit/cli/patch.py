"""`elicit patch`: activations of one run put into another, cell by cell."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from elicit.cli.command import Job, job
from elicit.cli.options import MACHINE, RUN, TASKS
from elicit.cli.tables import show_patch

Problems = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Problems as JSONL: prompt, answer, and wrong (or candidates) and corrupted where "
        "there are some. An embedded pair has its own: the decision to reason.",
        rich_help_panel=TASKS,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="At most N problems (default: all; 60 of an embedded pair's own).",
        rich_help_panel=TASKS,
    ),
]
Direction = Annotated[
    str | None,
    typer.Option(
        metavar="WAY",
        help="Across the models: post-to-base, base-to-post, both. Within one, between clean and "
        "corrupted prompts: denoise, noise (default: both).",
        rich_help_panel=RUN,
    ),
]
Model = Annotated[
    Literal["base", "post"] | None,
    typer.Option(help="Which model denoise and noise patch (default: base).", rich_help_panel=RUN),
]
Sites = Annotated[
    list[str] | None,
    typer.Option(
        "--sites",
        "--site",
        metavar="SITE,…",
        help="Rows: resid_pre, resid_mid, resid_post, attn_out, mlp_out, z, q, k, v at every "
        "layer; z.heads for every head; mlp_out.3, z.3.1 for one place (default: where across "
        "resid_post, within resid_pre, with attn_out,mlp_out).",
        rich_help_panel=RUN,
    ),
]
Positions = Annotated[
    str | None,
    typer.Option(
        metavar="WHICH",
        help="Columns: each, all (at once), last, or numbers such as -2,-1 (default: each).",
        rich_help_panel=RUN,
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metrics",
        "--metric",
        metavar="NAME,…",
        help="logit_diff, log_prob, probability, kl (default: where answers allow it logit_diff, "
        "else log_prob).",
        rich_help_panel=RUN,
    ),
]
Widths = Annotated[
    list[str] | None,
    typer.Option(
        "--widths",
        metavar="N,…",
        help="Layers patched together, beside 1 (default: 1).",
        rich_help_panel=RUN,
    ),
]
Controls = Annotated[
    list[str] | None,
    typer.Option(
        "--controls",
        metavar="NAME,…",
        help="other_prompt, noise, or none (default: other_prompt,noise).",
        rich_help_panel=RUN,
    ),
]
Factorial = Annotated[
    bool | None,
    typer.Option(
        "--factorial/--no-factorial",
        help="Upstream × downstream × unembedding at every boundary (default: where across).",
        rich_help_panel=RUN,
    ),
]
Engine = Annotated[
    Literal["lanes", "loop"] | None,
    typer.Option(
        help="loop runs one whole forward a cell: slow, to check lanes (default: lanes).",
        rich_help_panel=MACHINE,
    ),
]


@job(show_patch)
def patch(
    problems: Problems = None,
    limit: Limit = None,
    direction: Direction = None,
    model: Model = None,
    sites: Sites = None,
    positions: Positions = None,
    metrics: Metrics = None,
    widths: Widths = None,
    controls: Controls = None,
    factorial: Factorial = None,
    engine: Engine = None,
) -> Job:
    """Say which activations carry the difference, layer by layer and position by position."""
    from elicit.jobs._patch.run import run_patch
    from elicit.jobs._patch.spec import PatchSpec

    return PatchSpec, run_patch
