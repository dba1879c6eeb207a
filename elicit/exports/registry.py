"""Every tool that something can be written for."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from elicit.exports.errors import ExportError

if TYPE_CHECKING:
    from elicit.exports.material import Material


@dataclass(frozen=True, kw_only=True)
class Options:
    """What an export may be asked for; each exporter says what it uses."""

    result: str | None = None
    """Folder's name of the result; None: the one that suits."""
    site: str | None = None
    """Which of a set of directions."""
    scale: float | None = None
    """Multiple of a vector; None: the strength that a run chose, else 1."""
    model: str | None = None
    """Model that the vector is for; None: the one it was estimated on."""
    repo: str | None = None
    """Repository of the hub."""
    private: bool = False
    """Whether a new repository is private."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export left behind."""

    paths: tuple[Path, ...]
    """Files or folders that were written."""
    says: tuple[str, ...] = ()
    """How to use them, commands included, and what they do not hold."""


@runtime_checkable
class Write(Protocol):
    """Writes what a folder holds for one tool."""

    def __call__(self, material: "Material", target: Path, options: Options) -> Exported:
        """Write it.

        Args:
            material: What is exported.
            target: File or folder to write.
            options: Choices.

        Raises:
            ElicitError: The folder lacks what is needed, or the target cannot be written.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """One tool, and how it is written for."""

    name: str
    """What it is called in options."""
    help: str
    """What is written, in one clause."""
    ending: str
    """Ending of the file; empty for a folder."""
    uses: tuple[str, ...]
    """Options that it takes besides `result`; others are refused."""
    module: str
    """Module with its function `write`, imported when it is used."""

    @property
    def write(self) -> Write:
        """The function that writes."""
        return importlib.import_module(self.module).write


_VECTOR = ("site", "scale")
EXPORTERS: dict[str, Exporter] = {
    each.name: each
    for each in (
        Exporter(
            name="xarray",
            help="a result as NetCDF with labelled axes",
            ending=".nc",
            uses=(),
            module="elicit.exports.xarray",
        ),
        Exporter(
            name="parquet",
            help="every table of a result",
            ending="",
            uses=(),
            module="elicit.exports.parquet",
        ),
        Exporter(
            name="safetensors",
            help="a vector, times its scale",
            ending=".safetensors",
            uses=_VECTOR,
            module="elicit.exports.safetensors",
        ),
        Exporter(
            name="lm-eval",
            help="a vector for lm-evaluation-harness, with the command",
            ending=".pt",
            uses=(*_VECTOR, "model"),
            module="elicit.exports.lm_eval",
        ),
        Exporter(
            name="gguf",
            help="a control vector for llama.cpp",
            ending=".gguf",
            uses=_VECTOR,
            module="elicit.exports.gguf",
        ),
        Exporter(
            name="easysteer",
            help="a vector and its specification for EasySteer (vLLM)",
            ending="",
            uses=_VECTOR,
            module="elicit.exports.easysteer",
        ),
        Exporter(
            name="interp-engine",
            help="a steering specification for interp-engine",
            ending=".json",
            uses=_VECTOR,
            module="elicit.exports.interp_engine",
        ),
        Exporter(
            name="sae-lens",
            help="an SAE as a folder of SAELens",
            ending="",
            uses=(),
            module="elicit.exports.sae_lens",
        ),
        Exporter(
            name="inspect",
            help="texts as logs of inspect_ai, one for each writer",
            ending="",
            uses=(),
            module="elicit.exports.inspect_ai",
        ),
        Exporter(
            name="hub",
            help="a run, a vector or an SAE on the Hugging Face hub, with a card",
            ending="",
            uses=("repo", "private"),
            module="elicit.exports.hub",
        ),
    )
}
"""Exporters by name, in the order of the help; `register` adds one."""


def register(exporter: Exporter) -> Exporter:
    """Add an exporter, or replace that of the same name."""
    EXPORTERS[exporter.name] = exporter
    return exporter


def export(
    source: Path | str, to: str, target: Path | str | None = None, options: Options = Options()
) -> Exported:
    """Write what a folder holds for another tool.

    Args:
        source: A run directory, the folder of one result, or the folder of an SAE.
        to: Name of the tool; `EXPORTERS` has them.
        target: File or folder to write, not there yet; None: named after the tool, in a folder
            beside the source that ends in `-exports`.
        options: Which result, and how.

    Raises:
        ElicitError: There is no such tool, the source lacks what it needs, an option does not
            apply, or the target is there already.
    """
    if to not in EXPORTERS:
        raise ExportError(
            f"there is no export to {to!r}, so nothing was written. Choose one of "
            f"{', '.join(EXPORTERS)}."
        )
    exporter = EXPORTERS[to]
    _refuse_unused(exporter, options)
    from elicit.exports.material import Material

    material = Material.of(source)
    place = Path(target) if target is not None else _own_place(material.folder, exporter, options)
    if place.exists() or place.is_symlink():
        raise ExportError(f"{place} is there already, and exports replace nothing. Name another.")
    if exporter.ending and place.suffix != exporter.ending:
        raise ExportError(
            f"the file is called {place.name!r}, and {to} reads files that end in "
            f"{exporter.ending}. Use that ending."
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    return exporter.write(material, place, options)


def _own_place(folder: Path, exporter: Exporter, options: Options) -> Path:
    name = "-".join(part for part in (exporter.name, options.result, options.site) if part)
    return folder.with_name(f"{folder.name}-exports") / f"{name}{exporter.ending}"


def _refuse_unused(exporter: Exporter, options: Options) -> None:
    named = ("site", "scale", "model", "repo")
    given = {name for name in named if getattr(options, name) is not None}
    given |= {"private"} if options.private else set()
    unused = sorted(given - set(exporter.uses))
    if unused:
        raise ExportError(
            f"{' and '.join(unused)} would be ignored by an export to {exporter.name}. Leave "
            f"{'them' if len(unused) > 1 else 'it'} out."
        )
