"""What the command line says while it works, and where."""

import io
import json
import os
import signal
import threading
import time
import warnings

import pytest
import typer
from rich.console import Console

from elicit.cli import console as console_
from elicit.cli.progress import BarProgress, PlainProgress, Shown, progress, watched
from elicit.results import ElicitError
from elicit.runs import DamagedFileWarning, NoProgress, Progress, RunDirectory


def test_plain_progress_says_every_tenth_once_with_time_passed_and_left():
    lines, now = [], iter(range(0, 1000))
    shown = PlainProgress(lines.append, clock=lambda: float(next(now)))
    shown.start(200, "moving layers")
    for _ in range(200):
        shown.advance(what="facts: revert")
    shown.stop()
    assert lines[0] == "moving layers (0 of 200)"
    assert [line.partition("(")[2].split()[0] for line in lines[1:]] == [
        str(20 * k) for k in range(1, 11)
    ]
    # The clock moves one second for each line, so a fifth done after 2 s leaves 8 s.
    assert lines[2] == "facts: revert (40 of 200, 20 %, 0:02 passed, 0:08 left)"
    assert lines[-1].endswith("0:00 left)")


def test_plain_progress_jumps_over_tenths_that_one_step_covers():
    lines: list[str] = []
    shown = PlainProgress(lines.append, clock=lambda: 0.0)
    shown.start(3, "a")
    shown.advance(0, "b")
    shown.advance(2)
    shown.advance(1)
    assert [line.split(",")[0] for line in lines] == [
        "a (0 of 3)",
        "b (2 of 3",
        "b (3 of 3",
    ]


def test_a_job_without_steps_divides_nothing_by_zero():
    lines: list[str] = []
    shown = PlainProgress(lines.append)
    shown.start(0, "nothing to do")
    shown.advance(0, "still nothing")
    shown.advance()
    assert lines == ["nothing to do (0 of 0)"]


def test_a_bar_names_what_is_done_and_how_much_and_takes_one_job_after_the_other():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    shown = BarProgress(console)
    shown.advance()  # before any job: nothing to move
    shown.start(4, "scoring both models")
    shown.advance(3, "facts: revert [L3]")
    shown.start(2, "intervals")
    shown.advance(2)
    shown.stop()
    shown.stop()
    drawn = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    for words in ("facts: revert [L3]", "3/4", "intervals", "2/2"):
        assert words in drawn


def test_a_bar_ends_with_its_job_also_when_that_fails(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr("elicit.cli.progress.stderr", lambda: console)

    def drawing() -> list[threading.Thread]:
        # Of this bar alone: threads of other libraries come and go.
        return [t for t in threading.enumerate() if type(t).__module__.startswith("rich.")]

    with pytest.raises(KeyboardInterrupt), watched(Shown.bar, quiet=False) as shown:
        shown.start(3, "sweeping")
        assert drawing()  # a live bar is drawn by a thread of its own
        raise KeyboardInterrupt
    waited = time.monotonic() + 10
    while drawing() and time.monotonic() < waited:
        time.sleep(0.02)
    assert not drawing()


@pytest.mark.parametrize(
    ("shown", "quiet", "kind"),
    [
        (Shown.auto, False, PlainProgress),  # pytest's stderr is no terminal
        (Shown.auto, True, NoProgress),
        (Shown.none, False, NoProgress),
        (Shown.plain, False, PlainProgress),
        (Shown.bar, False, BarProgress),
        (Shown.bar, True, NoProgress),
        (Shown.plain, True, NoProgress),
    ],
)
def test_progress_is_shown_where_it_was_asked_for_or_somebody_watches(shown, quiet, kind):
    made = progress(shown, quiet=quiet)
    assert type(made) is kind
    assert isinstance(made, Progress)


def test_own_warnings_are_one_line_each_and_those_of_libraries_are_not_shown(capsys):
    with console_.session(debug=False, on_interrupt=str):
        warnings.warn("cell 3\nis damaged:  made anew", DamagedFileWarning, stacklevel=1)
        warnings.warn("an old name of numpy", DeprecationWarning, stacklevel=1)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "warning: cell 3 is damaged: made anew\n")


def test_libraries_print_and_log_nothing_inside_a_session_and_as_before_after_it(capsys):
    import logging
    import os

    before, level = dict(os.environ), logging.root.manager.disable
    with console_.session(debug=False, on_interrupt=str):
        print("Loaded pretrained model into HookedTransformer")  # noqa: T201
        logging.getLogger("transformer_lens").warning("mode is beta")
        assert os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1"
    assert capsys.readouterr() == ("", "")
    assert (dict(os.environ), logging.root.manager.disable) == (before, level)


def test_an_error_is_one_message_and_1_and_in_debug_the_error_itself(capsys):
    names = ("allow_identical",)
    with (
        pytest.raises(typer.Exit) as left,
        console_.session(debug=False, on_interrupt=str, options=names),
    ):
        raise ElicitError("a has 3 [bold]layers[/bold] and b 4. Pass allow_identical=True.")
    assert left.value.exit_code == 1
    assert capsys.readouterr() == (
        "",
        "error: a has 3 [bold]layers[/bold] and b 4. Pass --allow-identical.\n",
    )
    with pytest.raises(ElicitError), console_.session(debug=True, on_interrupt=str):
        raise ElicitError("a and b")


def test_a_fault_of_the_program_is_not_dressed_up_as_one_of_the_user():
    with pytest.raises(ZeroDivisionError), console_.session(debug=False, on_interrupt=str):
        _ = 1 / 0


def test_running_out_of_memory_says_what_to_make_smaller(capsys):
    import torch

    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB\nmore")):
        with pytest.raises(typer.Exit) as left, console_.session(debug=False, on_interrupt=str):
            raise error
        assert left.value.exit_code == 1
        assert "--max-tokens" in capsys.readouterr().err


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_an_interruption_with_the_line_to_go_on(capsys, tmp_path, name):
    before = signal.getsignal(name)
    with (
        pytest.raises(typer.Exit) as left,
        console_.session(debug=False, on_interrupt=lambda: "Go on with: X"),
        RunDirectory.open(tmp_path / "run", kind="toy", arguments={}, identity={}),
    ):
        os.kill(os.getpid(), name)
        time.sleep(10)
    assert left.value.exit_code == 128 + name
    assert capsys.readouterr().err == "\nGo on with: X\n"
    record = json.loads((tmp_path / "run" / "run.json").read_bytes())
    assert (record["status"], record["error"]) == ("interrupted", f"Terminated: {name.name}")
    assert signal.getsignal(name) is before


def test_a_request_to_end_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with console_.session(debug=False, on_interrupt=str):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interruption_is_130_with_the_line_that_says_how_to_go_on(capsys):
    with (
        pytest.raises(typer.Exit) as left,
        console_.session(debug=False, on_interrupt=lambda: "Go on with: X"),
    ):
        raise KeyboardInterrupt
    assert left.value.exit_code == 130
    assert capsys.readouterr() == ("", "\nGo on with: X\n")


def test_text_of_strangers_cannot_steer_the_terminal(capsys):
    console_.say("error: \x1b[2Jgone \x9b31m \u202ereversed", style="red")
    assert capsys.readouterr().err == "error: \\x1b[2Jgone \\x9b31m \\u202ereversed\n"
