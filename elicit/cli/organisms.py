"""`elicit organisms`: list the embedded pairs, or export one as ordinary files."""

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from elicit.cli.console import session, stdout, visible


def organisms(
    export: Annotated[
        tuple[str, Path] | None,
        typer.Option(
            metavar="NAME DIR", help="Write a pair as Hugging Face folders with its task files."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the truth cards as JSON and nothing else.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """List the embedded pairs and what was planted in each."""
    from elicit.organisms import names, resolve

    with session(debug=debug, on_interrupt=lambda: "Interrupted."):
        folder = None if export is None else write_pair(export[0], export[1])
        cards = (
            []
            if export is not None
            else [{**resolve(name).truth, "name": resolve(name).name} for name in names()]
        )
    if folder is not None:
        _say_exported(folder, as_json=as_json)
    elif as_json:
        typer.echo(json.dumps(cards, indent=1))
    else:
        _table(cards)


def write_pair(name: str, folder: Path) -> Path:
    """Export an organism: `base`, `post` and both task files.

    `folder`: created if needed; nothing in it is overwritten.

    Returns:
        The folder.

    Raises:
        OrganismError: The pair does not exist, or the folder is not writable.
    """
    from elicit.organisms import OrganismError, export, resolve

    pair = resolve(name)
    there = [
        place
        for place in ("base", "post", "problems.jsonl", "facts.jsonl")
        if (folder / place).exists()
    ]
    if there:
        raise OrganismError(
            f"{folder} already contains {there[0]!r}, which an export of {pair.name} would "
            "overwrite. Choose another folder."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for role, model in (("base", pair.base), ("post", pair.post)):
            export(model, folder / role)
        shutil.copyfile(pair.problems, folder / "problems.jsonl")
        shutil.copyfile(pair.facts, folder / "facts.jsonl")
    except OSError as error:
        raise OrganismError(
            f"{error.filename or folder} cannot be written ({error.strerror or error}), so the "
            f"export of {pair.name} is incomplete. Choose a writable folder."
        ) from error
    return folder


def _say_exported(folder: Path, *, as_json: bool) -> None:
    if as_json:
        places = ("base", "post", "problems.jsonl", "facts.jsonl")
        typer.echo(
            json.dumps({place.partition(".")[0]: str(folder / place) for place in places}, indent=1)
        )
        return
    console = stdout()
    console.print(
        f"Written to {visible(str(folder))}. Compare them as any two models:",
        markup=False,
        soft_wrap=True,
    )
    console.print(
        f"  elicit report --base {folder}/base --post {folder}/post "
        f"--problems {folder}/problems.jsonl --facts {folder}/facts.jsonl --out {folder}/report",
        markup=False,
        soft_wrap=True,
    )


def _table(cards: list[dict]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("pair", "family", "layers", "changed", "corrupted", "skill", "gates", "what"):
        table.add_column(
            head, justify="right" if head == "layers" else "left", no_wrap=head == "pair"
        )
    for card in cards:
        gates = card.get("gates", [])
        met = sum(bool(gate["ok"]) for gate in gates)
        table.add_row(
            card["name"],
            card["family"],
            str(card["n_layers"]),
            *(
                _layers(card[f"{what}_layers"], card["n_layers"])
                for what in ("changed", "corrupted", "skill")
            ),
            f"{met} of {len(gates)}" if gates else "by design",
            card["what"],
        )
    console = stdout()
    console.print(table)
    notes: dict[str, list[str]] = {}
    for card in cards:
        if card.get("note"):
            notes.setdefault(card["note"], []).append(card["name"])
    for note, names in notes.items():
        who = f"{names[0]} and {len(names) - 1} more" if len(names) > 3 else ", ".join(names)
        console.print(f"{who}: {visible(note)}", markup=False, soft_wrap=True)
    console.print(
        f'{len(cards)} pairs. "open": not planted, so the measurement is the finding.\n'
        "Try: elicit report --pair organism:shuffled-l3 --out report",
        markup=False,
        soft_wrap=True,
    )


def _layers(layers: list[int] | None, n_layers: int) -> str:
    """Layers of a card in short form."""
    if layers is None:
        return "open"
    if len(layers) == n_layers:
        return "all"
    return ", ".join(map(str, layers)) or "none"
