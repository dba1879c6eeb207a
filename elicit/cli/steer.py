"""`elicit steer`: what does adding a direction or a feature bring out, and its controls?"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from elicit.cli import options
from elicit.cli.command import Job, job
from elicit.cli.options import RUN, STATISTICS, TASKS
from elicit.cli.tables import show_steer

Problems = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Problems as JSONL, 60 or more to say much. An embedded pair has its own.",
        rich_help_panel=TASKS,
    ),
]
Method = Annotated[
    Literal["diff-mean", "pca", "trained", "feature"] | None,
    typer.Option(
        help="How what is steered with is found (default: feature with --sae, else diff-mean).",
        rich_help_panel=RUN,
    ),
]
Vector = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Instead: a saved direction, such as a run's vector/.",
        rich_help_panel=RUN,
    ),
]  # fmt: skip
SaeSource = Annotated[
    str | None,
    typer.Option(
        "--sae",
        metavar="SOURCE",
        help="Folder of an SAE, or sae:<release>/<id>.",
        rich_help_panel=RUN,
    ),
]
Feature = Annotated[
    int | None, typer.Option(metavar="N", help="Number of the feature.", rich_help_panel=RUN)
]
How = Annotated[
    Literal["add", "clamp", "project-out"] | None,
    typer.Option(help="What is done with the feature (default: add).", rich_help_panel=RUN),
]
Amount = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Of the feature at strength 1 (default: twice its largest activation).",
        rich_help_panel=RUN,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(metavar="N", help="Of training a vector (default: 100).", rich_help_panel=RUN),
]
Sites = Annotated[
    list[str] | None,
    typer.Option(
        "--sites",
        "--site",
        metavar="SITE,…",
        help="Where it may be added; the best is chosen (default: resid_post, of every layer).",
        rich_help_panel=RUN,
    ),
]
WhereAt = Annotated[
    Literal["last", "first", "generated", "all"] | None,
    typer.Option(
        help="The prompt's last token, the first generated one, all generated ones, or all tokens "
        "(default: last).",
        rich_help_panel=RUN,
    ),
]
On = Annotated[
    Literal["base", "post"] | None,
    typer.Option(
        help="Model that is steered; the other is the target (default: base).",
        rich_help_panel=RUN,
    ),
]
Strengths = Annotated[
    list[str] | None,
    typer.Option(
        "--strengths",
        metavar="X,…",
        help="How strongly (default: 0.25,0.5,0.75,1,1.5,2).",
        rich_help_panel=RUN,
    ),
]
NRandom = Annotated[
    int | None,
    typer.Option(metavar="N", help="Random directions (default: 4).", rich_help_panel=RUN),
]
NLive = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Features beside --feature that fire as often (default: 4).",
        rich_help_panel=RUN,
    ),
]
LiveFactor = Annotated[
    float | None,
    typer.Option(
        metavar="X", help="Within this factor of its rate (default: 2).", rich_help_panel=RUN
    ),
]
ChooseBy = Annotated[
    Literal["accuracy", "shown"] | None,
    typer.Option(
        help="What the strength is chosen by (default: accuracy if its gap is clear, else shown).",
        rich_help_panel=STATISTICS,
    ),
]
MaxLoss = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Nats a token by which texts may be less probable than the model's own (default: 1).",
        rich_help_panel=STATISTICS,
    ),
]


@job(show_steer)
def steer(
    problems: Problems = None,
    reasoning_cue: options.ReasoningCue = None,
    direct_cue: options.DirectCue = None,
    shown: options.ShownBy = None,
    baselines: options.Baselines = None,
    max_new_tokens: options.MaxNewTokens = None,
    extractor: options.Extractor = None,
    method: Method = None,
    vector: Vector = None,
    sae: SaeSource = None,
    feature: Feature = None,
    how: How = None,
    amount: Amount = None,
    steps: Steps = None,
    sites: Sites = None,
    where: WhereAt = None,
    on: On = None,
    strengths: Strengths = None,
    n_random: NRandom = None,
    n_live: NLive = None,
    live_factor: LiveFactor = None,
    choose_by: ChooseBy = None,
    choose_share: options.ChooseShare = None,
    max_loss: MaxLoss = None,
) -> Job:
    """Steer one model by a direction or a feature, beside controls that push as hard."""
    from elicit.jobs._steer.run import run_steer
    from elicit.jobs._steer.spec import SteerSpec

    return SteerSpec, run_steer
