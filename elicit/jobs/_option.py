"""What the command line shows of an option, said where the option is declared."""

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
"""Order of the help; a command's own panels stand in the place of the empty one."""


@dataclass(frozen=True)
class Option:
    """Help of one field of a specification; the flag is the field's name, the default its own."""

    help: str
    """One sentence in the words of the field, without the default."""
    panel: str = RUN
    """Heading of the help that it stands under."""
    metavar: str = ""
    """Placeholder of the value; where it is empty, the choices or the type stand there."""
    flags: tuple[str, ...] = ()
    """Further spellings, such as `--site` beside `--sites`."""
    default: str = ""
    """What a missing value means, where the field's default does not say it."""
