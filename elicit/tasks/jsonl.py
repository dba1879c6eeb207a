"""Task files: one JSON object a line."""

import json
from pathlib import Path

from elicit.tasks.faults import TaskError, shown
from elicit.tasks.records import Record, Records
from elicit.tasks.task import Task

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"


def of_jsonl(path: Path) -> Records:
    """Records of a JSONL file; blank lines are skipped.

    Raises:
        TaskError: The file cannot be read, or is no text.
    """
    rows = []
    # Only the line feed ends a line: a lone carriage return is white space to JSON.
    for number, line in enumerate(read_file(path).split(b"\n"), start=1):
        if line.strip():
            values, faults = parse_line(line)
            where = f"line {number}"
            rows.append(Record(where=where, id=str(number), values=values, faults=faults))
    return Records(origin=str(path), name=path.stem, unit="line", rows=tuple(rows))


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
            "Pass the path of a JSONL, CSV or parquet file."
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
