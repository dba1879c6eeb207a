"""Texts are read from every source that problems are read from, by trace and by features alike."""

import json

import pandas
import pytest

from elicit.exports import write_log
from elicit.exports.written import Written
from elicit.jobs._features.files import read_texts
from elicit.jobs._features.spec import FeaturesSpec
from elicit.jobs._given_texts import read_given
from elicit.jobs._spec import SpecError
from elicit.jobs._trace.inputs import _with_traces
from elicit.jobs._trace.spec import TraceSpec
from elicit.tasks import Problem, Task, TaskError
from tests.cli.conftest import lines

TEXTS = {str(name): f"so {name} ; then" for name in range(4)}
KINDS = ("jsonl", "csv", "parquet", "lm-eval", "hub", "eval")


def source(kind, tmp_path):
    """The texts as a source of one kind holds them, last problem first."""
    rows = [{"id": name, "trace": text} for name, text in reversed(TEXTS.items())]
    path = tmp_path / f"t.{'jsonl' if kind == 'lm-eval' else kind}"
    if kind == "jsonl":
        path.write_text(lines(rows))
    elif kind == "csv":
        pandas.DataFrame(rows).to_csv(path, index=False)
    elif kind == "parquet":
        pandas.DataFrame(rows).to_parquet(path)
    elif kind == "lm-eval":
        one = {"doc": {}, "target": "5", "arguments": [["Q", {}]], "filter": "strict"}
        logged = [one | {"doc_id": int(row["id"]), "resps": [[row["trace"]]]} for row in rows]
        again = [each | {"filter": "flexible"} for each in logged]
        path.write_text(lines([*logged, *again]))
    elif kind == "hub":
        import datasets

        # Without ids the rows are called by their number, as problems are: 1, 2, …
        datasets.Dataset.from_list([{"trace": row["trace"]} for row in rows]).save_to_disk(path)
        return f"hf:{path}:train"
    else:
        pytest.importorskip("inspect_ai", reason="install the extra inspect")
        written = [
            Written(id=row["id"], sample=n, prompt="Q", answer="5", text=text, correct=True)
            for n in (0, 1)
            for row in rows
            for text in [row["trace"] if n == 0 else "another epoch"]
        ]
        write_log(written, path, task="t", model="m")
    return str(path)


@pytest.mark.parametrize("kind", KINDS)
def test_trace_and_features_read_the_same_texts_from_every_kind_of_source(kind, tmp_path):
    given = source(kind, tmp_path)
    expected = dict(TEXTS)
    if kind == "hub":
        expected = dict(zip("1234", reversed(TEXTS.values()), strict=True))
    task = Task(name="t", problems=tuple(
        Problem(id=name, prompt="Q", answer="5", trace="its own") for name in expected
    ))  # fmt: skip
    traced = _with_traces(task, given)
    read = read_texts(given)
    assert {problem.id: problem.trace for problem in traced} == expected
    assert {text.problem: text.text for text in read.texts} == expected
    said = any("another" in note or "epoch" in note or "filters" in note for note in read.notes)
    assert said == (kind in ("eval", "lm-eval"))
    assert traced.notes == read.notes
    # A file is found from any folder; the name of a data set stays as it is.
    specs = (
        TraceSpec(pair="organism:rl", out=tmp_path / "r", traces=given).traces,
        *FeaturesSpec(pair="organism:rl", out=tmp_path / "r", traces=(given,)).traces,
    )
    assert set(specs) == {given}


def test_a_text_is_about_the_problem_that_it_names(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(lines([{"text": "a", "id": "x", "problem": "p"}, {"text": "b", "id": "y"}]))
    assert [(text.problem, text.text) for text in read_given(path).texts] == [
        ("p", "a"),
        ("y", "b"),
    ]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"trace": "so"}], "line 1: it lacks a text 'id' or 'trace'"),
        ([{"id": "1", "trace": " "}], "line 1: it lacks a text 'id' or 'trace'"),
        (
            [{"id": "1", "trace": "a"}, {"id": "1", "trace": "b"}],
            "line 2: the id '1' is there twice",
        ),
        ([{"id": "2", "trace": "a"}], "no trace for 1 of 1 problems"),
    ],
)
def test_traces_that_cannot_be_told_apart_are_refused(tmp_path, rows, says):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = Task(name="t", problems=(Problem(id="1", prompt="Q", answer="5"),))
    with pytest.raises((TaskError, SpecError), match=says):
        _with_traces(task, str(path))
