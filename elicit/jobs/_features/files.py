"""Text and word files of a features run."""

from dataclasses import dataclass
from pathlib import Path

from elicit.jobs._given_texts import TAKES, read_given
from elicit.jobs._spec import SpecError
from elicit.results import clean_text, parse_json
from elicit.tasks import TaskError


@dataclass(frozen=True, kw_only=True)
class FileText:
    """A text of a file."""

    text: str
    problem: str
    source: str


@dataclass(frozen=True, kw_only=True)
class FileTexts:
    """Texts of one file or data set."""

    texts: tuple[FileText, ...]
    notes: tuple[str, ...]
    """Remarks on how they were read."""


def read_texts(source: Path | str) -> FileTexts:
    """Texts of a file or data set, each with its problem; default: its line or row.

    `source`: what `read_given` takes, with `text` and, optionally, `problem`.

    Raises:
        SpecError: It cannot be read, or a record has no text.
    """
    try:
        given = read_given(source)
    except TaskError as error:
        raise SpecError(
            f"traces names {source}, which cannot be read, so there are no texts. {error} Choose "
            f"own, task, or {TAKES}."
        ) from error
    texts: list[FileText] = []
    for row in given.texts:
        if row.fault is not None or row.text is None:
            raise SpecError(
                f"{row.where} of {source} has no 'text', so there is nothing to read. Write lines "
                'such as {"text": "…", "problem": "p1"}, or a table with these columns.'
            )
        problem = row.problem if row.problem is not None else f"{given.label}:{row.number}"
        texts.append(FileText(text=clean_text(row.text), problem=problem, source=given.label))
    if len({text.problem for text in texts}) < 4:
        raise SpecError(
            f"{source} has texts of {len({text.problem for text in texts})} problems, but at least "
            "two selection and two held-out ones are needed. Add texts."
        )
    return FileTexts(texts=tuple(texts), notes=given.notes)


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
