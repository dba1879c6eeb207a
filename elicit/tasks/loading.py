"""Tasks from files, tables and data sets."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from elicit.tasks.conversation import Message, conversation
from elicit.tasks.evaluations import EVAL_LOG, of_eval_log
from elicit.tasks.faults import Fault, TaskError, shown
from elicit.tasks.formats import AUTO, recognised
from elicit.tasks.hub import is_hub_id, of_dataset, of_hub
from elicit.tasks.jsonl import of_jsonl
from elicit.tasks.mapping import Columns, mapped
from elicit.tasks.problems import KNOWN, Edited, Problem, problem_faults
from elicit.tasks.records import Frame, Records, RowSet, Source, Told, of_mappings
from elicit.tasks.tables import PARQUET, SEPARATORS, of_csv, of_frame, of_parquet
from elicit.tasks.task import Task


def load_task(
    source: Source,
    *,
    name: str | None = None,
    group_by: str | None = None,
    map: Columns = None,
    task_format: str = AUTO,
) -> Task:
    """Read problems, or say what is wrong in every bad line.

    Each record has `prompt`, `answer` and, optionally, `id` (else its line or row number),
    `candidates`, `difficulty`, `trace`, `edited` and `extractor`. `messages`, a conversation, may
    stand in for `prompt`. Other keys are kept as `metadata`, unless they are known ones misspelt.
    Blank lines are skipped. Files of GSM8K, MATH and MMLU, and samples of lm-evaluation-harness,
    are recognised by their columns, and `notes` of the task say so.

    Args:
        source: File (JSONL, CSV, TSV, parquet, or `.eval` of inspect_ai), `hf:NAME[:CONFIG]:SPLIT`
            for `datasets` to load, a list of dicts, a pandas DataFrame, or a `datasets.Dataset`.
        name: Name of the task; that of the source if None.
        group_by: Key of the metadata that groups problems in place of their difficulty.
        map: Field of each column: `{"question": "prompt"}` or `"question=prompt,target=answer"`.
        task_format: `auto`, `plain` (fields as they are called), `gsm8k`, `math`, `mmlu` or
            `lm-eval`.

    Raises:
        TaskError: The source cannot be read, holds no problem, or has bad records; `faults` names
            all.
    """
    records = read_records(source, map=map, task_format=task_format)
    wrong: list[Fault] = []
    problems: list[Problem] = []
    first: dict[str, str] = {}
    for row in records.rows:
        values, faults = row.values, list(row.faults)
        history: tuple[Message, ...] = ()
        if values is not None:
            values, history, more = spoken({"id": row.id, **values})
            faults += more
            if not faults:
                faults += problem_faults(values)
            called = values.get("id")
            if isinstance(called, str) and first.setdefault(called, row.where) != row.where:
                what = f"the id {shown(called)} is that of {first[called]}"
                faults.append((what, "Give every problem its own"))
        wrong += [Fault(where=row.where, what=what, fix=fix) for what, fix in faults]
        if values is not None and not faults:
            problems.append(_problem(values, history))
    records.refuse(wrong)
    if not problems:
        raise TaskError(
            f"{records.origin} holds no problem, so nothing could be measured on it. Write one "
            'JSON object a line, for example {"id": "1", "prompt": "2 + 3 =", "answer": "5"}.'
        )
    task = Task(
        name=records.name if name is None else name,
        problems=tuple(problems),
        notes=records.notes,
    )
    return task if group_by is None else task.grouped_by(group_by)


def read_records(
    source: Source,
    *,
    map: Columns = None,
    task_format: str = AUTO,
) -> Records:
    """What a source holds, with the names of fields, before it is checked.

    Args:
        source: See `load_task`.
        map: Field of each column.
        task_format: See `load_task`.

    Raises:
        TaskError: The source cannot be read, or lacks a column that is named.
    """
    records, found = recognised(mapped(_read(source), map), task_format)
    if found is None or found.name != "lm-eval":
        return records
    # A filter repeats every document; texts do not differ by it.
    once = {row.values["id"] if row.values else row.where: row for row in reversed(records.rows)}
    kept = tuple(reversed(once.values()))
    if len(kept) == len(records.rows):
        return records
    note = f"Of {len(records.rows)} samples {len(kept)} are kept: filters repeat the others."
    return replace(records, rows=kept, notes=(*records.notes, note))


def _read(source: Source) -> Records:
    if isinstance(source, str | Path):
        return _read_file(source)
    if isinstance(source, RowSet):
        return of_dataset(source)
    if isinstance(source, Frame):
        return of_frame(source)
    return of_mappings(source)


def _read_file(source: str | Path) -> Records:
    if is_hub_id(source):
        return of_hub(str(source))
    path = Path(source)
    ending = path.suffix.lower()
    if ending in SEPARATORS:
        return of_csv(path)
    if ending in PARQUET:
        return of_parquet(path)
    return of_eval_log(path) if ending == EVAL_LOG else of_jsonl(path)


def spoken(
    values: dict[str, object],
) -> tuple[dict[str, object], tuple[Message, ...], Told]:
    """Fields of a record whose prompt may be a conversation, the turns before it, and faults.

    Args:
        values: What the record holds.
    """
    if "messages" in values and "prompt" in values:
        return values, (), [("it has both 'prompt' and 'messages'", "Keep one")]
    if "messages" not in values:
        return values, (), []
    rest = {key: value for key, value in values.items() if key != "messages"}
    history, said, faults = conversation(values["messages"])
    return said | rest, history, faults


def _problem(values: Mapping[str, object], history: tuple[Message, ...]) -> Problem:
    """Problem of values that `problem_faults` found nothing wrong with."""
    candidates = values.get("candidates")
    return Problem(
        id=str(values["id"]),
        prompt=str(values["prompt"]),
        answer=str(values["answer"]),
        candidates=tuple(candidates) if isinstance(candidates, list) else None,
        difficulty=_difficulty(values.get("difficulty")),
        trace=_text(values.get("trace")),
        edited=_edited(values.get("edited")),
        extractor=_text(values.get("extractor")),
        history=history,
        metadata={key: value for key, value in values.items() if key not in KNOWN},
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _edited(value: object) -> Edited | None:
    if not isinstance(value, dict):
        return None
    return Edited(prompt=str(value["prompt"]), answer=str(value["answer"]))


def _difficulty(value: object) -> float | int | str | None:
    return value if isinstance(value, float | int | str) else None
