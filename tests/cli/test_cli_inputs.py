"""The command line reads tables, renames columns, recognises benchmarks, and groups results."""

import json

import pandas
import pytest

from elicit import load_result
from tests.cli.conftest import QUICK_REPORT


@pytest.fixture
def table(tasks, tmp_path):
    """The problems as a table with other names, in two subjects."""
    rows = [json.loads(line) for line in (tasks / "problems.jsonl").read_text().splitlines()]
    frame = pandas.DataFrame(rows).rename(columns={"prompt": "question", "answer": "target"})
    frame["subject"] = ["even" if row["difficulty"] % 2 == 0 else "odd" for row in rows]
    frame["candidates"] = frame["candidates"].map(json.dumps)
    frame.to_csv(tmp_path / "problems.csv", index=False)
    return tmp_path / "problems.csv"


@pytest.mark.slow(checked=True)
def test_a_table_gives_the_report_of_the_task_file_with_results_by_group(
    elicit, models, table, reported, tmp_path
):
    out = tmp_path / "run"
    done = elicit(
        *("report", "--base", models / "base", "--post", models / "post", "--problems", table),
        *("--map", "question=prompt,target=answer", "--by", "subject"),
        *(*QUICK_REPORT, "--out", out, "--json"),
    )
    assert done.code == 0, done.err
    found = json.loads(done.out)["by_group"]["problems"]
    assert found["by"] == "subject" and set(found["groups"]) == {"even", "odd"}
    result = load_result(out / "by_group_problems")
    assert result.n.tolist() == [8, 4]
    roles = load_result(reported[0] / "roles")
    scored = roles.base_score[roles.task.index("problems")].item()
    mean = (result.mean.value[0] * result.n).sum() / result.n.sum()
    assert mean.item() == pytest.approx(scored)
    assert "By subject" in (out / "report.html").read_text()


def test_what_was_recognised_is_said_and_wrong_names_are_refused(elicit, models, tmp_path):
    path = tmp_path / "test.jsonl"
    numbers = ["one", "two"]
    path.write_text("".join(
        json.dumps({"question": f"question : {n} plus {n} equals", "answer": f"so #### {n}"}) + "\n"
        for n in numbers
    ))  # fmt: skip
    both = ("report", "--base", models / "base", "--post", models / "post", "--problems", path)
    done = elicit(*both, *QUICK_REPORT, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert "Note: test.jsonl was read as GSM8K by its columns question, answer" in done.out
    for more, says in (
        (["--map", "questoin=prompt"], "Did you mean 'question'"),
        (["--map", "question"], "does not name a column and a field"),
        (["--task-format", "mmlu"], "is to be read as MMLU"),
        (["--task-format", "plain"], "--map question=prompt"),
        (["--by", "subject"], "cannot be grouped by 'subject'"),
    ):
        refused = elicit(*both, *more, *QUICK_REPORT, "--out", tmp_path / "no")
        assert refused.code == 1 and says in refused.err, refused.err
    own = elicit("report", "--pair", "organism:rl", "--map", "a=prompt", "--out", tmp_path / "no")
    assert own.code == 1 and "map names columns" in own.err
    assert not (tmp_path / "no").exists()
