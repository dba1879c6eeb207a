"""What the README shows is what happens."""

import json
import re
from pathlib import Path

import pytest

from elicit.tasks import load_task

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python"))
def test_the_examples_run(code):
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("line", blocks("json"))
def test_the_task_line_is_valid(line, tmp_path):
    path = tmp_path / "task.jsonl"
    path.write_text(line, encoding="utf-8")
    assert load_task(path).problems[0].id == json.loads(line)["id"]


def test_the_commands_exist():
    for script in re.findall(r"\./(scripts/\w+)", README):
        assert (ROOT / script).is_file()


def test_the_pairs_it_names_exist():
    from elicit import organisms

    section = README.split("## The organisms")[1].split("##")[0]
    named = set(re.findall(r"`([a-z0-9-]+)`", section))
    assert named <= set(organisms.names())
    assert str(len(organisms.names())) == "25"
    assert "Twenty-five pairs" in section
