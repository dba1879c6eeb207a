"""The documentation names what is there, and its examples run."""

import functools
import re
import shlex
from pathlib import Path

import pytest
import typer.main
import yaml

import elicit
from elicit.cli import app
from elicit.jobs import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
README = ROOT / "README.md"
TEXTS = [README, *DOCS]
NAMES = [str(path.relative_to(ROOT)) for path in TEXTS]


def blocks(text: str, language: str) -> list[str]:
    """Code of a language; indented blocks stand under a tab or a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, flags=re.S | re.M)
    return [re.sub(f"^{indent}", "", code, flags=re.M) for indent, code in found]


@functools.cache
def commands() -> dict[str, set[str]]:
    """Options of every command."""
    group = typer.main.get_command(app)
    return {
        name: {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
        for name, command in getattr(group, "commands", {}).items()
    } | {"": {"--help", *(flag for option in group.params for flag in option.opts)}}


def written(text: str) -> list[list[str]]:
    """Words of every call of the command line in the shell blocks of a text."""
    lines = "\n".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()
    split = [shlex.split(line, comments=True) for line in lines if re.search(r"\belicit ", line)]
    return [words[words.index("elicit") + 1 :] for words in split if "elicit" in words[:1]]


@pytest.mark.parametrize("path", TEXTS, ids=NAMES)
def test_commands_and_options_that_a_text_names_exist(path):
    text = path.read_text("utf-8")
    for words in written(text):
        name = "" if words[0].startswith("-") else words[0]
        assert name in commands(), words
        flags = {word.split("=")[0] for word in words if word.startswith("-") and word != "-"}
        flags = {flag for flag in flags if not re.fullmatch(r"-\d.*", flag)}
        # `plan` takes the options of the command that it plans.
        allowed = set.union(*commands().values()) if name == "plan" else commands()[name]
        assert flags <= allowed | {"--help"}, (name, flags - allowed)
    known = set.union(*commands().values())
    for flag in set(re.findall(r"`(--[a-z][a-z-]+)(?:[ `=][^`]*)?`", text)):
        assert flag in known | OTHERS, flag


OTHERS = {
    "--help",
    "--full",
    "--only",
    "--measure",
    "--from-package",
    "--shape",
    "--requeue",
    "--real",
}
"""Options of scripts, not of the command line."""


@pytest.mark.parametrize("path", TEXTS, ids=NAMES)
def test_names_files_and_links_that_a_text_mentions_are_there(path):
    text = path.read_text("utf-8")
    for name in set(re.findall(r"`elicit((?:\.[A-Za-z_]\w*)+)[`(]", text)):
        held: object = elicit
        for part in name.split(".")[1:]:
            held = getattr(held, part)
    for name in set(re.findall(r"\b(?:scripts|tests|notebooks)/[\w/]+\.(?:py|ipynb|txt|md)", text)):
        assert (ROOT / name).is_file(), name
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (path.parent / link).exists(), link


def test_every_page_has_its_place_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert set(re.findall(r"[\w/]+\.md", str(yaml.safe_load(text)["nav"]))) == {
        path.relative_to(ROOT / "docs").as_posix() for path in DOCS
    }


def test_every_command_has_its_page_with_a_picture_and_its_options():
    pages = {path.stem: path.read_text("utf-8") for path in DOCS if path.parent.name == "questions"}
    questions = {*COMMANDS} - {"graft", "audit"} | {"sweep"}
    assert questions <= set(pages)
    for name in questions - {"sweep"}:
        assert f"<!-- options of {name} -->" in pages[name]
        assert f"(../pictures/{name}.png)" in pages[name]
        for title in ("What is measured", "Controls", "How it fails", "What this does not say"):
            assert f"## {title}" in pages[name]


def test_the_example_of_a_kind_of_result_runs():
    from elicit.page.registry import _PARTS

    before = dict(_PARTS)
    try:
        held: dict[str, object] = {"__name__": "harbours"}
        for code in blocks((ROOT / "docs/extend.md").read_text("utf-8"), "python"):
            exec(compile(code, "extend.md", "exec"), held)
        assert "tides" in held
    finally:
        _PARTS.clear()
        _PARTS.update(before)


def test_the_site_fetches_nothing_when_it_is_viewed():
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    assert settings["theme"]["font"] is False
    assert settings["strict"] is True
    assert not {"extra_javascript", "extra_css"} & set(settings)


def test_versions_of_the_tools_that_read_exports_are_those_that_the_job_installs():
    tools = (ROOT / "scripts" / "tools.txt").read_text("utf-8")
    table = (ROOT / "docs" / "proof.md").read_text("utf-8").partition("## Exports read back")[2]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    for package, name in (
        ("inspect-ai", "inspect_ai"),
        ("interp-engine", "interp-engine, eager"),
        ("llama-cpp-python", "llama-cpp-python"),
        ("lm_eval", "lm-evaluation-harness"),
    ):
        (version,) = re.findall(rf"^{package}==(\S+)$", tools, flags=re.M)
        (row,) = [row for row in rows if f"{name} |" in row]
        assert f"| {version} " in row
