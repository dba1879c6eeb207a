"""`elicit graft`: one model with parts of the other, scored."""

from typing import Annotated, Literal

import typer

from elicit.cli import options
from elicit.cli.command import Job, job
from elicit.cli.options import RUN
from elicit.cli.tables import show_graft

Parts = Annotated[
    list[str] | None,
    typer.Option(
        "--part",
        "--parts",
        metavar="PART,…",
        help="What is moved, one at a time: L3, L3.attn, L3.q, L0-L2, embed, L1+L4 "
        "(default: every layer).",
        rich_help_panel=RUN,
    ),
]
Direction = Annotated[
    Literal["revert", "graft"] | None,
    typer.Option(
        help="revert: post with a part of base; graft: base with a part of post (default: graft).",
        rich_help_panel=RUN,
    ),
]


@job(show_graft)
def graft(
    facts: options.Facts = None,
    problems_how: options.ProblemsHow = None,
    facts_how: options.FactsHow = None,
    max_new_tokens: options.MaxNewTokens = None,
    extractor: options.Extractor = None,
    end: options.End = None,
    parts: Parts = None,
    direction: Direction = None,
) -> Job:
    """Score both models, and one of them with parts of the other."""
    from elicit.jobs._graft.run import GraftSpec, run_graft

    return GraftSpec, run_graft
