"""A study: many runs described in one file."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from elicit.jobs import COMMANDS, PairSpec, SpecError, parse_yaml, read_yaml
from elicit.results import digest_json
from elicit.runs import RemoteFolder, RunError
from elicit.sweep._place import is_url, local_path
from elicit.sweep.errors import SweepError

_KEYS = ("out", "common", "grid", "runs")
_UNSAFE = re.compile(r"[^\w.-]+")
_LONGEST = 80
"""Characters of a run's name."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One run of a study, its options validated."""

    name: str
    """Folder of the run inside the study."""
    spec: PairSpec
    """Its options."""

    @property
    def command(self) -> str:
        """The command that runs it."""
        return self.spec.command

    @property
    def digest(self) -> str:
        """Digest of every option but where it is written; another one is another run."""
        options = self.spec.model_dump(mode="json", exclude={"fresh", "out"})
        return digest_json([self.command, options])


@dataclass(frozen=True, kw_only=True)
class Study:
    """The runs of a study, in order."""

    out: Path
    """Folder of the study; each run has a folder in it. Of a study at a URL it is a name alone."""
    runs: tuple[Planned, ...]
    """At least one."""
    url: str | None = None
    """URL of the study, where it is in no folder of a file system."""


def read_study(path: Path | str, *, out: Path | str | None = None) -> Study:
    """Read a study from YAML, every run validated before any begins.

    `common` holds options of all runs; `grid` holds lists, and every combination of their items is
    a run; `runs` lists further ones. Each names its `command`.

    Args:
        path: The file, or its URL (`s3://bucket/study.yaml`), as fsspec knows it.
        out: Folder of the study, or its URL; None takes `out` of the file.

    Raises:
        SweepError: The file is no study, or a run has invalid options; the run is named.
    """
    try:
        read = _read(path)
    except (SpecError, RunError) as error:
        raise SweepError(str(error)) from error
    strange = sorted(set(map(str, read)) - set(_KEYS))
    if strange:
        raise SweepError(
            f"{path} has the key {strange[0]!r}, and a study has {', '.join(_KEYS)}, so it would "
            "be ignored. Options of all runs belong under common."
        )
    folder = out if out is not None else read.get("out")
    if folder is None:
        raise SweepError(f"{path} names no folder for its runs. Add `out: DIR`, or pass --out.")
    url = str(folder).rstrip("/") if is_url(folder) else None
    root = local_path(folder) if url is None else Path(url.rpartition("/")[2] or "study")
    common = _mapping(read.get("common") or {}, path, "common")
    described = [*_combinations(read.get("grid") or {}, path), *_listed(read.get("runs"), path)]
    if not described:
        raise SweepError(
            f"{path} describes no run, so there is nothing to do. Add a list under runs, or lists "
            "under grid."
        )
    varied = _varied([{**common, **one} for one in described])
    runs = [
        _planned({**common, **one}, number, root, varied)
        for number, one in enumerate(described, start=1)
    ]
    names = [run.name for run in runs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SweepError(
            f"{path} describes {names.count(twice[0])} runs that would share the folder "
            f"{twice[0]!r}, so they would overwrite each other. Leave the repeated ones out."
        )
    return Study(out=root, runs=tuple(runs), url=url)


def _read(path: Path | str) -> dict[str, object]:
    """Content of the file, wherever it is.

    Raises:
        SpecError: It cannot be read, or is no mapping.
        RunError: The same, of a URL.
    """
    if not is_url(path):
        return read_yaml(local_path(path) if str(path).startswith("file:") else Path(path))
    remote = RemoteFolder(str(path))
    return parse_yaml(remote.text(), remote.url)


def _planned(
    options: Mapping[str, object], number: int, root: Path, varied: Sequence[str]
) -> Planned:
    """One run, validated."""
    told = dict(options)
    command = told.pop("command", None)
    if command not in COMMANDS:
        raise SweepError(
            f"run {number} has the command {command!r}, which there is not. Choose among "
            f"{', '.join(COMMANDS)}."
        )
    if "out" in told or "fresh" in told:
        raise SweepError(
            f"run {number} sets {'out' if 'out' in told else 'fresh'}, which the study decides for "
            "all of its runs. Leave it out."
        )
    name = _name(str(command), {key: told[key] for key in varied if key in told})
    try:
        spec = COMMANDS[str(command)].spec.from_options({**told, "out": root / name})
    except SpecError as error:
        raise SweepError(f"Run {number} ({name}): {error}") from error
    return Planned(name=name, spec=spec)


def _varied(runs: Sequence[Mapping[str, object]]) -> list[str]:
    """Options that differ between runs, which name them."""
    keys = dict.fromkeys(key for run in runs for key in run if key != "command")
    return [key for key in keys if len({str(run.get(key)) for run in runs}) > 1]


def _name(command: str, told: Mapping[str, object]) -> str:
    """Folder of a run: its command, and what sets it apart."""
    parts = [command]
    for key, value in told.items():
        text = str(value).removeprefix("organism:")
        text = Path(text).name if key in ("base", "post", "problems", "facts") else text
        parts.append(text if key in ("pair", "base", "post") else f"{key}-{text}")
    name = _UNSAFE.sub("-", "_".join(parts)).strip("-.")
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - 9]}-{digest_json(dict(told))[:8]}"
    return name


def _combinations(grid: object, path: Path | str) -> list[dict[str, object]]:
    axes = _mapping(grid, path, "grid")
    for key, values in axes.items():
        if not isinstance(values, list) or not values:
            raise SweepError(
                f"{path} has {key!r} under grid, which is {values!r} and no list, so its runs are "
                "not known. Write a list, or move it to common."
            )
    if not axes:
        return []
    listed = [values for values in axes.values() if isinstance(values, list)]
    return [dict(zip(axes, each, strict=True)) for each in itertools.product(*listed)]


def _listed(runs: object, path: Path | str) -> list[dict[str, object]]:
    if runs is None:
        return []
    if not isinstance(runs, list):
        raise SweepError(f"{path} has runs that are no list. Write one mapping of options a run.")
    return [_mapping(one, path, f"run {i}") for i, one in enumerate(runs, start=1)]


def _mapping(value: object, path: Path | str, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise SweepError(f"{path} has {what} that is no mapping of options. Write NAME: VALUE.")
    return {str(key): inner for key, inner in value.items()}
