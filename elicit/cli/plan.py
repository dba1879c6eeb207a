"""`elicit plan`: what a command needs, without loading weights."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from elicit.cli.command import command_of, specified
from elicit.cli.console import session, stdout, visible
from elicit.cli.options import listed
from elicit.jobs import COMMANDS, PairSpec, SpecError

if TYPE_CHECKING:
    from elicit.jobs import Fit, Plan

CONTEXT = {"ignore_unknown_options": True}
"""Further options are those of the command that is planned."""


def plan(
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="OPTIONS OF THE COMMAND", help="Every other option is handed on."),
    ] = None,
    command: Annotated[
        str,
        typer.Option(metavar="NAMES", help="Commands to plan, such as patch,report; or all."),
    ] = "report",
    cards: Annotated[
        str, typer.Option(metavar="NAMES", help="Cards to say minutes for.")
    ] = "L4,A100-80GB,H100,H200",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the plan as JSON and nothing else.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Say what a command needs before weights are loaded: memory, operations, minutes, flags.

    Every further option is one of that command: models, task files, --dtype, --samples and so on.
    Configurations, tokenizers and task files are read, weights are not.
    """
    with session(
        debug=debug, on_interrupt=lambda: "Interrupted.", options=tuple(PairSpec.model_fields)
    ):
        from elicit.jobs import plan as planned

        specs = [_spec(name, options or []) for name in _named(command)]
        plans = planned(*specs, cards=[name.strip() for name in cards.split(",") if name.strip()])
    if as_json:
        typer.echo(json.dumps([each.to_json() for each in plans], indent=1))
        return
    for each in plans:
        _show(each)
    _say(
        "Texts count at their longest, activations as float32. Minutes are data-sheet rates times "
        "an assumed efficiency (docs/commands.md), not measured. The command counts the same, "
        "and expects fewer minutes where the few texts that it writes first end earlier. Weights "
        "in host memory cross the bus in every forward; as each counts as full, it may take longer."
    )


def _named(command: str) -> list[str]:
    """The commands to plan."""
    names = list(COMMANDS) if command == "all" else [name.strip() for name in command.split(",")]
    unknown = [name for name in names if name not in COMMANDS]
    if unknown:
        raise SpecError(
            f"there is no command {unknown[0]!r} on a pair, so nothing can be planned. Commands "
            f"are {', '.join(COMMANDS)}, and all."
        )
    return names


def _spec(name: str, arguments: Sequence[str]) -> PairSpec:
    """The options of a command, read as the command itself reads them."""
    entry = COMMANDS[name]
    parser = typer.Typer(add_completion=False)
    parser.command()(command_of(entry))
    # Nothing is written, so that no folder has to be named.
    words = [*arguments] if "--out" in arguments else [*arguments, "--out", "plan"]
    parsed = typer.main.get_command(parser).make_context(f"elicit {name}", words).params
    given = {
        key: list(value) if isinstance(value, tuple) else value for key, value in parsed.items()
    }
    config = None if parsed["config"] is None else Path(parsed["config"])
    return specified(entry.spec, config, listed(entry.spec, given))


def _show(plan: "Plan") -> None:
    forecast, console = plan.forecast, stdout()
    _say(
        f"{plan.command}: {plan.n_parameters / 1e9:.3g} B parameters a model in {plan.dtype}, "
        f"{forecast.read:,.0f} tokens read, at most {forecast.written:,.0f} written, "
        f"{forecast.flop / 1e12:,.3g} TFLOP, {forecast.gib:.3g} GiB."
    )
    for head, rows in (
        (
            ("what", "GiB"),
            [(name, f"{gib:.3g}") for name, gib in plan.placement.items() if gib >= 0.005],
        ),
        (
            ("stage", "TFLOP", "GiB"),
            [
                (
                    stage.name,
                    f"{forecast.flop_of(stage) / 1e12:,.3g}",
                    f"{forecast.size.memory(stage) / 2**30:.2g}",
                )
                for stage in forecast.stages
            ],
        ),
        (
            ("card", "cards", "time at most", "GiB", "flags that make it fit"),
            [
                (
                    fit.card,
                    str(fit.n_cards) if fit.n_cards else "",
                    _time(fit),
                    f"{fit.gib:.3g}",
                    fit.words,
                )
                for fit in plan.fits
            ],
        ),
    ):
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in head:
            table.add_column(name, no_wrap=True)
        for row in rows:
            table.add_row(*map(visible, row))
        console.print(table)
        console.print()
    for note in plan.notes:
        _say(f"Note: {note}")


def _time(fit: "Fit") -> str:
    """How long it runs: at most, but for weights that come over the bus again and again."""
    from elicit.jobs import duration

    if fit.minutes is None:
        return ""
    said = duration(fit.minutes)
    return f"{said} or more" if fit.moved else said


def _say(line: str) -> None:
    stdout().print(visible(line), markup=False, soft_wrap=True)
