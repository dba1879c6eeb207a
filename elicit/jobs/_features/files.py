"""Text and word files of a features run."""

from dataclasses import dataclass
from pathlib import Path

from elicit.jobs._spec import SpecError
from elicit.results import clean_text, parse_json


@dataclass(frozen=True, kw_only=True)
class FileText:
    """A text of a JSONL file."""

    text: str
    problem: str
    source: str


def read_texts(path: Path) -> list[FileText]:
    """Texts of a JSONL file, each with its problem; default: its line.

    `path`: lines of `{"text": …, "problem": …}`.

    Raises:
        SpecError: It cannot be read, or a line has no text.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"traces names {path}, which cannot be read ({error}). Choose own, task or a JSONL "
            "file."
        ) from error
    texts: list[FileText] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = parse_json(line)
        except ValueError:
            values = None
        text = values.get("text") if isinstance(values, dict) else None
        if not isinstance(values, dict) or not isinstance(text, str) or not text.strip():
            raise SpecError(
                f"line {number} of {path} has no object with a 'text', so there is nothing to "
                'read. Write lines such as {"text": "…", "problem": "p1"}.'
            )
        problem = str(values.get("problem", f"{path.name}:{number}"))
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
