"""`elicit export`: what a run holds, in the formats of other tools."""

import inspect
import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from elicit.cli.console import complain, session, stdout, visible

_GIVEN: dict[str, Any] = {
    "run": Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="Run directory, or the folder of a result or an SAE."),
    ],
    "to": Annotated[
        str | None, typer.Option(metavar="TOOL", help="What to write; without it tools are listed.")
    ],
    "out": Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="File or folder to write (default: beside RUN, in RUN-exports)."
        ),
    ],
    "result": Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which result of the run (default: the one that suits)."),
    ],
    "site": Annotated[
        str | None, typer.Option(metavar="SITE", help="Which of a set of directions.")
    ],
    "scale": Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Multiple of a vector (default: the strength that the run chose)."
        ),
    ],
    "model": Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Model to steer (default: the vector's own)."),
    ],
    "repo": Annotated[
        str | None,
        typer.Option(
            metavar="USER/NAME", help="Repository of the hub; without it nothing is sent."
        ),
    ],
    "private": Annotated[bool, typer.Option("--private", help="Make a new repository private.")],
    "as_json": Annotated[
        bool, typer.Option("--json", help="Print paths and remarks as JSON and nothing else.")
    ],
    "debug": Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")],
}
"""What the command takes, by name; all may be left out."""


def export(**given: Any) -> None:
    """Write what a run holds for other tools, such as lm-eval, llama.cpp, vLLM and SAELens."""
    from elicit.exports import EXPORTERS, ExportError, Options
    from elicit.exports import export as write

    run, to, out, as_json, debug = (
        given[name] for name in ("run", "to", "out", "as_json", "debug")
    )
    names = tuple(field.name for field in fields(Options))
    with session(debug=debug, on_interrupt=lambda: "Interrupted.", options=names):
        done = None
        if (run is None) != (to is None):
            error = ExportError(
                f"{'RUN' if run is None else '--to'} is not given, so there is nothing to write. "
                f"Write elicit export RUN --to TOOL; tools are {', '.join(EXPORTERS)}."
            )
            complain(error)
            raise typer.Exit(2) from error
        options = Options(**{name: given[name] for name in names})
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


export.__signature__ = inspect.Signature(  # pyright: ignore[reportFunctionMemberAccess]
    [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=False if "bool" in str(kind) else None,
            annotation=kind,
        )
        for name, kind in _GIVEN.items()
    ]
)
export.__annotations__ = dict(_GIVEN)


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
