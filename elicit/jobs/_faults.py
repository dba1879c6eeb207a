"""What is wrong with the options of a run, and files of options."""

import difflib
import reprlib
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from elicit.results import ElicitError

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 80


class SpecError(ElicitError):
    """Invalid options of a run."""


def read_yaml(path: Path) -> dict[str, object]:
    """The mapping in a YAML file.

    Raises:
        SpecError: The file cannot be read or is no mapping of names to values.
    """
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # dates that are none, nesting: YAML's reader has many errors
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise SpecError(
            f"the configuration {path} cannot be read ({why}), so no run was started. Check it."
        ) from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise SpecError(
            f"the configuration {path} holds {type(found).__name__} instead of a mapping of option "
            "names to values. Write lines such as `pair: organism:rl`."
        )
    return found


def option_faults(command: str, names: Iterable[str], error: ValidationError) -> str:
    """Every invalid option, one clause each.

    `command`: whose options they are. `names`: options that it has.
    """
    lines = []
    for fault in error.errors():
        name = ".".join(str(piece) for piece in fault["loc"][:1])
        if fault["type"] == "extra_forbidden":
            close = difflib.get_close_matches(name, list(names), n=1)
            lines.append(
                f"there is no option {name}" + (f" (did you mean {close[0]}?)" if close else "")
            )
        elif fault["type"] == "missing":
            lines.append(f"{name} is not given")
        elif name:
            # Bounded while it is written: YAML's aliases make a small file a huge value.
            lines.append(f"{name} is {_BRIEF.repr(fault['input'])}: {fault['msg'].lower()}")
        else:
            lines.append(fault["msg"].removeprefix("Value error, "))
    what = "; ".join(lines)
    return (
        f"{what}. Nothing was run. See `elicit {command} --help` for the options, with underscores "
        "in a file."
    )
