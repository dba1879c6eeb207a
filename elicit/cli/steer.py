"""`elicit steer`: what does adding a direction or a feature bring out, and its controls?"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from elicit.cli import options
from elicit.cli.console import resume_line, session
from elicit.cli.exists import (
    Baselines,
    ChooseShare,
    DirectCue,
    Problems,
    ReasoningCue,
    ShownBy,
)
from elicit.cli.options import RUN, STATISTICS
from elicit.cli.progress import Shown, watched
from elicit.cli.tables import show_steer

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


def steer(
    pair: options.Pair = None,
    base: options.Base = None,
    post: options.Post = None,
    vocab: options.Vocab = None,
    allow_identical: options.AllowIdentical = None,
    trust_remote_code: options.TrustRemoteCode = None,
    problems: Problems = None,
    limit: options.Limit = None,
    reasoning_cue: ReasoningCue = None,
    direct_cue: DirectCue = None,
    shown: ShownBy = None,
    baselines: Baselines = None,
    max_new_tokens: options.MaxNewTokens = None,
    extractor: options.Extractor = None,
    templated: options.Templated = None,
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
    choose_share: ChooseShare = None,
    max_loss: MaxLoss = None,
    seed: options.Seed = None,
    level: options.Level = None,
    n_resamples: options.Resamples = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    device_map: options.DeviceMap = None,
    attn_implementation: options.Attention = None,
    max_tokens: options.MaxTokens = None,
    out: options.Out = None,
    fresh: options.Fresh = None,
    config: options.Config = None,
    save_config: options.SaveConfig = None,
    as_json: options.Json = False,
    progress: options.Progress = Shown.auto,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Steer one model by a direction or a feature, beside controls that push as hard."""
    given = dict(locals())  # every option by its name
    folder: list[Path] = []
    with session(debug=debug, on_interrupt=lambda: resume_line("steer", folder)):
        from elicit.cli.jobs import prepare
        from elicit.report.steer_job import run_steer
        from elicit.report.steer_spec import SteerSpec

        spec = prepare(SteerSpec, config, given, save_config=save_config)
        folder.append(spec.out)
        with watched(progress, quiet=quiet) as told:
            run = run_steer(spec, progress=told)
    if as_json:
        typer.echo((run.path / "summary.json").read_text(encoding="utf-8"), nl=False)
    else:
        show_steer(run.summary, run.page)
