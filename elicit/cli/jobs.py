"""From options and a configuration file to a job that is worth starting."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from elicit.jobs._spec import PairSpec, SpecError, read_yaml
from elicit.runs import RunError
from elicit.runs.record import refuse_foreign

Spec = TypeVar("Spec", bound=PairSpec)
_LISTS = (
    "kinds",
    "parts",
    "sites",
    "metrics",
    "widths",
    "controls",
    "traces",
    "strengths",
    "features",
)
"""Options that take several words, with commas between them."""


def prepare(
    kind: type[Spec],
    config: Path | None,
    options: Mapping[str, object],
    *,
    save_config: Path | None,
) -> Spec:
    """A specification that fits together, and whose results can be written.

    Args:
        kind: What is specified.
        config: YAML file with options, or None.
        options: Of the command line by name; None where one was not given, others than the
            specification's are left out.
        save_config: Where to write all options, or None.

    Raises:
        SpecError: An option is unknown or wrong, or options do not fit together.
        RunError: The results could not be written.
    """
    given = {
        name: value
        for name, value in options.items()
        if name in kind.model_fields and value not in (None, [])
    }
    for name in _LISTS:
        if isinstance(listed := given.get(name), list):
            given[name] = [
                word.strip() for text in listed for word in text.split(",") if word.strip()
            ]
    if config is None:
        spec = kind.from_options(given)
    else:
        read = read_yaml(config)
        try:
            spec = kind.from_options(_without_models(read, given), given)
        except SpecError as error:
            raise SpecError(f"{error} Some options were read from {config}.") from error
    refuse_output(spec.out)
    if save_config is not None:
        _save(spec, save_config)
    return spec


def _without_models(
    options: Mapping[str, object], given: Mapping[str, object]
) -> dict[str, object]:
    """Options of a file without the models that the command line replaces by others."""
    drop: set[str] = set()
    if "pair" in given:
        drop = {"base", "post"}
    elif "base" in given or "post" in given:
        drop = {"pair"}
    return {name: value for name, value in options.items() if name not in drop}


def refuse_output(folder: Path) -> None:
    """Refuse a run directory that cannot become one, before models are loaded for it.

    Args:
        folder: Where the run is to go.

    Raises:
        RunError: It or a folder above it is a file, holds other things, or cannot be written.
    """
    there = next(
        path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink()
    )
    if not there.is_dir():
        raise RunError(
            f"{there} is a file or a broken link and a run needs a folder, so nothing could be "
            f"written to {folder}. Choose another --out."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise RunError(
            f"{there} cannot be written by this user, so the run in {folder} would be lost. "
            "Choose another --out."
        )
    refuse_foreign(folder)


def _save(spec: PairSpec, path: Path) -> None:
    """Write a specification where the user wants it."""
    try:
        # Whoever repeats a run from its file must not discard it by that.
        spec.model_copy(update={"fresh": False}).to_yaml(path)
    except OSError as error:
        raise RunError(
            f"The options cannot be saved to {path} ({error.strerror or error}), so nothing was "
            "run. Choose another --save-config."
        ) from error
