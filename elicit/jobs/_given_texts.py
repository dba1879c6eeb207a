"""Texts that options name: files, logs of evaluations and data sets, read as problems are."""

from dataclasses import dataclass
from pathlib import Path

from elicit.tasks import Fault, is_hub_id, read_records

TAKES = "a JSONL, CSV or parquet file, a .eval log, samples of lm-evaluation-harness, or hf:NAME"


@dataclass(frozen=True, kw_only=True)
class GivenText:
    """A text, with the place a person would look for it."""

    where: str
    """Such as `line 3`."""
    number: str
    """Its line, row or sample."""
    problem: str | None
    """Id of the problem that it is about; None if it names none."""
    text: str | None
    """What is written; None if the record has no text."""
    fault: Fault | None = None
    """What is wrong with the record itself."""


@dataclass(frozen=True, kw_only=True)
class GivenTexts:
    """Every text of a source."""

    label: str
    """The file's name, or the data set."""
    texts: tuple[GivenText, ...]
    """The texts, in their order."""
    notes: tuple[str, ...]
    """Remarks on how they were read."""


def read_given(source: Path | str) -> GivenTexts:
    """Texts of a file or data set, with the problems that they are about.

    A text stands under `text`, with its problem under `problem` or `id`; or under `trace`, with its
    problem under `id`. Logs of inspect_ai, samples of lm-evaluation-harness and benchmarks give the
    trace that a task of them has. Rows of a data set of the hub are called by their number if they
    have no id, as its problems are.

    Args:
        source: What `load_task` takes as a path: JSONL, CSV, TSV, parquet, `.eval`, or
            `hf:NAME[:CONFIG]:SPLIT`.

    Raises:
        TaskError: The source cannot be read.
    """
    records = read_records(source, task_format="plain")
    if not {"text", "trace"} & set(records.columns()):
        records = read_records(source)
    texts = []
    for row in records.rows:
        values = row.values or {}
        names = ("problem", "id") if "text" in values else ("id",)
        named = next((values[name] for name in names if values.get(name) is not None), None)
        if named is None and is_hub_id(source):
            named = row.id
        text = values.get("text", values.get("trace"))
        whole = isinstance(text, str) and bool(text.strip())
        what, fix = row.faults[0] if row.faults else ("", "")
        texts.append(
            GivenText(
                where=row.where,
                number=row.id,
                problem=str(named) if isinstance(named, str | int) else None,
                text=text if isinstance(text, str) and whole else None,
                fault=Fault(where=row.where, what=what, fix=fix) if row.faults else None,
            )
        )
    return GivenTexts(label=records.label, texts=tuple(texts), notes=records.notes)
