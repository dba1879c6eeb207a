"""`elicit features`: which features of a dictionary are about reasoning, and what rejects them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from elicit.cli import options
from elicit.cli.command import Job, job
from elicit.cli.options import RUN, STATISTICS, TASKS
from elicit.cli.tables import show_features

DICTIONARY = "The dictionary"

Problems = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Problems as JSONL, 60 or more to say much. An embedded pair has its own.",
        rich_help_panel=TASKS,
    ),
]
Traces = Annotated[
    list[str] | None,
    typer.Option(
        "--traces",
        metavar="WHICH,…",
        help="own: texts that both models write; task: the problems’ own; or JSONL files with "
        "'text' (default: own, and task where every problem has one).",
        rich_help_panel=TASKS,
    ),
]
Sae = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="A folder of SAELens, or sae:RELEASE/ID (default: one is trained in the run).",
        rich_help_panel=DICTIONARY,
    ),
]
TrainOn = Annotated[
    Literal["base", "post", "both"] | None,
    typer.Option(help="Whose activations it learns (default: base).", rich_help_panel=DICTIONARY),
]
SiteName = Annotated[
    str | None,
    typer.Option(
        metavar="SITE",
        help="Where it reads (default: resid_post after 0.6 of the layers).",
        rich_help_panel=DICTIONARY,
    ),
]
DSae = Annotated[
    int | None,
    typer.Option(
        "--d-sae",
        metavar="N",
        help="Features (default: twice the width).",
        rich_help_panel=DICTIONARY,
    ),
]
K = Annotated[
    int | None,
    typer.Option(
        "--k",
        metavar="N",
        help="Active features a token (default: 4).",
        rich_help_panel=DICTIONARY,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Steps of 512 tokens (default: 400, enough for an embedded pair).",
        rich_help_panel=DICTIONARY,
    ),
]
MaxFvu = Annotated[
    float | None,
    typer.Option(
        "--max-fvu",
        metavar="X",
        help="Largest FVU with which features are still named (default: 0.5).",
        rich_help_panel=DICTIONARY,
    ),
]
LeastRecovered = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Smallest share of the cross-entropy recovered with which they are (default: 0.5).",
        rich_help_panel=DICTIONARY,
    ),
]
AllowUnfaithful = Annotated[
    bool | None,
    typer.Option(
        "--allow-unfaithful",
        help="Name features of a dictionary that fails its gates.",
        rich_help_panel=DICTIONARY,
    ),
]
Outliers = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Leave tokens above X times the median norm out of the gates (default: none).",
        rich_help_panel=DICTIONARY,
    ),
]
On = Annotated[
    Literal["base", "post"] | None,
    typer.Option(
        "--on",
        help="Whose features are searched (default: the model that the dictionary belongs to).",
        rich_help_panel=RUN,
    ),
]
Groups = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Words of reasoning as JSON, a list of spellings a group (default: ten usual ones).",
        rich_help_panel=RUN,
    ),
]
Asked = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        "--feature",
        metavar="N,…",
        help="Candidates besides those that are found.",
        rich_help_panel=RUN,
    ),
]
Top = Annotated[
    int | None,
    typer.Option(metavar="N", help="Candidates of each score (default: 4).", rich_help_panel=RUN),
]
NPlaces = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Problems whose texts are written again for each candidate (default: 16).",
        rich_help_panel=RUN,
    ),
]
NSamples = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Continuations of each place (default: 8).", rich_help_panel=RUN
    ),
]
Window = Annotated[
    int | None,
    typer.Option(metavar="N", help="Tokens of each (default: 8).", rich_help_panel=RUN),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        metavar="T",
        help="At which texts are written, and written again (default: 1.0).",
        rich_help_panel=RUN,
    ),
]
ChooseShare = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Share of the problems to train and choose on (default: 0.5).",
        rich_help_panel=STATISTICS,
    ),
]


@job(show_features)
def features(
    problems: Problems = None,
    reasoning_cue: options.ReasoningCue = None,
    direct_cue: options.DirectCue = None,
    shown: options.ShownBy = None,
    traces: Traces = None,
    max_new_tokens: options.MaxNewTokens = None,
    sae: Sae = None,
    train_on: TrainOn = None,
    site: SiteName = None,
    d_sae: DSae = None,
    k: K = None,
    steps: Steps = None,
    max_fvu: MaxFvu = None,
    least_recovered: LeastRecovered = None,
    allow_unfaithful: AllowUnfaithful = None,
    outliers: Outliers = None,
    on: On = None,
    groups: Groups = None,
    features: Asked = None,
    top: Top = None,
    n_places: NPlaces = None,
    n_samples: NSamples = None,
    window: Window = None,
    temperature: Temperature = None,
    choose_share: ChooseShare = None,
) -> Job:
    """Find features of reasoning, try to reject each, and say whether post still has them."""
    from elicit.jobs._features.run import run_features
    from elicit.jobs._features.spec import FeaturesSpec

    return FeaturesSpec, run_features
