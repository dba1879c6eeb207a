"""Text and word files of a features run."""

from dataclasses import dataclass
from pathlib import Path

from elicit.jobs._spec import SpecError
from elicit.results import clean_text, parse_json
from elicit.tasks import TaskError, read_records


@dataclass(frozen=True, kw_only=True)
class FileText:
    """A text of a file."""

    text: str
    problem: str
    source: str


def read_texts(path: Path) -> list[FileText]:
    """Texts of a file, each with its problem; default: its line or row.

    `path`: JSONL, CSV, TSV or parquet with `text` and, optionally, `problem`.

    Raises:
        SpecError: It cannot be read, or a record has no text.
    """
    try:
        records = read_records(path, task_format="plain")
    except TaskError as error:
        raise SpecError(
            f"traces names {path}, which cannot be read, so there are no texts. {error} Choose "
            "own, task, or a JSONL, CSV or parquet file with a column text."
        ) from error
    texts: list[FileText] = []
    for row in records.rows:
        text = (row.values or {}).get("text")
        if row.values is None or row.faults or not isinstance(text, str) or not text.strip():
            raise SpecError(
                f"{row.where} of {path} has no 'text', so there is nothing to read. Write lines "
                'such as {"text": "…", "problem": "p1"}, or a table with these columns.'
            )
        problem = str(row.values.get("problem", f"{path.name}:{row.id}"))
        texts.append(FileText(text=clean_text(text), problem=problem, source=path.name))
    if len({text.problem for text in texts}) < 4:
        raise SpecError(
            f"{path} has texts of {len({text.problem for text in texts})} problems, but at least "
            "two selection and two held-out ones are needed. Add texts."
        )
    return texts


def read_groups(path: Path) -> dict[str, tuple[str, ...]]:
    """Groups of words from a JSON object of lists of spellings.

    Raises:
        SpecError: It cannot be read, or is not such an object.
    """
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(
            f"groups names {path}, which is not readable JSON ({error}). "
            'Write {"wait": ["wait", "Wait"], …}.'
        ) from error
    groups = values if isinstance(values, dict) else {}
    right = all(
        isinstance(words, list) and words and all(isinstance(word, str) for word in words)
        for words in groups.values()
    )
    if not right or len(groups) < 2:
        raise SpecError(
            f"{path} is not an object of two or more lists of words. Write "
            '{"wait": ["wait", "Wait"], "but": ["But"], …}.'
        )
    return {str(name): tuple(words) for name, words in groups.items()}
