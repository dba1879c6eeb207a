"""`elicit report`: the main job, from options to a page."""

from pathlib import Path
from typing import Annotated

import typer

from elicit.cli import options
from elicit.cli.console import resume_line, session
from elicit.cli.options import RUN, STATISTICS
from elicit.cli.progress import Shown, watched
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


def report(
    pair: options.Pair = None,
    base: options.Base = None,
    post: options.Post = None,
    vocab: options.Vocab = None,
    allow_identical: options.AllowIdentical = None,
    trust_remote_code: options.TrustRemoteCode = None,
    problems: options.Problems = None,
    facts: options.Facts = None,
    problems_how: options.ProblemsHow = None,
    facts_how: options.FactsHow = None,
    limit: options.Limit = None,
    max_new_tokens: options.MaxNewTokens = None,
    extractor: options.Extractor = None,
    templated: options.Templated = None,
    end: options.End = None,
    kinds: Kinds = None,
    controls: Controls = None,
    intervals: Intervals = None,
    integrated: Integrated = None,
    spectra: Spectra = None,
    seed: options.Seed = None,
    level: options.Level = None,
    margin: Margin = None,
    share_margin: ShareMargin = None,
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
    shown: options.Progress = Shown.auto,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Say which layers were changed, corrupted, or carry a skill, and write one page about it."""
    given = dict(locals())  # every option by its name
    folder: list[Path] = []
    with session(debug=debug, on_interrupt=lambda: resume_line("report", folder)):
        from elicit.cli.jobs import prepare
        from elicit.report.job import run_report
        from elicit.report.spec import ReportSpec

        spec = prepare(ReportSpec, config, given, save_config=save_config)
        folder.append(spec.out)
        with watched(shown, quiet=quiet) as progress:
            run = run_report(spec, progress=progress)
    if as_json:
        typer.echo((run.path / "summary.json").read_text(encoding="utf-8"), nl=False)
    else:
        show_report(run.summary, run.page)
