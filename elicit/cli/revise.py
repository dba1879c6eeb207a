"""`elicit revise`: at which layer the predictions of both models settle."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from elicit.cli.command import Job, job
from elicit.cli.options import MACHINE, RUN, TASKS
from elicit.cli.tables import show_revise

CONVENTION = "What settled means"

Problems = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Problems as JSONL: prompt and answer, trace and difficulty where there are some. An "
        "embedded pair has its own.",
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
Traces = Annotated[
    list[str] | None,
    typer.Option(
        "--traces",
        metavar="WHICH,…",
        help="given: the problems' own; own: texts that each model writes, read by both; decision: "
        "the first token after the prompt (default: where every problem has one given, else own).",
        rich_help_panel=RUN,
    ),
]
Lens = Annotated[
    Literal["logit", "bias", "tuned"] | None,
    typer.Option(
        help="How layers are read; bias and tuned are fitted for each model on half of the "
        "problems, and the other half is read (default: logit).",
        rich_help_panel=RUN,
    ),
]
LensSteps = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Updates of the fit of a lens, 250 if not given.",
        rich_help_panel=RUN,
    ),
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Longest text of its own, tokens (default: 128).", rich_help_panel=RUN
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        metavar="T", help="Of texts of its own; 0 is greedy (default: 0.0).", rich_help_panel=RUN
    ),
]
Convention = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="paper, or that of a public implementation, by its repository (default: paper).",
        rich_help_panel=CONVENTION,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="G",
        help="Divergence up to which a layer has settled (default: the convention's, 0.5).",
        rich_help_panel=CONVENTION,
    ),
]
Unit = Annotated[
    Literal["bits", "nats"] | None,
    typer.Option(
        help="Unit of the threshold (default: the convention's, bits).", rich_help_panel=CONVENTION
    ),
]
Rho = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Share of the layers after which settling is deep (default: the convention's, 0.85).",
        rich_help_panel=CONVENTION,
    ),
]
Reading = Annotated[
    Literal["first_hit", "last_exit"] | None,
    typer.Option(
        help="First layer as near as that, or first from which all are (default: the convention's, "
        "first_hit).",
        rich_help_panel=CONVENTION,
    ),
]
Norm = Annotated[
    Literal["once", "none", "twice"] | None,
    typer.Option(
        help="Final norm of the layers; none and twice repeat mistakes (default: the convention's, "
        "once).",
        rich_help_panel=CONVENTION,
    ),
]
Budget = Annotated[
    int | None,
    typer.Option(
        metavar="MIB", help="Memory for blocks of logits (default: 256).", rich_help_panel=MACHINE
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Tokens in a forward; bounds memory (default: 4096).",
        rich_help_panel=MACHINE,
    ),
]


@job(show_revise)
def revise(
    problems: Problems = None,
    limit: Limit = None,
    traces: Traces = None,
    lens: Lens = None,
    lens_steps: LensSteps = None,
    max_new_tokens: MaxNewTokens = None,
    temperature: Temperature = None,
    convention: Convention = None,
    threshold: Threshold = None,
    unit: Unit = None,
    rho: Rho = None,
    reading: Reading = None,
    norm: Norm = None,
    budget: Budget = None,
    max_tokens: MaxTokens = None,
) -> Job:
    """Say at which layer predictions settle, in both models on the same tokens."""
    from elicit.jobs._revise.run import run_revise
    from elicit.jobs._revise.spec import ReviseSpec

    return ReviseSpec, run_revise
