"""What is wrong with a task, said once for every place where it is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

from elicit.results import ElicitError

SHOWN_FAULTS = 50
"""Faults spelled out in one message; the rest are counted, and all are on the exception."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing wrong in one place, and what to do about it."""

    where: str
    """The place as a person would look for it: `line 3`, `problem 'calc-7'`."""
    what: str
    """What disagrees, with the value that was read."""
    fix: str
    """What to write instead."""

    def __str__(self) -> str:
        """The fault as one line of a message."""
        return f"{self.where}: {self.what}. {self.fix}."


_JSON_NAMES = {bool: "true or false", dict: "an object", float: "a number", int: "a number",
               list: "a list", str: "a string", tuple: "a tuple", type(None): "null"}  # fmt: skip


class TaskError(ElicitError):
    """A task file, a problem or an extractor that cannot be used as it is."""

    faults: tuple[Fault, ...]
    """Everything that was wrong, also what the message only counts."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        """Say what is wrong as a whole, then list each fault on a line of its own."""
        self.faults = tuple(faults)
        lines = [message, *(f"  {fault}" for fault in self.faults[:SHOWN_FAULTS])]
        if len(self.faults) > SHOWN_FAULTS:
            lines.append(f"  ... and {len(self.faults) - SHOWN_FAULTS} more.")
        super().__init__("\n".join(lines))


def shown(value: object, limit: int = 60) -> str:
    """A value as it may stand in a message: quoted, escaped and never long."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def kind(value: object) -> str:
    """What a value is, in the words of JSON, and the value."""
    return f"{_JSON_NAMES.get(type(value), type(value).__name__)} ({shown(value)})"
