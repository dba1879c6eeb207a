"""Every example in the help is a command that would run."""

import shlex

import pytest
import typer

from elicit.cli.app import app
from elicit.cli.command import specified
from elicit.cli.examples import examples_of
from elicit.cli.options import listed
from elicit.jobs import COMMANDS, SpecError

EXAMPLES = [(name, line) for name in COMMANDS for line in examples_of(COMMANDS[name].spec)]


def read(words: list[str]):
    """The specification that a command line gives, read as the command itself reads it."""
    command = typer.main.get_group(app).commands[words[0]]
    given = command.make_context(words[0], words[1:]).params
    given = {name: list(each) if isinstance(each, tuple) else each for name, each in given.items()}
    return specified(COMMANDS[words[0]].spec, None, listed(COMMANDS[words[0]].spec, given))


@pytest.mark.parametrize(("name", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_an_example_is_valid(name, line):
    program, *words = shlex.split(line)
    assert program == "elicit" and read(words).command == name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_ends_with_its_examples(name, elicit):
    done = elicit(name, "--help")
    said = " ".join(done.out.split())
    assert done.code == 0
    assert said.endswith(" ".join(" ".join(examples_of(COMMANDS[name].spec)).split()))


@pytest.mark.parametrize("name", COMMANDS)
def test_what_the_help_calls_required_is_what_is_missing_without_it(name):
    with pytest.raises(SpecError) as error:
        read([name])
    assert error.value.missing == ("out", "base", "post")
    assert "Value error" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": -1}, "seed is -1: it must be at least 0"),
        ({"level": 2}, "level is 2: it must be less than 1"),
        ({"n_resamples": "x"}, "n_resamples is 'x': it must be a whole number"),
        ({"kinds": []}, "kinds is []: give at least 1"),
        ({"renamed_tokens": ["A"]}, "renamed_tokens is ['A']: 'A' does not name two tokens"),
    ],
)
def test_a_fault_needs_no_knowledge_of_pydantic(options, said, tmp_path):
    with pytest.raises(SpecError) as error:
        COMMANDS["report"].spec.from_options({"pair": "organism:rl", "out": tmp_path, **options})
    assert said in str(error.value)
