"""Logs of inspect_ai as problems: what was asked, the right answer, and what the model wrote."""

from pathlib import Path
from typing import Any

from elicit.tasks.cells import cells
from elicit.tasks.faults import TaskError
from elicit.tasks.formats import multiple_choice
from elicit.tasks.records import Record, Records, Told

EVAL_LOG = ".eval"
"""Ending of a log of inspect_ai."""


def of_eval_log(path: Path) -> Records:
    """Records of a log of inspect_ai: the model's text is the trace, its scores are metadata.

    Of several epochs the first is read.

    Raises:
        TaskError: The package `inspect-ai` is not installed, or the file is no log.
    """
    log = read_eval_log(path)
    samples = sorted(log.samples or (), key=lambda sample: sample.epoch)
    first: dict[str, Any] = {}
    for sample in samples:
        first.setdefault(str(sample.id), sample)
    rows = []
    for number, (name, sample) in enumerate(first.items(), start=1):
        values, faults = _values(sample)
        values = None if faults else {"id": name, **values}
        where = f"sample {number} ({name})"
        rows.append(Record(where=where, id=str(number), values=values, faults=faults))
    notes = [
        f"{path.name} is a log of inspect_ai: task {log.eval.task}, model {log.eval.model}. The "
        "trace is the model’s text."
    ]
    if len(samples) > len(first):
        notes.append(f"Of its {len(samples)} samples the first epoch of each is read.")
    return Records(
        origin=str(path),
        name=log.eval.task.rpartition("/")[2],
        unit="sample",
        rows=tuple(rows),
        notes=tuple(notes),
    )


def read_eval_log(path: Path) -> Any:
    """The log in a file, as inspect_ai reads it.

    Args:
        path: A file that ends in `.eval`.

    Raises:
        TaskError: The package `inspect-ai` is not installed, or the file is no log.
    """
    try:
        from inspect_ai.log import read_eval_log as read  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise TaskError(
            f"{path} is a log of inspect_ai, which is not installed, so it cannot be read. Run: "
            "python -m pip install 'elicit-interp[inspect]'"
        ) from error
    try:
        return read(str(path), resolve_attachments=True)
    except Exception as error:  # the reader of logs has errors of many classes
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise TaskError(
            f"{path} cannot be read as a log of inspect_ai ({type(error).__name__}: {why}), so "
            "there are no problems to run. Pass a whole .eval file."
        ) from error


def _values(sample: Any) -> tuple[dict[str, object], Told]:
    """Fields of a problem."""
    target = (
        sample.target[0] if isinstance(sample.target, list) and sample.target else sample.target
    )
    kept, _ = cells(sample.metadata or {})
    for key in ("prompt", "messages", "answer", "candidates", "trace", "id", "extractor"):
        kept.pop(key, None)
    if isinstance(sample.target, list) and len(sample.target) > 1:
        kept["targets"] = [str(each) for each in sample.target]
    for scorer, score in (sample.scores or {}).items():
        kept[f"score_{scorer}"] = score.value
    kept, _ = cells(kept)
    written = sample.output.completion
    if isinstance(written, str) and written.strip():
        kept["trace"] = written
    asked: dict[str, object]
    if isinstance(sample.input, str):
        asked = {"prompt": sample.input}
    else:
        turns = [{"role": turn.role, "content": turn.text} for turn in sample.input]
        asked = {"messages": turns} if len(turns) > 1 else {"prompt": turns[0]["content"]}
    if sample.choices and "prompt" in asked:
        return multiple_choice(kept, asked["prompt"], list(sample.choices), target)
    return {**kept, **asked, "answer": str(target).strip()}, []
