"""Runs, vectors and SAEs on the Hugging Face hub, each with a card."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from elicit.exports.card import card, facts_of, limits_of
from elicit.exports.errors import ExportError
from elicit.exports.material import Material
from elicit.exports.registry import Exported, Options
from elicit.exports.sae_lens import FILES as SAE_FILES
from elicit.features import Sae
from elicit.results import MANIFEST, TABLE, VALUES, Result, disk_errors, read_file, write_atomic

CARD = "README.md"
_OF_RUN = ("report.html", "summary.json")
"""Files of a run that are published; its options name local folders and stay here."""


@runtime_checkable
class HubApi(Protocol):
    """The part of `huggingface_hub.HfApi` that is used."""

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> Any:
        """Make a repository, if it is not there."""
        ...

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> Any:
        """Send every file of a folder."""
        ...


def write(material: Material, target: Path, options: Options) -> Exported:
    """Write the folder that is published, and send it if a repository is named.

    Raises:
        ElicitError: There is nothing to publish, or the hub refuses it.
    """
    published(material, target, options.result)
    if options.repo is None:
        told = f"Nothing was sent. Look at {target / CARD}, then name a repository to send it."
        return Exported(paths=(target,), says=(told,))
    address = push_to_hub(target, options.repo, private=options.private)
    return Exported(paths=(target,), says=(f"Sent to {address}.",))


def push_to_hub(
    folder: Path | str, repo: str, *, private: bool = False, api: HubApi | None = None
) -> str:
    """Send a folder that `published` made to the hub.

    Args:
        folder: Folder with its card.
        repo: `USER/NAME`; made if it is not there.
        private: Whether a new repository is private.
        api: What sends it; the hub's own client if None.

    Returns:
        Address of the repository.

    Raises:
        ExportError: The folder has no card, the name is no repository's, or the hub refuses it.
    """
    folder = Path(folder)
    if not (folder / CARD).is_file():
        raise ExportError(
            f"{folder} has no {CARD}, so nobody could know what it contains. Make it with "
            "published."
        )
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise ExportError(
            f"repo is {repo!r}, which names no repository of the hub. Write USER/NAME."
        )
    if api is None:
        from huggingface_hub import HfApi

        api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo, folder_path=str(folder), commit_message="Published by elicit"
        )
    except Exception as error:  # the hub's client has errors of many classes
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ExportError(
            f"the hub did not take {folder} as {repo} ({type(error).__name__}: {why}). Log in with "
            "`hf auth login`, check that you may write there, and try again."
        ) from error
    return f"https://huggingface.co/{repo}"


def published(material: Material, target: Path, name: str | None = None) -> Path:
    """Write what is published of a folder, with its card.

    Args:
        material: A run, one result, or one SAE.
        target: Folder to make.
        name: One result or SAE of a run; None: all of them.

    Returns:
        The folder.

    Raises:
        ElicitError: There is nothing of that name, or the folder cannot be written.
    """
    things: dict[str, Result | Sae] = {}
    copied: dict[str, Path] = {}
    alone = name is not None or len(material.results) + len(material.saes) == 1
    for each in [*material.results] if name is None else [name]:
        if each in material.results:
            things[each] = material.result(each)
            folder, under = material.results[each], "" if alone else f"{each}/"
            copied |= {f"{under}{file}": folder / file for file in (VALUES, TABLE, MANIFEST)}
    for each in [*material.saes] if name is None else [name]:
        if each in material.saes:
            folder, things[each] = material.sae(each)
            copied |= {f"{'' if alone else f'{each}/'}{file}": folder / file for file in SAE_FILES}
    if not things:
        material.result(name)  # says what there is
    if name is None:
        copied |= {file: material.folder / file for file in _OF_RUN}
    files = {to: read_file(place) for to, place in copied.items() if place.is_file()}
    text = _card(material, things, files, alone=alone)
    with disk_errors(target, ExportError):
        for to, data in files.items():
            (target / to).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(target / to, data)
        write_atomic(target / CARD, text.encode())
    return target


def _card(
    material: Material,
    things: dict[str, Result | Sae],
    files: dict[str, bytes],
    *,
    alone: bool,
) -> str:
    summary = material.summary
    sae = next((t for t in things.values() if isinstance(t, Sae)), None) if alone else None
    notes = summary.get("notes")
    return card(
        f"{material.folder.name}, by elicit",
        about=[*_about(things, summary)],
        limits=limits_of([*things.values()], notes if isinstance(notes, list) else []),
        facts=facts_of(things, summary),
        files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        library="saelens" if sae is not None else "elicit",
        models=_models(things, summary),
    )


def _about(things: dict[str, Result | Sae], summary: Any) -> Iterator[str]:
    if summary.get("sentence"):
        yield str(summary["sentence"])
    for name, thing in things.items():
        if isinstance(thing, Sae):
            yield f"`{name}`: an SAE of {thing.site} with {thing.d_sae} features."
        else:
            yield f"`{name}`: {thing._title()}"


def _models(things: dict[str, Result | Sae], summary: Any) -> list[str]:
    pair = summary.get("pair")
    found = [str(pair[name]) for name in ("base", "post")] if isinstance(pair, dict) else []
    for thing in things.values():
        named = thing.metadata.get("model_name") if isinstance(thing, Sae) else None
        found += [str(named)] if named else []
    return list(dict.fromkeys(found))
