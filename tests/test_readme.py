"""What the README and the pages of the questions show is what happens."""

import json
import re
from pathlib import Path

import pytest

from elicit.tasks import load_task

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUESTIONS = sorted((ROOT / "docs" / "questions").glob("*.md"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


EXAMPLES = {
    f"{path.stem}-{n}": code
    for path in QUESTIONS
    for n, code in enumerate(blocks(path.read_text(encoding="utf-8"), "python"))
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_run(name):
    exec(compile(EXAMPLES[name], f"{name}.py", "exec"), {})


def test_the_examples_of_six_questions_are_executed():
    assert {name.split("-")[0] for name in EXAMPLES} == {
        *("report", "patch", "revise", "features", "steer", "trace")
    }


@pytest.mark.parametrize("line", blocks(README, "json"))
def test_the_task_line_is_valid(line, tmp_path):
    path = tmp_path / "task.jsonl"
    path.write_text(line, encoding="utf-8")
    assert load_task(path).problems[0].id == json.loads(line)["id"]


def test_the_commands_exist():
    for script in re.findall(r"\./(scripts/\w+)", README):
        assert (ROOT / script).is_file()


def test_the_readme_is_one_screen_with_one_picture():
    assert len(README.splitlines()) <= 110
    assert README.count("![") == 1


def test_the_pairs_that_the_docs_name_exist():
    from elicit import organisms

    section = (ROOT / "docs/proof.md").read_text("utf-8").split("## Organisms")[1].split("##")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    named = set(re.findall(r"`([a-z0-9-]+)`", "".join(rows)))
    assert named == set(organisms.names())
    assert len(named) == 25 and "Twenty-five pairs" in section and "twenty-five" in README
