"""`elicit export`: what a run holds, in the formats of other tools."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from elicit.cli.console import session, stdout, visible


def export(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="Run directory, or the folder of a result or an SAE."),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="TOOL", help="What to write; without it tools are listed.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="File or folder to write (default: beside RUN, in RUN-exports)."
        ),
    ] = None,
    result: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which result of the run (default: the one that suits)."),
    ] = None,
    site: Annotated[
        str | None, typer.Option(metavar="SITE", help="Which of a set of directions.")
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Multiple of a vector (default: the strength that the run chose)."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Model to steer (default: the vector's own)."),
    ] = None,
    repo: Annotated[
        str | None,
        typer.Option(
            metavar="USER/NAME", help="Repository of the hub; without it nothing is sent."
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository private.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print paths and remarks as JSON and nothing else.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Write what a run holds for other tools, such as lm-eval, llama.cpp, vLLM and SAELens."""
    from elicit.exports import EXPORTERS, ExportError, Options
    from elicit.exports import export as write

    names = ("result", "site", "scale", "model", "repo", "private")
    with session(debug=debug, on_interrupt=lambda: "Interrupted.", options=names):
        done = None
        if (run is None) != (to is None):
            raise ExportError(
                f"{'RUN' if run is None else '--to'} is not given, so there is nothing to write. "
                f"Write elicit export RUN --to TOOL; tools are {', '.join(EXPORTERS)}."
            )
        options = Options(
            result=result, site=site, scale=scale, model=model, repo=repo, private=private
        )
        if run is not None and to is not None:
            done = write(run, to, out, options)
    if done is None:
        _list(as_json=as_json)
    elif as_json:
        told = {"paths": [str(path) for path in done.paths], "says": list(done.says)}
        typer.echo(json.dumps(told, indent=1))
    else:
        for line in (*(f"Written: {path}" for path in done.paths), *done.says):
            stdout().print(visible(line), markup=False, soft_wrap=True)


def _list(*, as_json: bool) -> None:
    from elicit.exports import EXPORTERS

    if as_json:
        typer.echo(json.dumps({name: each.help for name, each in EXPORTERS.items()}, indent=1))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("tool", "writes", "options"):
        table.add_column(head, no_wrap=True)
    for name, each in EXPORTERS.items():
        table.add_row(name, each.help, ", ".join(f"--{use}" for use in ("result", *each.uses)))
    stdout().print(table)
