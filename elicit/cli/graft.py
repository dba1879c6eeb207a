"""`elicit graft`: one model with parts of the other, scored."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from elicit.cli import options
from elicit.cli.console import resume_line, session
from elicit.cli.options import RUN
from elicit.cli.progress import Shown, watched
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


def graft(
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
    parts: Parts = None,
    direction: Direction = None,
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
    shown: options.Progress = Shown.auto,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Score both models, and one of them with parts of the other."""
    given = dict(locals())  # every option by its name
    folder: list[Path] = []
    with session(debug=debug, on_interrupt=lambda: resume_line("graft", folder)):
        from elicit.cli.jobs import prepare
        from elicit.report.graft_job import GraftSpec, run_graft

        spec = prepare(GraftSpec, config, given, save_config=save_config)
        folder.append(spec.out)
        with watched(shown, quiet=quiet) as progress:
            run = run_graft(spec, progress=progress)
    if as_json:
        typer.echo((run.path / "summary.json").read_text(encoding="utf-8"), nl=False)
    else:
        show_graft(run.summary, run.path)
