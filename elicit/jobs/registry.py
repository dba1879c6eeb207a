"""Every command: its options, its job, and its terminal tables."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elicit.jobs._spec import PairSpec
    from elicit.jobs._terminal import TerminalTable


@dataclass(frozen=True)
class Command:
    """One command; its modules are imported on first use.

    Its package holds `spec` with `<Name>Spec`, `run` with a function of the command's name and its
    steps, `JOB`, and `terminal` with `tables`.
    """

    name: str
    package: str

    @property
    def spec(self) -> type["PairSpec"]:
        """Specification class; the first line of its docstring is the command's help."""
        return self._load("spec", f"{self.name.capitalize()}Spec")

    @property
    def run(self) -> Callable[..., Any]:
        """The job: `run(spec, progress=...)` returns a `Run`."""
        return self._load("run", self.name)

    @property
    def job(self) -> Any:
        """Its steps (`_frame.Job`), for runs that share a loaded pair."""
        return self._load("run", "JOB")

    @property
    def tables(self) -> Callable[[Mapping[str, Any]], Sequence["TerminalTable"]]:
        """Terminal tables of a summary."""
        return self._load("terminal", "tables")

    def _load(self, module: str, name: str) -> Any:
        return getattr(importlib.import_module(f"{self.package}.{module}"), name)


COMMANDS: dict[str, Command] = {
    name: Command(name, f"elicit.jobs._{name}")
    for name in (
        "audit",
        "report",
        "graft",
        "patch",
        "revise",
        "exists",
        "features",
        "steer",
        "trace",
        "mechanisms",
    )
}
"""Commands by name, in the order of the help; `register` adds one."""


def register(command: Command) -> Command:
    """Add a command, or replace that of the same name."""
    COMMANDS[command.name] = command
    return command
