"""Files of texts and of words that a run about features may be given."""

import json
from dataclasses import dataclass
from pathlib import Path

from elicit.jobs._spec import SpecError


@dataclass(frozen=True, kw_only=True)
class FileText:
    """A text of a file."""

    text: str
    problem: str
    source: str


def read_texts(path: Path) -> list[FileText]:
    """Texts of a JSONL file, each with its problem, or its line where it names none.

    Args:
        path: Lines of `{"text": …, "problem": …}`.

    Raises:
        SpecError: It cannot be read, or a line holds no text.
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
            values = json.loads(line)
        except json.JSONDecodeError:
            values = None
        text = values.get("text") if isinstance(values, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise SpecError(
                f"line {number} of {path} has no object with a 'text', so there is nothing to "
                'read. Write lines such as {"text": "…", "problem": "p1"}.'
            )
        problem = str(values.get("problem", f"{path.name}:{number}"))  # pyright: ignore
        texts.append(FileText(text=text, problem=problem, source=path.name))
    if len({text.problem for text in texts}) < 4:
        raise SpecError(
            f"{path} has texts of {len({text.problem for text in texts})} problems, and at least "
            "two for selection and two held-out ones are needed. Add texts."
        )
    return texts


def read_groups(path: Path) -> dict[str, tuple[str, ...]]:
    """Groups of words of a JSON file: an object of lists of spellings.

    Args:
        path: The file.

    Raises:
        SpecError: It cannot be read, or is something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(
            f"groups names {path}, which is no JSON that can be read ({error}). "
            'Write {"wait": ["wait", "Wait"], …}.'
        ) from error
    right = isinstance(values, dict) and all(
        isinstance(words, list) and words and all(isinstance(word, str) for word in words)
        for words in values.values()
    )
    if not right or len(values) < 2:
        raise SpecError(
            f"{path} is no object of two or more lists of words, so there are no groups. Write "
            '{"wait": ["wait", "Wait"], "but": ["But"], …}.'
        )
    return {str(name): tuple(words) for name, words in values.items()}
