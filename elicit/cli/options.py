"""Command-line options from the fields of a specification."""

import inspect
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from elicit.cli.progress import Shown
from elicit.jobs import PANELS, Option, PairSpec

_OUTPUT = PANELS[-1]


def flag(name: str) -> str:
    """A field's flag on the command line.

    >>> flag("max_tokens")
    '--max-tokens'
    """
    return "--" + name.replace("_", "-")


def options_of(spec: type[PairSpec]) -> list[inspect.Parameter]:
    """Typer parameters of a specification's options, and of those common to every job.

    An option that is not given is None, so that it does not override a configuration file.
    """
    declared = [(name, field, _option(name, field)) for name, field in spec.model_fields.items()]
    declared.sort(key=lambda each: _place(each[2].panel))
    made = [_parameter(*each) for each in declared]
    return [*made, *inspect.signature(_every_job).parameters.values()]


def listed(spec: type[PairSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options that were given, with lists split at commas.

    `given`: every command-line option by name; None and `[]` mean not given.
    """
    found = {
        name: value
        for name, value in given.items()
        if name in spec.model_fields and value not in (None, [])
    }
    for name, value in found.items():
        # A path may contain a comma, so several paths repeat the option.
        if isinstance(value, list) and _item(spec.model_fields[name].annotation) is not Path:
            found[name] = [
                word.strip() for text in value for word in text.split(",") if word.strip()
            ]
    return found


def _option(name: str, field: FieldInfo) -> Option:
    found = next((item for item in field.metadata if isinstance(item, Option)), None)
    if found is None:
        raise TypeError(f"The option {name} has no help: annotate its field with Option(...).")
    return found


def _place(panel: str) -> int:
    return PANELS.index(panel if panel in PANELS else "")


def _parameter(name: str, field: FieldInfo, option: Option) -> inspect.Parameter:
    """One option; its command-line type follows from that of the field."""
    kind = _without_none(field.annotation)
    flags, metavar = [flag(name), *option.flags], option.metavar or None
    if kind is bool:
        on_off = field.default is not False
        flags = [f"{flags[0]}/--no-{flags[0][2:]}"] if on_off else flags
    elif _item(kind) is not None:
        kind = list[Path] if _item(kind) is Path else list[str]
    elif get_origin(kind) in (Union, types.UnionType) or (option.metavar and _is_choice(kind)):
        kind = str
    annotation = Annotated[
        kind | None,  # pyright: ignore[reportGeneralTypeIssues]
        typer.Option(
            *flags,
            metavar=metavar,
            help=option.help.removesuffix(".") + _remark(field, option) + ".",
            rich_help_panel=option.panel,
        ),
    ]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _remark(field: FieldInfo, option: Option) -> str:
    """What the help says of a missing value: that it is refused, or what it means."""
    if field.is_required() or option.required:
        return f" (required{' ' + option.required if option.required else ''})"
    default = _default(field, option)
    return f" (default: {default})" if default else ""


def _default(field: FieldInfo, option: Option) -> str:
    """The default as shown in the help, or empty."""
    value = field.default
    if option.default or field.is_required() or value is None or value is False or value == "":
        return option.default
    if value is True:
        return "yes"
    if isinstance(value, tuple):
        return ",".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _without_none(kind: Any) -> Any:
    """A type without None."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    rest = tuple(each for each in get_args(kind) if each is not type(None))
    return rest[0] if len(rest) == 1 else Union[rest]  # noqa: UP007


def _item(kind: Any) -> Any:
    """Item type of a tuple of any length; None for every other type."""
    return get_args(kind)[0] if get_origin(kind) is tuple else None


def _is_choice(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _every_job(
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Read options from YAML, such as a run's run.yaml; flags override it.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    save_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Save all options to this file.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the summary as JSON and nothing else.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    track: Annotated[
        str | None,
        typer.Option(
            metavar="TRACKER",
            help="Send the summary's numbers to wandb, trackio or mlflow.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    progress: Annotated[
        Shown,
        typer.Option(
            "--progress",
            help="Progress display; auto: a bar on a terminal.",
            rich_help_panel=_OUTPUT,
        ),
    ] = Shown.auto,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress.", rich_help_panel=_OUTPUT)
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=_OUTPUT),
    ] = False,
) -> None:
    """Options that every job has besides its specification."""
