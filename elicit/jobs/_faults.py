"""What is wrong with the options of a run, and files of options."""

import difflib
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from elicit.results import ElicitError

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 80


class SpecError(ElicitError):
    """Invalid options of a run."""

    missing: tuple[str, ...] = ()
    """Names of options that the run needs and that were not given."""

    @classmethod
    def of(cls, command: str, names: Iterable[str], *errors: ValidationError) -> "SpecError":
        """The error for options that do not validate.

        Args:
            command: Whose options they are.
            names: Options that it has.
            errors: What pydantic found; what several found alike is said once.
        """
        faults = {str(fault): fault for error in errors for fault in error.errors()}
        made = cls(option_faults(command, names, list(faults.values())))
        absent: list[str] = []
        for fault in faults.values():
            raised = fault.get("ctx", {}).get("error")
            if fault["type"] == "missing":
                absent.append(str(fault["loc"][0]))
            elif isinstance(raised, NotGivenError):
                absent += raised.names
        made.missing = tuple(absent)
        return made


class NotGivenError(ValueError):
    """Options that a run needs were left out; for validators of specifications."""

    def __init__(self, names: Iterable[str], why: str) -> None:
        """Name the options, and say what they are needed for and what to give.

        Args:
            names: Options by field name, in the order in which they are said.
            why: The rest of the sentence.
        """
        self.names = tuple(names)
        verb = "is" if len(self.names) == 1 else "are"
        super().__init__(f"{' and '.join(self.names)} {verb} not given{why}")


_SHORT: dict[str, str] = {
    "extra_forbidden": "there is no such entry",
    "missing": "it is not given",
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}",
    "greater_than": "it must be greater than {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be at most {le}",
    "int_parsing": "it must be a whole number",
    "int_type": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_parsing": "it must be a number",
    "float_type": "it must be a number",
    "finite_number": "it must be a finite number",
    "literal_error": "it must be {expected}",
    "bool_parsing": "it must be true or false",
    "bool_type": "it must be true or false",
    "string_type": "it must be text",
    "path_type": "it must be a path",
    "tuple_type": "it must be a list",
}
"""Kinds of pydantic's faults, in words that need no knowledge of pydantic."""


def said(fault: Mapping[str, Any]) -> str:
    """What is wrong with one value."""
    context = fault.get("ctx", {})
    if fault["type"] == "value_error":
        return str(context["error"])
    short = _SHORT.get(fault["type"])
    if short is None:
        return f"{fault['msg'][:1].lower()}{fault['msg'][1:]}"
    return short.format(**context)


def hidden_faults(spec: type[BaseModel], options: Mapping[str, object]) -> list[ValidationError]:
    """Faults that a missing folder hides: options are compared only where none is missing.

    `spec`: class of the options. `options`: as they were given.
    """
    if "out" in options:
        return []
    try:
        spec.model_validate({**options, "out": "."})
    except ValidationError as error:
        return [error]
    return []


def read_yaml(path: Path) -> dict[str, object]:
    """The mapping in a YAML file.

    Raises:
        SpecError: The file cannot be read or is no mapping of names to values.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return parse_yaml(text, path)


def parse_yaml(text: str, path: object) -> dict[str, object]:
    """The mapping in the text of a YAML file.

    Args:
        text: Content of the file.
        path: Its place, for messages.

    Raises:
        SpecError: It is no mapping of names to values.
    """
    import yaml

    try:
        found = yaml.safe_load(text)
    except Exception as error:  # dates that are none, nesting: YAML's reader has many errors
        raise _unreadable(path, error) from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise SpecError(
            f"the configuration {path} holds {type(found).__name__} instead of a mapping of option "
            "names to values. Write lines such as `pair: organism:rl`."
        )
    return found


def _unreadable(path: object, error: Exception) -> SpecError:
    why = " ".join(str(error).split())[:300] or type(error).__name__
    return SpecError(
        f"the configuration {path} cannot be read ({why}), so no run was started. Check it."
    )


def option_faults(command: str, names: Iterable[str], faults: Sequence[Mapping[str, Any]]) -> str:
    """Every invalid option, one clause each.

    `command`: whose options they are. `names`: options that it has. `faults`: pydantic's.
    """
    lines = []
    for fault in faults:
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
            lines.append(f"{name} is {_BRIEF.repr(fault['input'])}: {said(fault)}")
        else:
            lines.append(said(fault))
    what = "; ".join(lines)
    return (
        f"{what}. Nothing was run. See `elicit {command} --help` for the options, with underscores "
        "in a file."
    )
