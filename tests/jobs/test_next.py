"""The command that a page names next is one that can be run."""

import shlex

import pytest
import typer.main

from elicit.cli import app
from elicit.jobs import COMMANDS
from elicit.jobs._next import following, suggested

PAIR = {"pair": "organism:rl", "out": "runs/x"}
FOUND = {
    "report": {"skill": {"name": "problems"}, "damage": None, "corrupted_layers": []},
    "patch": {"sweeps": {"post_to_base": {"peak": {"layer": 3}}}, "question": "across"},
    "exists": {"verdict": "exists"},
    "trace": {"verdict": "hollow"},
    "mechanisms": {"verdict": "elicited"},
    "graft": {},
    "revise": {},
    "steer": {},
}
NEXT = {
    "report": "exists",
    "patch": "exists",
    "exists": "steer",
    "trace": "report",
    "mechanisms": "trace",
    "graft": "report",
    "revise": "trace",
    "steer": "mechanisms",
}


def parsed(line: str) -> tuple[str, dict[str, object]]:
    """A command line as the shell's user would run it: its command and options."""
    words = shlex.split(line)
    assert words[0] == "elicit"
    command = typer.main.get_command(app).commands[words[1]]  # pyright: ignore[reportAttributeAccessIssue]
    return words[1], command.make_context(words[1], words[2:], resilient_parsing=False).params


@pytest.mark.parametrize("command", sorted(FOUND))
def test_a_finding_leads_to_another_question_of_the_same_pair(command):
    spec = COMMANDS[command].spec.from_options(PAIR)
    name, given = parsed(suggested(spec, FOUND[command]))
    assert name == NEXT[command]
    assert given["pair"] == "organism:rl" and str(given["out"]) == f"runs/{name}"


def test_where_nothing_was_found_nothing_is_suggested():
    nothing = {
        "report": {"skill": None, "damage": None, "corrupted_layers": []},
        "patch": {"sweeps": {"post_to_base": {"peak": None}}, "question": "across"},
        "exists": {"verdict": "no gap"},
        "trace": {"verdict": "not told"},
        "mechanisms": {"verdict": "undecided"},
    }
    for command, summary in nothing.items():
        assert suggested(COMMANDS[command].spec.from_options(PAIR), summary) == ""


def test_models_problems_and_machine_are_carried_over_and_cues_are_asked_for(tmp_path):
    facts = tmp_path / "my facts.jsonl"
    facts.write_text("{}")
    spec = COMMANDS["report"].spec.from_options(
        {
            **{"base": "a/b", "post": "c/d", "facts": str(facts), "templated": True},
            **{"dtype": "bfloat16", "out": "runs/x"},
        }
    )
    damaged = {"skill": None, "damage": {"name": "facts"}, "corrupted_layers": [3]}
    name, given = parsed(suggested(spec, damaged))
    assert name == "patch" and str(given["problems"]) == str(facts)
    assert (given["base"], given["post"], given["dtype"]) == ("a/b", "c/d", "bfloat16")
    assert given["templated"] is True
    name, given = parsed(following(spec, "exists"))
    assert given["reasoning_cue"] and given["direct_cue"]
    own = COMMANDS["report"].spec.from_options({"pair": "organism:shuffled-l3", "out": "runs/x"})
    name, given = parsed(suggested(own, damaged))
    assert name == "report" and given["kinds"] == ["layer,matrix"]
    assert str(given["out"]) != "runs/report", "a run does not go on in another's folder"
