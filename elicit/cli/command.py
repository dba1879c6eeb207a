"""Commands that run a job: the options that all of them have, and how a job is run and told."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer

from elicit.cli import options
from elicit.cli.console import resume_line, session
from elicit.cli.progress import Shown, watched

Job = tuple[Any, Callable[..., Any]]
"""Class of what is specified, and what does it: a run with `path`, `summary` and often `page`."""


def job(show: Callable[[Mapping[str, Any], Path], None]) -> Callable[..., Callable[..., None]]:
    """A command made of a function that has its own options and names its job.

    The options of all jobs are put around the function's own; one of the same name stands in the
    place of theirs. The function is called without any, when errors can be told, so that what it
    imports costs the help nothing.

    Args:
        show: Prints a summary, and where the page is, else the folder.
    """

    def made(own: Callable[..., Job]) -> Callable[..., None]:
        name = own.__name__

        def command(**given: Any) -> None:
            folder: list[Path] = []
            with session(debug=given["debug"], on_interrupt=lambda: resume_line(name, folder)):
                from elicit.cli.jobs import prepare

                kind, do = own()
                spec = prepare(kind, given["config"], given, save_config=given["save_config"])
                folder.append(spec.out)
                with watched(given["progress"], quiet=given["quiet"]) as told:
                    run = do(spec, progress=told)
            if given["as_json"]:
                typer.echo((run.path / "summary.json").read_text(encoding="utf-8"), nl=False)
            else:
                show(run.summary, getattr(run, "page", run.path))

        every = _options(own)
        command.__name__, command.__doc__ = name, own.__doc__
        command.__annotations__ = {each.name: each.annotation for each in every}
        command.__signature__ = inspect.Signature(every)  # pyright: ignore[reportFunctionMemberAccess]
        return command

    return made


def _options(own: Callable[..., Job]) -> list[inspect.Parameter]:
    """Options of a command in the order of its help, which shows them by panel."""
    mine = dict(inspect.signature(own).parameters)
    first, last = (inspect.signature(shared).parameters for shared in (_models, _run))
    found = [mine.pop(name, theirs) for name, theirs in first.items()]
    end = [mine.pop(name, theirs) for name, theirs in last.items()]
    return [*found, *mine.values(), *end]


def _models(
    pair: options.Pair = None,
    base: options.Base = None,
    post: options.Post = None,
    vocab: options.Vocab = None,
    allow_identical: options.AllowIdentical = None,
    trust_remote_code: options.TrustRemoteCode = None,
    problems: options.Problems = None,
    limit: options.Limit = None,
    templated: options.Templated = None,
) -> None:
    """Which models, and what they are asked."""


def _run(
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
    """How the numbers are made and where they go."""
