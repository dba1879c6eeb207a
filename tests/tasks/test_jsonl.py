"""A task file is read whole or not at all, and every bad line is named."""

import json
import random

import pytest

from elicit.tasks import Problem, Task, TaskError, load_task, save_task

GOOD = b'{"id": "1", "prompt": "2 + 3 =", "answer": "5"}'

BAD_LINES = [
    (b"{", "not JSON"),
    (b"hello", "not JSON"),
    (b"\xff\xfe{}", "0xff"),
    (b'{"id": "x", "prompt": "\xe9", "answer": "5"}', "byte 24 (0xe9) is not UTF-8"),
    (b"[1, 2]", "not an object"),
    (b"null", "not an object"),
    (b"{}", "'prompt' is missing"),
    (b'{"id": 7, "prompt": "?", "answer": "5"}', 'Put it in quotes: "7"'),
    (b'{"id": "x", "promt": "?", "answer": "5"}', "Did you mean 'prompt'?"),
    (b'{"id": "x", "Prompt": "?", "prompt": "?", "answer": "5"}', "Did you mean 'prompt'?"),
    (b'{"id": "x", "question": "?", "answer": "5"}', "Did you mean 'prompt'?"),
    (b'{"id": "x", "prompt": "?", "answer": "5", "choices": ["5", "6"]}', "'candidates'?"),
    (b'{"id": "x", "prompt": "?", "answer": "5", "anwser": 1}', "Did you mean 'answer'?"),
    (b'{"id": "x", "prompt": "", "answer": "5"}', "'prompt' is empty"),
    (b'{"id": "x", "prompt": "?", "answer": 5}', "'answer' is a number (5)"),
    (b'{"id": "x", "prompt": "?", "answer": null}', "'answer' is null"),
    (b'{"id": "x", "prompt": "?", "answer": "5", "candidates": "56"}', "not a list of strings"),
    (b'{"id": "x", "prompt": "?", "answer": "5", "candidates": {"5": 6}}', "is an object"),
    (b'{"id": "x", "prompt": "?", "answer": "5", "candidates": ["5"]}', "at least 2"),
    (b'{"id": "x", "prompt": "?", "answer": "5", "candidates": []}', "0 of the at least 2"),
    (b'{"id": "x", "prompt": "?", "answer": "5", "candidates": ["6", "7"]}', "not among"),
    (b'{"id": "x", "prompt": "?", "answer": "5", "candidates": ["5", 6]}', "'candidate 2'"),
    (b'{"id": "x", "prompt": "?", "answer": "5", "difficulty": [1]}', "'difficulty' is a list"),
    (b'{"id": "x", "prompt": "?", "answer": "5", "difficulty": NaN}', "NaN is no JSON number"),
    (b'{"id": "x", "prompt": "?", "answer": "5", "difficulty": 1e999}', "finite"),
    (b'{"id": "x", "prompt": "?", "answer": "5", "trace": 5}', "'trace' is a number"),
    (b'{"id": "x", "prompt": "?", "answer": "5", "answer": "6"}', "more than once"),
    (b'{"id": "x", "prompt": "\\ud800", "answer": "5"}', "surrogate"),
    (b'{"id": "1", "prompt": "?", "answer": "5"}', "that of line 1"),
    (b'{"id": "x", "prompt": ' + b"[" * 100_000, "not JSON"),
    (b'{"id": "x", "prompt": "?", "answer": ' + b"1" * 9999 + b"}", "line 3"),
]


def written(tmp_path, *lines, end=b"\n"):
    path = tmp_path / "problems.jsonl"
    path.write_bytes(end.join(lines) + end)
    return path


@pytest.mark.parametrize(("line", "said"), BAD_LINES)
def test_a_bad_line_is_named_with_what_is_wrong_in_it(tmp_path, line, said):
    with pytest.raises(TaskError) as caught:
        load_task(written(tmp_path, GOOD, b"", line))
    assert said in str(caught.value)
    assert {fault.where for fault in caught.value.faults} == {"line 3"}
    assert "1 of 2 lines" in str(caught.value)
    assert len(str(caught.value)) < 1200


def test_every_bad_line_is_named_wherever_they_stand(tmp_path):
    rng = random.Random(0)
    bad = [line for line, _ in BAD_LINES[:-3]]
    for _ in range(8):
        lines, where = [], set()
        for number in range(1, 60):
            if rng.random() < 0.3:
                lines.append(rng.choice(bad))
                where.add(f"line {number}")
            elif rng.random() < 0.1:
                lines.append(b"  \r")
            else:
                lines.append(GOOD.replace(b'"1"', b'"n%d"' % number))
        repeats = TaskError
        with pytest.raises(repeats) as caught:
            load_task(written(tmp_path, *lines))
        assert {fault.where for fault in caught.value.faults} == where


def test_a_message_about_many_lines_stays_short_and_counts_the_rest(tmp_path):
    with pytest.raises(TaskError) as caught:
        load_task(written(tmp_path, *[b"{"] * 500))
    assert len(caught.value.faults) == 500
    assert "and 450 more" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 52


@pytest.mark.parametrize("content", [b"", b"\n\n  \r\n", b"\xef\xbb\xbf"])
def test_a_file_without_problems_is_refused(tmp_path, content):
    path = tmp_path / "empty.jsonl"
    path.write_bytes(content)
    with pytest.raises(TaskError, match="holds no problem"):
        load_task(path)


