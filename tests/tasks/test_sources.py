"""Problems are the same whatever they come from; known benchmarks are recognised and said."""

import json

import pandas
import pytest

from elicit.tasks import (
    TaskError,
    check,
    default_extractor,
    extractor,
    load_task,
    save_task,
    ungradable,
)
from elicit.tasks.records import of_mappings

ROWS = [
    {"question": "2 + 3 =", "target": "5", "subject": "sums", "difficulty": 1},
    {"question": 'say "a, b"', "target": "a, b", "subject": "words", "difficulty": 2.5},
]
MAP = {"question": "prompt", "target": "answer"}
GSM8K = [
    {"question": "How many?", "answer": "20 * 50 = <<20*50=1000>>1000.\n#### 1,000"},
    {"question": "And now?", "answer": "It is 7.\n#### -7"},
]
MATH = [
    {"problem": "Half?", "level": "Level 3", "type": "Algebra",
     "solution": r"So it is $\boxed{\frac{1}{2}}$."},
    {"problem": "Two?", "level": "Level 1", "type": "Algebra", "solution": r"$\boxed{2}$"},
]  # fmt: skip
MMLU = [
    {"question": "Which is red?", "subject": "hue", "choices": ["sky", "blood", "grass", "sun"],
     "answer": 1},
    {"question": "Which is a noun?", "subject": "words", "choices": ["run", "tree"], "answer": 1},
]  # fmt: skip


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def written(tmp_path, kind):
    """The rows as each source."""
    frame = pandas.DataFrame(ROWS)
    path = tmp_path / f"rows.{kind}"
    if kind == "jsonl":
        return jsonl(path, ROWS)
    if kind in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="," if kind == "csv" else "\t")
    elif kind == "parquet":
        frame.to_parquet(path)
    elif kind == "frame":
        return frame
    elif kind == "records":
        return ROWS
    else:
        import datasets

        held = datasets.Dataset.from_list(ROWS)
        if kind == "dataset":
            return held
        if kind == "saved":
            held.save_to_disk(tmp_path / "saved")
            return f"hf:{tmp_path / 'saved'}:train"
        folder = tmp_path / "folder"
        folder.mkdir()
        jsonl(folder / "test.jsonl", ROWS)
        return f"hf:{folder}:test[:2]"
    return path


