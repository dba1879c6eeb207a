"""Task files: one JSON object a line."""

import json
from pathlib import Path

from elicit.tasks.faults import Fault, TaskError, shown
from elicit.tasks.problems import KNOWN, Edited, Message, Problem, conversation, problem_faults
from elicit.tasks.task import Task

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"


def load_task(path: str | Path, *, name: str | None = None, group_by: str | None = None) -> Task:
    """Read a task file, or say what is wrong in every bad line.

    Each line holds one object with `id`, `prompt`, `answer` and, optionally, `candidates`,
    `difficulty`, `trace` and `edited`. `messages`, a conversation, may stand in for `prompt`. Other
    keys are kept as `metadata`, unless they are known ones misspelt. Blank lines are skipped.

    Args:
        path: JSONL file in UTF-8.
        name: Name of the task; that of the file without its ending if None.
        group_by: Key of the metadata that groups problems in place of their difficulty.

    Raises:
        TaskError: The file cannot be read, holds no problem, or has bad lines; `faults` names all.
    """
    path = Path(path)
    data = read_file(path)
    wrong: list[Fault] = []
    problems: list[Problem] = []
    first_line: dict[str, int] = {}
    n_lines = 0
    # Only the line feed ends a line: a lone carriage return is white space to JSON.
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        n_lines += 1
        where = f"line {number}"
        values, faults = parse_line(line)
        history: tuple[Message, ...] = ()
        if values is not None:
            if "messages" in values and "prompt" in values:
                faults.append(("it has both 'prompt' and 'messages'", "Keep one"))
            elif "messages" in values:
                history, spoken, more = conversation(values.pop("messages"))
                values, faults = spoken | values, faults + more
            if not faults:
                faults += problem_faults(values)
            name_of = values.get("id")
            if isinstance(name_of, str) and first_line.setdefault(name_of, number) != number:
                what = f"the id {shown(name_of)} is that of line {first_line[name_of]}"
                faults.append((what, "Give every problem its own"))
        wrong += [Fault(where=where, what=what, fix=fix) for what, fix in faults]
        if values is not None and not faults:
            problems.append(_problem(values, history))
    if wrong:
        n_bad = len({fault.where for fault in wrong})
        raise TaskError(
            f"{path}: {n_bad} of {n_lines} lines hold no usable problem, so nothing was run:", wrong
        )
    if not problems:
        raise TaskError(
            f"{path} holds no problem, so nothing could be measured on it. Write one JSON object a "
            'line, for example {"id": "1", "prompt": "2 + 3 =", "answer": "5"}.'
        )
    task = Task(name=path.stem if name is None else name, problems=tuple(problems))
    return task if group_by is None else task.grouped_by(group_by)


def save_task(task: Task, path: str | Path) -> None:
    """Write a task so that `load_task` gives it back with the same digest.

    Args:
        task: Any task.
        path: File to write, whole or not at all; its folder exists.

    Raises:
        TaskError: The file cannot be written.
    """
    from elicit.results import disk_errors, write_atomic

    path = Path(path)
    lines = [json.dumps(problem.to_dict(), ensure_ascii=False) for problem in task.problems]
    with disk_errors(path, TaskError):
        write_atomic(path, ("\n".join(lines) + "\n").encode())


def read_file(path: Path) -> bytes:
    """The bytes of a JSONL file, refused where they cannot be read or are no text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise TaskError(
            f"The task file {path} cannot be read ({reason}), so there are no problems to run. "
            "Pass the path of a JSONL file."
        ) from error
    if data.startswith(_UTF16):
        raise TaskError(
            f"{path} is written in UTF-16, and a task file is read as UTF-8. Save it as UTF-8."
        )
    if _is_list(data):
        raise TaskError(
            f"{path} holds one JSON list, and a task file holds one object a line. Write each "
            "problem on a line of its own, without the list around them."
        )
    return data.removeprefix(_UTF8_MARK)


def _is_list(data: bytes) -> bool:
    """Whether a whole file is one JSON list of objects, as other tools write them."""
    if not data.lstrip().startswith(b"["):
        return False
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def parse_line(line: bytes) -> tuple[dict[str, object] | None, list[tuple[str, str]]]:
    """The object of a line, if it is one, and what is wrong with it."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"byte {error.start + 1} (0x{line[error.start]:02x}) is not UTF-8"
        return None, [(what, "Save the file as UTF-8")]
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        keys = [key for key, _ in pairs]
        repeated.extend(key for key in dict.fromkeys(keys) if keys.count(key) > 1)
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        what = f"it is not JSON ({error.msg} at column {error.colno}): {shown(text.strip())}"
        return None, [(what, "Write one JSON object on the line")]
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        what = f"it is not JSON that can be read ({reason}): {shown(text.strip())}"
        return None, [(what, "Write one flat JSON object on the line")]
    if not isinstance(value, dict):
        return None, [(f"it holds {shown(value)}, not an object", "Write {...} with the fields")]
    return value, [
        (f"the key {shown(key)} is there more than once", "Keep one") for key in repeated
    ]


def _refuse_constant(text: str) -> object:
    raise ValueError(f"{text} is no JSON number")


def _problem(values: dict[str, object], history: tuple[Message, ...]) -> Problem:
    """Problem of values that `problem_faults` found nothing wrong with."""
    candidates = values.get("candidates")
    return Problem(
        id=str(values["id"]),
        prompt=str(values["prompt"]),
        answer=str(values["answer"]),
        candidates=tuple(candidates) if isinstance(candidates, list) else None,
        difficulty=_difficulty(values.get("difficulty")),
        trace=None if values.get("trace") is None else str(values["trace"]),
        edited=_edited(values.get("edited")),
        history=history,
        metadata={key: value for key, value in values.items() if key not in KNOWN},
    )


def _edited(value: object) -> Edited | None:
    if not isinstance(value, dict):
        return None
    return Edited(prompt=str(value["prompt"]), answer=str(value["answer"]))


def _difficulty(value: object) -> float | int | str | None:
    return value if isinstance(value, float | int | str) else None
