"""`elicit sweep`: many runs from one file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from elicit.cli.console import complain, session, stdout, visible
from elicit.cli.progress import Shown, watched

if TYPE_CHECKING:
    from elicit.sweep import Swept


def sweep(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="YAML file of the study, or its URL.")
    ],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the study, or a URL such as s3://bucket/study (default: out of the "
            "file).",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="auto|local|ADDRESS",
            help="Spread the runs over Ray (default: here, one after the other).",
        ),
    ] = None,
    slurm: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a Slurm array script instead of running."),
    ] = None,
    only: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Number of a run to do; may be repeated.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Discard earlier runs and start over.")
    ] = False,
    progress: Annotated[Shown, typer.Option(help="How progress is shown.")] = Shown.auto,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Run every job of a study, here, on Ray or on Slurm, and compare what they found."""
    with session(
        debug=debug,
        on_interrupt=lambda: f"Interrupted. Go on with: elicit sweep {study}",
        options=("fresh", "out", "ray"),
    ):
        from elicit.results import write_atomic
        from elicit.sweep import SweepError, array_script, read_study
        from elicit.sweep import sweep as run_study

        read = read_study(study, out=out)
        if read.url is not None and read.url.startswith("memory:"):
            raise SweepError(
                f"out is {read.url}, which is in the memory of one process, so that nothing would "
                "be left when this command ends. Pass a folder, or a URL such as s3://bucket/study."
            )
        if slurm is not None:
            if ray is not None:
                raise SweepError(
                    f"ray is {ray!r} and a Slurm script is asked for too, so it is not clear what "
                    "runs the study. Give one."
                )
            write_atomic(slurm, array_script(read, study).encode())
            said = f"Written: {slurm}. Set its time limit, and submit it with: sbatch {slurm}"
            typer.echo(said, err=True)
            return
        with watched(progress, quiet=False) as shown:
            swept = run_study(read, ray=ray, only=only or (), fresh=fresh, progress=shown)
    _show(swept)
    if swept.failed:
        failed = "; ".join(f"{one.name}: {one.why}" for one in swept.failed)
        complain(
            SweepError(
                f"{len(swept.failed)} of {len(read.runs)} runs failed and the others are whole. "
                f"{failed}"
            )
        )
        raise typer.Exit(1)


def _show(swept: "Swept") -> None:
    console = stdout()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("run", "status", "finding"):
        table.add_column(head, no_wrap=head != "finding")
    found = (
        {}
        if swept.comparison is None
        else dict(zip(swept.comparison.run, swept.comparison.finding, strict=True))
    )
    for one in swept.done:
        table.add_row(visible(one.name), one.status, visible(found.get(one.name, one.why)))
    console.print(table)
    if swept.comparison is not None:
        console.print(f"Comparison: {swept.page}", markup=False, soft_wrap=True)