KINDS = (
    *("jsonl", "csv", "tsv", "parquet", "frame", "records", "dataset", "saved", "folder"),
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_is_the_same_from_every_source(tmp_path, kind, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    task = load_task(written(tmp_path, kind), map=MAP)
    reference = load_task(ROWS, map="question=prompt, target=answer")
    first = 1 if kind not in ("csv", "tsv") else 2  # a table's header is a line
    assert [problem.id for problem in task] == [str(first), str(first + 1)]
    assert [p.to_dict() | {"id": ""} for p in task] == [p.to_dict() | {"id": ""} for p in reference]
    assert task.grouped_by("subject").problems[1].difficulty == "words"


def test_tables_mean_what_their_columns_cannot_say(tmp_path):
    frame = pandas.DataFrame(
        {
            "id": [3, 4], "prompt": ["a", "b"], "answer": [5.0, 7.0], "trace": ["so", None],
            "candidates": ['["5", "6"]', '["6", "7"]'], "year": [2020.0, None],
            "day": pandas.to_datetime(["2020-01-02", None]), "raw": [b"x", b"y"],
        }
    )  # fmt: skip
    task = load_task(frame)
    one, two = task
    assert (one.id, one.answer, one.candidates) == ("3", "5", ("5", "6"))
    assert one.metadata == {"year": 2020.0, "day": "2020-01-02T00:00:00"}
    assert two.trace is None and two.metadata == {}
    assert "left out: raw" in task.notes[0]
    path = tmp_path / "a.csv"
    path.write_text('prompt,answer,difficulty,id\n"two\nlines",1,3,\nb,2,hard,x\n')
    task = load_task(path)
    assert [p.difficulty for p in task] == [3, "hard"]
    assert [p.id for p in task] == ["2", "x"] and task.problems[0].prompt == "two\nlines"


def bad_csv(text):
    return lambda tmp_path: (tmp_path / "a.csv", (tmp_path / "a.csv").write_bytes(text))[0]


def bad_parquet(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    return tmp_path / "a.parquet"


def splits(tmp_path):
    import datasets

    return datasets.DatasetDict({"test": datasets.Dataset.from_list(ROWS)})


MALFORMED = [
    (bad_csv(b""), "is empty"),
    (bad_csv(b"prompt,prompt\na,b\n"), "'prompt' twice"),
    (bad_csv(b"prompt,\na,b\n"), "empty name"),
    (bad_csv(b"prompt,answer\na,b,c\n"), r"line 2: it has 3 cells and the header has 2"),
    (bad_csv(b'prompt,answer\n"x\ny",1\nb\n'), r"line 4: it has 1 cells"),
    (bad_csv(b"prompt,answer\n\xe9,1\n"), r"line 2 is not UTF-8 \(byte 0xe9\)"),
    (bad_csv(b"prompt,answer\n,1\n"), r"line 2: 'prompt' is missing"),
    (bad_csv(b"question,answer\na,1\n"), "Did you mean 'prompt'.*map='question=prompt'"),
    (bad_parquet, "cannot be read as parquet"),
    (splits, "has the splits test"),
    (lambda _: "hf:gsm8k", "Write hf:NAME"),
    (lambda _: "hf:a:b:c:d", "Write hf:NAME"),
    (lambda _: "hf:nobody/nothing:main:test", "cannot be loaded by datasets"),
    (lambda _: [], "holds no problem"),
    (lambda _: pandas.DataFrame([[1, 2]], columns=["a", "a"]), "two columns 'a'"),
]


@pytest.mark.parametrize(("make", "says"), MALFORMED)
def test_a_malformed_source_is_refused_with_its_place_and_what_to_do(tmp_path, make, says):
    with pytest.raises(TaskError, match=says):
        load_task(make(tmp_path))


def test_a_record_that_is_no_mapping_of_names_is_named():
    rows = of_mappings([{"prompt": "a", "answer": "1"}, 3, {1: "a"}]).rows
    assert [row.values is None for row in rows] == [False, True, True]
    assert "it is 3, no mapping" in rows[1].faults[0][0]
    assert rows[2].where == "record 3" and "no string" in rows[2].faults[0][0]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ("question", "does not name a column and a field"),
        ("=prompt", "does not name"),
        ("a=prompt,b=prompt", "field 'prompt' twice"),
        ({"questoin": "prompt"}, "does not have: it has 'question'.*Did you mean 'question'"),
    ],
)
def test_a_map_that_maps_nothing_is_refused(columns, says):
    with pytest.raises(TaskError, match=says):
        load_task(ROWS, map=columns)


@pytest.mark.parametrize(
    ("rows", "name", "answers", "asked", "texts"),
    [
        (GSM8K, "GSM8K", ["1000", "-7"], "How many?", ["so 3 #### 1000", "it is -7"]),
        (MATH, "MATH", [r"\frac{1}{2}", "2"], "Half?", [r"\boxed{0.5}", r"\boxed{3} \boxed{2}"]),
        (
            *(MMLU, "MMLU", ["B", "B"]),
            "Which is red?\nA. sky\nB. blood\nC. grass\nD. sun\nAnswer:",
            ["A guess: the answer is B, not A", "B. A tree is."],
        ),
    ],
)
def test_a_benchmark_is_recognised_by_its_columns(tmp_path, rows, name, answers, asked, texts):
    task = load_task(jsonl(tmp_path / "test.jsonl", rows))
    assert [problem.answer for problem in task] == answers
    assert task.problems[0].prompt == asked
    assert f"test.jsonl was read as {name} by its columns" in task.notes[0]
    assert not ungradable(task)
    right = [check(text, problem) for text, problem in zip(texts, task, strict=True)]
    assert [graded.correct for graded in right] == [True, name != "MMLU" or False]
    save_task(task, tmp_path / "again.jsonl")
    again = load_task(tmp_path / "again.jsonl")
    assert again.digest == task.digest and not again.notes


def test_what_a_benchmark_says_beside_the_answer_is_kept():
    solved = load_task(GSM8K).problems[0]
    assert solved.trace == "20 * 50 = <<20*50=1000>>1000." and solved.extractor == "gsm8k"
    maths = load_task(MATH)
    assert [problem.difficulty for problem in maths] == [3, 1]
    assert maths.problems[0].metadata == {"level": "Level 3", "type": "Algebra"}
    grouped = load_task(MMLU, group_by="subject")
    assert [problem.difficulty for problem in grouped] == ["hue", "words"]
    tested = [{"problem": "p", "answer": "3", "level": 4, "unique_id": "u/1.json", "solution": ""}]
    (problem,) = load_task(tested)
    assert (problem.id, problem.answer, problem.difficulty) == ("u/1.json", "3", 4)


def test_recognition_can_be_overridden():
    with pytest.raises(TaskError, match="Did you mean 'prompt'"):
        load_task(GSM8K, task_format="plain")
    plain = load_task(GSM8K, task_format="plain", map="question=prompt")
    assert "####" in plain.problems[0].answer and not plain.notes
    with pytest.raises(TaskError, match="no task format 'gsm'"):
        load_task(GSM8K, task_format="gsm")
    with pytest.raises(TaskError, match="is to be read as MMLU"):
        load_task(GSM8K, task_format="mmlu")
    named = [{"q": row["question"], "a": row["answer"]} for row in GSM8K]
    mapped = load_task(named, map="q=question,a=answer", task_format="gsm8k")
    assert mapped.digest == load_task(GSM8K).digest
    problem = load_task(GSM8K).problems[0]
    assert extractor("boxed")("#### 5", problem) is None
    assert default_extractor("#### 5 and 6", problem) == "5"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([GSM8K[0], {"question": "a", "answer": "5"}], "record 2: it has not the columns of GSM8K"),
        ([GSM8K[0], {"question": "a", "answer": "x ####"}], "record 2: its answer ends in '####'"),
        ([MATH[0], {"problem": "a", "level": "1", "answer": None}], "record 2"),
        ([MMLU[0], MMLU[0] | {"answer": 4}], "record 2: 'answer' is 4 and there are 4 choices"),
        ([MMLU[0], MMLU[0] | {"choices": ["a"]}], "record 2: 'choices'"),
        ([{"prompt": "a", "answer": "1", "extractor": "box"}], "'extractor' is 'box'"),
    ],
)
def test_a_record_unlike_its_benchmark_is_named(rows, says):
    with pytest.raises(TaskError, match=says):
        load_task(rows)


