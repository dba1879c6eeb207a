"""A command from a registered job: its options, its run, and its output."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from elicit.cli.console import resume_line, session, stdout, visible
from elicit.cli.options import listed, options_of
from elicit.cli.progress import watched
from elicit.jobs import (
    Command,
    PairSpec,
    SpecError,
    end_tracker,
    read_yaml,
    send_summary,
    tracker_of,
)


def command_of(entry: Command) -> Callable[..., None]:
    """The Typer command function of a registered job."""
    spec_class = entry.spec

    def command(**given: Any) -> None:
        folder: list[Path] = []
        with session(
            debug=given["debug"],
            on_interrupt=lambda: resume_line(entry.name, folder),
            options=tuple(spec_class.model_fields),
        ):
            spec = specified(spec_class, given["config"], listed(spec_class, given))
            if given["save_config"] is not None:
                _save(spec, given["save_config"])
            folder.append(spec.out)
            tracker = None if given["track"] is None else tracker_of(given["track"], spec)
            try:
                with watched(given["progress"], quiet=given["quiet"]) as progress:
                    run = entry.run(spec, progress=progress)
            except BaseException:
                end_tracker(tracker)
                raise
            if tracker is not None:
                send_summary(run.summary, tracker)
        if given["as_json"]:
            typer.echo((run.path / "summary.json").read_text(encoding="utf-8"), nl=False)
        else:
            _show(entry, run.summary, run.page)

    parameters = options_of(spec_class)
    command.__name__, command.__doc__ = entry.name, spec_class.__doc__
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    command.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return command


def specified(spec: type[PairSpec], config: Path | None, given: Mapping[str, object]) -> PairSpec:
    """A validated specification from a file and overriding command-line options.

    Raises:
        SpecError: An option is unknown or invalid, or options contradict each other.
    """
    if config is None:
        return spec.from_options(given)
    read = read_yaml(config)
    # Models on the command line replace those of the file, in either form.
    dropped = {"pair": ("base", "post"), "base": ("pair",), "post": ("pair",)}
    drop = {other for name in dropped if name in given for other in dropped[name]}
    try:
        return spec.from_options(
            {name: value for name, value in read.items() if name not in drop}, given
        )
    except SpecError as error:
        told = SpecError(f"{error} Some options were read from {config}.")
        told.missing = error.missing
        raise told from error


def _save(spec: PairSpec, path: Path) -> None:
    """Write a specification to the requested file."""
    try:
        spec.to_yaml(path)
    except OSError as error:
        raise SpecError(
            f"The options cannot be saved to {path} ({error.strerror or error}), so nothing was "
            "run. Choose another --save-config."
        ) from error


def _show(entry: Command, summary: Mapping[str, Any], page: Path) -> None:
    """Print the finding, tables, notes, next command and page path."""
    if summary["sentence"]:
        _say([str(summary["sentence"])])
    for table in entry.tables(summary):
        if table.rows:
            _print(table.title, table.head, table.rows, table.styles)
        _say(table.after)
    _say([f"Note: {note}" for note in summary["notes"]])
    if summary["next"]:
        _say([f"Next: {summary['next']}"], gap=False)
    _say([f"Report: {page}"], gap=False)


def _print(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str]
) -> None:
    _say([title] if title else [], gap=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(visible(name), no_wrap=True)
    for i, row in enumerate(rows):
        table.add_row(*(visible(str(cell)) for cell in row), style=styles[i] if styles else "")
    console = stdout()
    console.print(table)
    console.print()


def _say(lines: Sequence[str], *, gap: bool = True) -> None:
    """Print lines verbatim on stdout, then an empty one."""
    console = stdout()
    for line in lines:
        console.print(visible(line), markup=False, soft_wrap=True)
    if lines and gap:
        console.print()
