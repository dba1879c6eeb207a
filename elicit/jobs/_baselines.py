"""Other ways to ask the base, from files: a text with a place for the problem."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from elicit.jobs._spec import SpecError
from elicit.tasks import NEGATIVE, PLAIN, POSITIVE, PromptOf, Task

PLACE = "{prompt}"
"""Where the problem goes."""


def baselines_of(paths: Sequence[Path], task: Task) -> dict[str, PromptOf]:
    """Ways to ask, by the names of their files.

    Args:
        paths: UTF-8 texts, each with `PLACE` in it once; a line end at the very end is left off.
        task: Problems that will be asked, none of which may stand in a text.

    Raises:
        SpecError: A file cannot be read, has not one place for the problem, is called as another
            or as a way that is there already, or holds a problem.
    """
    found: dict[str, PromptOf] = {}
    for path in paths:
        text = _text(path)
        if text.count(PLACE) != 1:
            raise SpecError(
                f"the baseline {path} holds {PLACE} {text.count(PLACE)} times, so it is not clear "
                "where the problem goes. Write it once, after the examples."
            )
        name = path.stem
        if name in (*found, PLAIN, POSITIVE, NEGATIVE):
            raise SpecError(
                f"a baseline is called {name!r} after its file, and so is another way to ask, so "
                "the two could not be told apart. Rename the file."
            )
        shown = [problem.id for problem in task if problem.prompt in text]
        if shown:
            raise SpecError(
                f"the baseline {path} holds the problem {shown[0]!r} itself, so the base would be "
                "given what it is asked, perhaps with its answer. Take examples from elsewhere."
            )
        found[name] = _asking(text)
    return found


def texts_of(paths: Sequence[Path]) -> Mapping[str, str]:
    """What the files hold, by their names: a run with other texts is another run.

    Args:
        paths: The files.

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
            f"the baseline {path} cannot be read ({why}), so the base cannot be asked by it. "
            "Check the path, and that it is UTF-8 text."
        ) from error