def test_what_is_no_task_file_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(TaskError, match="No such file"):
        load_task(tmp_path / "missing.jsonl")
    with pytest.raises(TaskError, match="directory"):
        load_task(tmp_path)
    path = tmp_path / "list.json"
    path.write_bytes(b"[\n" + GOOD + b"\n]\n")
    with pytest.raises(TaskError, match="one object a line"):
        load_task(path)
    path.write_bytes(GOOD.decode().encode("utf-16"))
    with pytest.raises(TaskError, match="UTF-16"):
        load_task(path)


def test_marks_blank_lines_and_line_ends_of_other_systems_do_not_matter(tmp_path):
    other = GOOD.replace(b'"1"', b'"2"')
    task = load_task(written(tmp_path, GOOD, other))
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf\r\n" + GOOD + b"\r\n\r\n \t" + other)
    assert load_task(path).digest == task.digest
    assert load_task(path).name == "windows"
    assert load_task(path, name="sums").name == "sums"


def test_a_saved_task_is_read_back_the_same(tmp_path):
    hostile = [
        "x\u2028 \u2029 \x85",
        "<script>",
        "a\nb\r\n\tc",
        "\\ \" '",
        "\U0001f600 \u00e9",
        "{}",
    ]
    problems = tuple(
        Problem(
            id=text,
            prompt=text + "?",
            answer="7",
            candidates=("7", "x" + text + "x") if place % 2 else None,
            difficulty=[None, 1, 1.5, "hard"][place % 4],
            trace="t" + text if place % 3 else None,
        )
        for place, text in enumerate(hostile)
    )
    task = Task(name="hostile", problems=problems)
    path = tmp_path / "hostile.jsonl"
    save_task(task, path)
    assert load_task(path) == task
    assert load_task(path).digest == task.digest
    assert all(json.loads(line) for line in path.read_bytes().splitlines())
    before = path.read_bytes()
    save_task(load_task(path), path)
    assert path.read_bytes() == before
    with pytest.raises(TaskError, match="cannot be written"):
        save_task(task, tmp_path / "no" / "folder.jsonl")


def rows_of(tmp_path, *rows):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


ROW = {"id": "x", "prompt": "?", "answer": "5"}


@pytest.mark.parametrize(
    "extra",
    [
        {"level": "Level 5", "subject": "algebra", "unique_id": "a/7"},
        {"entity": "Rome", "relation": {"of": "Italy"}, "aliases": ["Roma"], "source": None},
        {"answers": ["5", "five"], "solution": "it is 5", "history": "old", "metadata": {"a": 1}},
        {"promoted": 1, "trace_id": 3, "url": "x", "idx": 0, "split": "test", "text_id": 4},
    ],
)
def test_other_keys_are_kept_and_come_back(tmp_path, extra):
    task = load_task(rows_of(tmp_path, ROW | extra))
    assert task.problems[0].metadata == extra
    save_task(task, tmp_path / "again.jsonl")
    kept = {key: value for key, value in extra.items() if value is not None}
    assert load_task(tmp_path / "again.jsonl").problems[0].metadata == kept
    assert load_task(tmp_path / "again.jsonl").digest == task.digest


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("anwser", "answer"),
        ("Answer", "answer"),
        ("answr", "answer"),
        ("canditates", "candidates"),
        ("candidate", "candidates"),
        ("dificulty", "difficulty"),
        ("trase", "trace"),
        ("mesages", "messages"),
        ("ID", "id"),
    ],
)
def test_a_known_key_misspelt_is_refused(tmp_path, written, meant):
    with pytest.raises(TaskError) as caught:
        load_task(rows_of(tmp_path, ROW | {written: "5"}))
    assert repr(written) in str(caught.value)
    assert f"{meant!r}?" in str(caught.value)


def test_problems_are_grouped_by_a_key_of_the_file(tmp_path):
    rows = [ROW | {"id": str(i), "subject": "ab"[i % 2]} for i in range(4)]
    task = load_task(rows_of(tmp_path, *rows), group_by="subject")
    assert [problem.difficulty for problem in task] == ["a", "b", "a", "b"]
    with pytest.raises(TaskError) as caught:
        load_task(rows_of(tmp_path, *rows, ROW), group_by="subject")
    assert [fault.where for fault in caught.value.faults] == ["problem 'x'"]


def test_problems_are_grouped_by_their_difficulty_already(tmp_path):
    rows = [ROW | {"id": str(i), "difficulty": i % 2} for i in range(4)]
    task = load_task(rows_of(tmp_path, *rows), group_by="difficulty")
    assert [problem.difficulty for problem in task] == [0, 1, 0, 1]
    with pytest.raises(TaskError, match="difficulty"):
        load_task(rows_of(tmp_path, *rows, ROW), group_by="difficulty")


def test_a_conversation_may_stand_in_for_the_prompt(tmp_path):
    turns = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "2 + 3 ?"},
    ]
    row = {"id": "x", "messages": [*turns, {"role": "assistant", "content": "so 5"}], "answer": "5"}
    task = load_task(rows_of(tmp_path, row))
    assert task.problems[0].turns == turns
    assert task.problems[0].trace == "so 5"
    save_task(task, tmp_path / "again.jsonl")
    assert load_task(tmp_path / "again.jsonl").digest == task.digest
    for wrong in ([], "hi", [{"role": "user"}], [{"role": "assistant", "content": "a"}]):
        with pytest.raises(TaskError, match="messages"):
            load_task(rows_of(tmp_path, {"id": "x", "messages": wrong, "answer": "5"}))
    with pytest.raises(TaskError, match="'prompt' and 'messages'"):
        load_task(rows_of(tmp_path, row | {"prompt": "?"}))
