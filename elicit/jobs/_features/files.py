"""Files of texts and of words that a run about features may be given."""

import json
from dataclasses import dataclass
from pathlib import Path

from elicit.jobs._spec import SpecError


@dataclass(frozen=True, kw_only=True)
class Given:
    """A text of a file."""

    text: str
    problem: str
    source: str


def read_texts(path: Path) -> list[Given]:
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
            f"traces are to be read from {path}, which cannot be read ({error}). Choose own, task "
            "or a JSONL file."
        ) from error
    found: list[Given] = []
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
                f"line {number} of {path} holds no object with a 'text', so there is nothing to "
                'read in it. Write lines such as {"text": "…", "problem": "p1"}.'
            )
        problem = str(values.get("problem", f"{path.name}:{number}"))  # pyright: ignore
        found.append(Given(text=text, problem=problem, source=path.name))
    if len({text.problem for text in found}) < 4:
        raise SpecError(
            f"{path} holds texts of {len({text.problem for text in found})} problems, and two to "
            "choose on and two to test on are needed at least. Add texts."
        )
    return found


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
            f"groups are to be read from {path}, which is no JSON that can be read ({error}). "
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
