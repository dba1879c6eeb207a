"""Command-line help of an option, declared with its field."""

from dataclasses import dataclass

MODELS, TASKS, RUN, STATISTICS, MACHINE, OUTPUT = (
    "Models",
    "Tasks",
    "What is run",
    "Statistics",
    "Machine",
    "Output",
)
PANELS = (MODELS, TASKS, "", RUN, STATISTICS, MACHINE, OUTPUT)
"""Order of the help panels; the empty string stands for a command's own panels."""


@dataclass(frozen=True)
class Option:
    """Help of one specification field; the flag is the field's name, the default its default."""

    help: str
    """One sentence, without the default."""
    panel: str = RUN
    """Help panel."""
    metavar: str = ""
    """Placeholder of the value; if empty, the choices or the type."""
    flags: tuple[str, ...] = ()
    """Alternative spellings, such as `--site` beside `--sites`."""
    default: str = ""
    """Meaning of a missing value, where the field's default does not say it."""
    required: str = ""
    """When an option must be given although its field has a default."""
