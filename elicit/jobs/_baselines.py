"""Alternative prompts for the base, from text files with a placeholder for the problem."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from elicit.jobs._spec import SpecError
from elicit.tasks import NEGATIVE, PLAIN, POSITIVE, PromptOf, Task

PLACE = "{prompt}"
"""Placeholder for the problem."""


def baselines_of(paths: Sequence[Path], task: Task) -> dict[str, PromptOf]:
    """Alternative prompts, by file name.

    `paths`: UTF-8 texts with `PLACE` exactly once; a final line break is dropped. `task`: problems
    to be asked, none of which may occur in a text.

    Raises:
        SpecError: A file cannot be read, lacks a unique placeholder, duplicates the name of
            another prompt, or contains a problem.
    """
    found: dict[str, PromptOf] = {}
    for path in paths:
        text = _text(path)
        if text.count(PLACE) != 1:
            raise SpecError(
                f"the baseline {path} contains {PLACE} {text.count(PLACE)} times, so the position "
                "of the problem is ambiguous. Write it once, after the examples."
            )
        name = path.stem
        if name in (*found, PLAIN, POSITIVE, NEGATIVE):
            raise SpecError(
                f"the baseline name {name!r}, from its file name, is already used by another "
                "prompt, so the two would be indistinguishable. Rename the file."
            )
        shown = [problem.id for problem in task if problem.prompt in text]
        if shown:
            raise SpecError(
                f"the baseline {path} contains the problem {shown[0]!r} itself, perhaps with its "
                "answer, so the base would be tested on it. Use examples from elsewhere."
            )
        found[name] = _asking(text)
    return found


def texts_of(paths: Sequence[Path]) -> Mapping[str, str]:
    """Text of each file by name; part of the identity of a run.

    Raises:
        SpecError: A file cannot be read.
    """
    return {path.stem: _text(path) for path in paths}


def _asking(text: str) -> PromptOf:
    return lambda problem: text.replace(PLACE, problem.prompt)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())
        raise SpecError(
            f"the baseline {path} cannot be read ({why}), so the base cannot be prompted with it. "
            "Check the path, and that it is UTF-8 text."
        ) from error