def samples(target, arguments, resps, **more):
    """A line of `lm_eval --log_samples`, as its evaluation tracker writes it."""
    return {
        "doc_id": 7, "doc": {"q": "?"}, "target": target, "resps": resps, "filtered_resps": ["5"],
        "arguments": {
            f"gen_args_{i}": {f"arg_{j}": part for j, part in enumerate(call)}
            for i, call in enumerate(arguments)
        },
        "filter": "strict", "metrics": ["exact_match"], "exact_match": 1.0, "doc_hash": "x",
        **more,
    }  # fmt: skip


def test_samples_of_the_harness_are_problems_with_the_model_s_texts(tmp_path):
    one = samples("so\n#### 5", [["Q?", {"until": ["\n"]}]], [["I think 5"]])
    path = jsonl(tmp_path / "samples_gsm8k.jsonl", [one, one | {"filter": "flexible"}])
    task = load_task(path)
    (problem,) = task
    assert (problem.id, problem.prompt, problem.answer) == ("7", "Q?", "5")
    assert (problem.trace, problem.extractor) == ("I think 5", "gsm8k")
    assert problem.metadata["exact_match"] == 1.0
    assert "lm-evaluation-harness" in task.notes[0] and "Of 2 samples 1" in task.notes[1]
    choices = [["Sky?", " blue"], ["Sky?", " red"]]
    (choice,) = load_task([samples("0", choices, [[["-1.0", "True"]], [["-2.0", "False"]]])])
    assert (choice.prompt, choice.answer, choice.candidates) == ("Sky?", "blue", ("blue", "red"))


def test_what_the_harness_itself_writes_is_read(tmp_path):
    trackers = pytest.importorskip(
        "lm_eval.loggers", reason="pip install lm_eval", exc_type=ImportError
    )
    tracker = trackers.EvaluationTracker(output_path=str(tmp_path))
    tracker.general_config_tracker.model_name_sanitized = "model"
    tracker.date_id = "2026-01-01"
    written = samples("so\n#### 5", [], [["I think 5"]]) | {"arguments": [("Q?", {"until": []})]}
    tracker.save_results_samples("gsm8k", [written])
    (path,) = tmp_path.rglob("samples_gsm8k_*.jsonl")
    (problem,) = load_task(path)
    assert (problem.prompt, problem.answer, problem.trace) == ("Q?", "5", "I think 5")


def test_conversations_come_from_tables_too():
    import datasets

    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]
    rows = datasets.Dataset.from_list([{"messages": turns, "answer": "2"}])
    (problem,) = load_task(rows)
    assert (problem.prompt, problem.history) == ("1 + 1?", (turns[0],))
    (mapped,) = load_task([{"chat": turns, "answer": "2"}], map="chat=messages")
    assert mapped.history == problem.history
