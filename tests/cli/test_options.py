"""Options of the command line are the fields of the specifications, told once."""

import inspect
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from elicit.cli.command import command_of
from elicit.cli.options import listed, options_of
from elicit.jobs import COMMANDS, Option, PairSpec
from elicit.jobs._revise.spec import ReviseSpec
from tests.cli.test_cli_light import HEAVY, imported

OWN = {"config", "save_config", "as_json", "track", "progress", "quiet", "debug"}


class Kites(PairSpec):
    """Fly kites."""

    wind: Annotated[float, Option("Speed of the wind.", "Weather", "MS")] = Field(5.0, gt=0)
    colours: Annotated[
        tuple[str, ...], Option("Colours.", metavar="NAME,…", flags=("--colour",), default="red")
    ] = ()
    maps: Annotated[tuple[Path, ...], Option("Maps.", metavar="FILE")] = ()
    shape: Annotated[Literal["delta", "box"], Option("Shape.")] = "delta"
    tail: Annotated[bool, Option("With a tail.")] = True
    night: Annotated[bool, Option("At night.")] = False
    height: Annotated[Literal["low"] | tuple[int, ...], Option("Heights.", metavar="M")] = "low"


def flags() -> dict[str, tuple[object, tuple[str, ...], str, str | None]]:
    """Type, spellings, help and panel of each of its options."""
    found = {}
    for parameter in options_of(Kites):
        kind, told = parameter.annotation.__origin__, parameter.annotation.__metadata__[0]
        # Typer takes the first spelling for the default until it reads the annotation.
        spelled = (told.default, *told.param_decls)
        found[parameter.name] = (kind, spelled, told.help, told.rich_help_panel)
    return found


def test_flag_type_default_and_panel_follow_from_the_field():
    told = flags()
    assert told["wind"] == (float | None, ("--wind",), "Speed of the wind (default: 5).", "Weather")
    assert told["colours"][:3] == (
        list[str] | None, ("--colours", "--colour"), "Colours (default: red).",
    )  # fmt: skip
    assert told["maps"][0] == list[Path] | None
    assert told["shape"][0] == Literal["delta", "box"] | None
    assert told["tail"][1:3] == (("--tail/--no-tail",), "With a tail (default: yes).")
    assert told["night"][:3] == (bool | None, ("--night",), "At night.")
    assert told["height"][0] == str | None
    panels = list(dict.fromkeys(each[3] for each in told.values()))
    assert panels[:3] == ["Models", "Tasks", "Weather"] and panels[-1] == "Output"


def test_several_words_are_split_at_commas_and_paths_are_not():
    given = {"colours": ["red, blue", "green"], "maps": [Path("a,b")], "wind": None, "debug": True}
    assert listed(Kites, given) == {"colours": ["red", "blue", "green"], "maps": [Path("a,b")]}


def test_a_field_without_help_is_refused():
    class Bare(PairSpec):
        """Nothing."""

        wind: float = 1.0

    with pytest.raises(TypeError, match="wind"):
        options_of(Bare)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_an_option_for_every_field_and_no_other(name):
    entry = COMMANDS[name]
    parameters = inspect.signature(command_of(entry)).parameters
    assert set(parameters) - OWN == set(entry.spec.model_fields)
    assert all(parameters[field].default is None for field in entry.spec.model_fields)
    assert entry.spec.command == name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_is_quick_and_names_every_option(name):
    modules, out = imported(
        f"import os\nos.environ['COLUMNS'] = '160'\nfrom elicit.cli import main\n"
        f"try: main(['{name}', '--help'])\nexcept SystemExit: pass"
    )
    assert not HEAVY & modules and len(modules) < 550
    for field in COMMANDS[name].spec.model_fields:
        assert f"--{field.replace('_', '-')}" in out, field


def test_the_choices_of_a_convention_are_those_of_its_room():
    from elicit.revision.convention import Reading, Unit
    from elicit.revision.lens import Norm

    for field, kind in (("unit", Unit), ("reading", Reading), ("norm", Norm)):
        assert ReviseSpec.model_fields[field].annotation == kind | None, field
