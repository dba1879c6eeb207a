"""`elicit exists`: does the base already have what the post-trained model shows?"""

from pathlib import Path
from typing import Annotated

import typer

from elicit.cli import options
from elicit.cli.console import resume_line, session
from elicit.cli.options import RUN, STATISTICS, TASKS
from elicit.cli.progress import Shown, watched
from elicit.cli.tables import show_exists

Problems = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Problems as JSONL, 100 or more for a useful verdict. An embedded pair has its own.",
        rich_help_panel=TASKS,
    ),
]
ReasoningCue = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help=r"Words before a problem that call for reasoning; \n is a line end.",
        rich_help_panel=TASKS,
    ),
]
DirectCue = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Words before a problem that call for the answer at once; best of as many tokens.",
        rich_help_panel=TASKS,
    ),
]
ShownBy = Annotated[
    str | None,
    typer.Option(
        "--shown",
        metavar="REGEX",
        help="What a text that reasons has in it (default: 12 words or more).",
        rich_help_panel=TASKS,
    ),
]
Baselines = Annotated[
    list[Path] | None,
    typer.Option(
        "--baselines",
        "--baseline",
        metavar="FILE",
        help="Another way to ask the base, as text with {prompt} in place of the problem, after "
        "solved ones for example. The gap begins at the best way. May be given again.",
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
ChooseShare = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Share of the problems to choose on (default: 0.5).",
        rich_help_panel=STATISTICS,
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


def exists(
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
    sites: Sites = None,
    strengths: Strengths = None,
    n_random: NRandom = None,
    n_redrawn: NRedrawn = None,
    choose_share: ChooseShare = None,
    least_effect: LeastEffect = None,
    least_share: LeastShare = None,
    margin: Margin = None,
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
    """Say how far the evidence goes that the base already has what post shows."""
    given = dict(locals())  # every option by its name
    folder: list[Path] = []
    with session(debug=debug, on_interrupt=lambda: resume_line("exists", folder)):
        from elicit.cli.jobs import prepare
        from elicit.report.exists_job import run_exists
        from elicit.report.exists_spec import ExistsSpec

        spec = prepare(ExistsSpec, config, given, save_config=save_config)
        folder.append(spec.out)
        with watched(progress, quiet=quiet) as told:
            run = run_exists(spec, progress=told)
    if as_json:
        typer.echo((run.path / "summary.json").read_text(encoding="utf-8"), nl=False)
    else:
        show_exists(run.summary, run.page)
