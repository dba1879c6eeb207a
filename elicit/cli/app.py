"""The command line: its commands and their common behaviour."""

from collections.abc import Sequence
from typing import Annotated

import typer

from elicit.cli.command import command_of
from elicit.cli.console import survive_narrow_streams
from elicit.cli.examples import epilog, examples_of
from elicit.cli.export import export
from elicit.cli.organisms import organisms
from elicit.cli.plan import CONTEXT, plan
from elicit.cli.sweep import sweep
from elicit.jobs import COMMANDS

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _entry in COMMANDS.values():
    app.command(epilog=epilog(*examples_of(_entry.spec)))(command_of(_entry))
app.command(epilog=epilog("elicit sweep study.yaml", "elicit sweep study.yaml --slurm array.sh"))(
    sweep
)
app.command(
    epilog=epilog("elicit export", "elicit export DIR --to gguf", "elicit export DIR --to parquet")
)(export)
app.command(
    context_settings=CONTEXT,
    epilog=epilog(
        "elicit plan --command all --pair organism:rl",
        "elicit plan --command patch --base A --post B --problems P.jsonl --dtype bfloat16",
    ),
)(plan)
app.command(
    epilog=epilog("elicit organisms", "elicit organisms --export shuffled-l3 DIR"),
)(organisms)


def _version(asked: bool) -> bool:
    if asked:
        import importlib.metadata

        typer.echo(f"elicit {importlib.metadata.version('elicit-interp')}")
        raise typer.Exit
    return asked


@app.callback()
def elicit(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """Compare a base language model with its post-trained sibling.

    Which layers did post-training change, which carry its gains, and which did it corrupt?
    Which activations carry the difference? When do predictions settle? Did the base already have
    the behaviour, in which features, and what elicits it? Does the written thought still decide?

    Seven examples, the first of which asks everything:

    elicit audit --pair organism:when-l3 --out audit

    elicit report --pair organism:shuffled-l3 --out report

    elicit report --base A --post B --problems P.jsonl --facts F.jsonl --out DIR

    elicit patch --base A --post B --problems P.jsonl --out DIR

    elicit revise --base A --post B --problems P.jsonl --out DIR

    elicit trace --base A --post B --problems P.jsonl --out DIR

    elicit exists --pair organism:rl --out DIR
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    0 is success, 1 an error, 2 wrong usage, 130 an interruption.

    Args:
        arguments: Words after the program's name; those of this process if None.
    """
    survive_narrow_streams()
    app(args=arguments, prog_name="elicit")
