"""Terminal output: results on stdout, everything else on stderr."""

import contextlib
import functools
import io
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import typer
from rich.console import Console

from elicit.jobs import SpecError
from elicit.results import ElicitError

_PACKAGE = str(Path(__file__).parents[1])
# Other libraries read these at import.
_HUSHED = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@functools.cache
def stderr() -> Console:
    """Console for everything but the result; shared, so that lines do not break a bar."""
    return Console(stderr=True, highlight=False, emoji=False)


def stdout() -> Console:
    """Console for results."""
    # A file has no width to fit, and a table must not be cut.
    # Names such as organism:anchor are no emoji.
    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 200)


def visible(text: str) -> str:
    r"""Text with control characters escaped, so that it cannot control the terminal.

    >>> visible("a" + chr(27) + "[2J\tb")
    'a\\x1b[2J\tb'
    """
    return "".join(
        c
        if c.isprintable() or c in "\n\t"
        else c.encode("unicode_escape", "backslashreplace").decode("ascii")
        for c in text
    )


def as_flags(text: str, names: Sequence[str]) -> str:
    """An error's advice with command-line flags for Python arguments.

    >>> as_flags("or pass fresh=True, dtype=torch.float32 or vocab='shared'", ["fresh", "dtype"])
    "or pass --fresh, --dtype float32 or vocab='shared'"
    """
    any_of = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    pattern = rf"\b({any_of})=(?:(True)\b|torch\.(\w+)|'([^'\s]*)')"

    def spelled(found: re.Match[str]) -> str:
        value = "" if found[2] else f" {found[3] or found[4]}"
        return f"--{found[1].replace('_', '-')}{value}"

    return re.sub(pattern, spelled, text) if names else text


def spec_flags(text: str, names: Sequence[str]) -> str:
    """What is wrong with options, by flag: names with an underscore, and those that are missing.

    >>> spec_flags("base and post are not given; n_resamples is 1", ["base", "post", "n_resamples"])
    '--base and --post are not given; --n-resamples is 1'
    """
    if not names:
        return text
    any_of = "|".join(sorted(map(re.escape, names), key=len, reverse=True))

    def spelled(found: re.Match[str]) -> str:
        return re.sub(any_of, lambda name: f"--{name[0].replace('_', '-')}", found[0])

    text = re.sub(rf"\b(?:{any_of})(?: and (?:{any_of}))* (?:is|are) not given", spelled, text)
    long = "|".join(name for name in names if "_" in name)
    return re.sub(rf"(?<![\w'.-])(?:{long})(?![\w'=:])", spelled, text) if long else text


def say(text: str, *, style: str = "") -> None:
    """One message on stderr, control characters escaped."""
    head, colon, rest = visible(text).partition(":")
    console = stderr()
    if style and colon:
        console.print(head + colon, style=style, end="", markup=False, soft_wrap=True)
        console.print(rest, markup=False, soft_wrap=True)
    else:
        console.print(visible(text), markup=False, soft_wrap=True)


def complain(error: ElicitError, options: Sequence[str] = ()) -> None:
    """An error as one message on stderr."""
    text = as_flags(str(error), options)
    text = spec_flags(text, options) if isinstance(error, SpecError) else text
    say(f"error: {text}", style="bold red")


class Terminated(KeyboardInterrupt):
    """The process was asked to end, for example by a batch system at its time limit."""

    def __init__(self, number: int) -> None:
        """Hold the signal."""
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@contextmanager
def ended_like_an_interrupt() -> Iterator[None]:
    """A block in which SIGTERM and SIGHUP end the work as Ctrl-C does, with everything kept."""

    def end(number: int, _: object) -> None:
        raise Terminated(number)

    taken = {}
    # Handlers belong to the main thread; one that is ignored (nohup) stays so.
    if threading.current_thread() is threading.main_thread():
        for name in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            if signal.getsignal(name) is signal.SIG_DFL:
                taken[name] = signal.signal(name, end)
    try:
        yield
    finally:
        for name, before in taken.items():
            signal.signal(name, before)


@contextmanager
def session(
    *, debug: bool, on_interrupt: Callable[[], str], options: Sequence[str] = ()
) -> Iterator[None]:
    """A block that turns errors into a message and exit code, and silences other libraries.

    `debug`: let errors through with their traceback, and do not silence other libraries.

    Raises:
        typer.Exit: 1 after an error that the user can fix, 2 where a required option is missing,
            130 after an interruption, 143 after SIGTERM.
    """
    quiet = contextlib.nullcontext() if debug else hushed()
    try:
        with ended_like_an_interrupt(), quiet, warnings_as_lines(everything=debug):
            yield
    except ElicitError as error:
        if debug:
            raise
        complain(error, options)
        missing = isinstance(error, SpecError) and error.missing
        raise typer.Exit(2 if missing else 1) from error
    except KeyboardInterrupt as error:
        say(f"\n{on_interrupt()}")
        raise typer.Exit(getattr(error, "exit_code", 130)) from error
    except MemoryError as error:
        if debug:
            raise
        complain(_no_memory("This machine", error))
        raise typer.Exit(1) from error
    except RuntimeError as error:
        # The class is in torch, which should not be imported just for its name.
        if debug or type(error).__name__ != "OutOfMemoryError":
            raise
        complain(_no_memory("The device", error))
        raise typer.Exit(1) from error


def _no_memory(what: str, error: BaseException) -> ElicitError:
    reason = str(error).partition("\n")[0]
    because = f" ({reason})" if reason else ""
    return ElicitError(
        f"{what} is out of memory{because}, so the run stopped; finished work is kept. "
        "Restart it with a smaller --max-tokens, with --dtype bfloat16, or on a machine with "
        "more memory."
    )


@contextmanager
def hushed() -> Iterator[None]:
    """A block in which other libraries show no bars, log no warnings and print nothing."""
    bars = sys.modules.get("transformers.utils.logging")
    showing = bars is not None and bars.is_progress_bar_enabled()
    added = {name: value for name, value in _HUSHED.items() if name not in os.environ}
    disabled = logging.root.manager.disable
    os.environ.update(added)
    logging.disable(max(disabled, logging.WARNING))
    if bars is not None and showing:
        bars.disable_progress_bar()
    try:
        # Stdout is for the result, but some libraries print a greeting.
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
        if bars is not None and showing:
            bars.enable_progress_bar()
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def warnings_as_lines(*, everything: bool) -> Iterator[None]:
    """A block that prints this package's warnings as one line each on stderr."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if everything or category.__module__.startswith("elicit.") or _is_ours(filename):
            say(f"warning: {' '.join(str(message).split())}", style="yellow")

    with warnings.catch_warnings():
        warnings.simplefilter("always" if everything else "default")
        warnings.showwarning = show
        yield


def _is_ours(filename: str) -> bool:
    return filename.startswith(_PACKAGE)


def resume_line(command: str, folder: Sequence[Path]) -> str:
    """Message after an interruption."""
    if folder and (folder[0] / "run.yaml").exists():
        return (
            f"Interrupted. Finished work is kept in {folder[0]}. Resume with:\n"
            f"  elicit {command} --config {folder[0] / 'run.yaml'}"
        )
    return "Interrupted before anything was measured. Start the same command again."


def survive_narrow_streams() -> None:
    """Make streams escape characters that they cannot encode instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
