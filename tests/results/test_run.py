"""A run directory goes on where it stopped, and never reads a wrong file as data."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.results import Result, ResultError, digest_tensors
from elicit.runs import DamagedFileWarning, RunDirectory, RunError

ARGUMENTS = {"seed": 0, "layers": [0, 1], "margin": 0.1}
IDENTITY = {"base": "aa", "post": "bb"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve(Result):
    """Value of each cell."""

    value: Float[Tensor, " cell"]


def begin(path, *, arguments=ARGUMENTS, identity=IDENTITY, kind="report", fresh=False):
    return RunDirectory.open(path, kind=kind, arguments=arguments, identity=identity, fresh=fresh)


def counted(value: float) -> tuple[Callable[[], dict[str, Tensor]], list[float]]:
    """A computation, and the list that shows how often it ran."""
    calls: list[float] = []

    def compute() -> dict[str, Tensor]:
        calls.append(value)
        return {"value": torch.full((3,), value), "short": torch.ones(2).bfloat16() * value}

    return compute, calls


def fill(path: Path, n: int = 4) -> None:
    """A finished run with `n` cells, a result and a page."""
    with begin(path) as run:
        for index in range(n):
            run.get_or_compute(f"layer/{index}", counted(float(index))[0])
        run.save_result("curve", Curve(value=torch.arange(float(n))))
        run.write_text("page.html", "<p>done</p>")


def everything(path: Path) -> dict[str, bytes]:
    """Bytes of all files but the one that holds times."""
    files = [file for file in path.rglob("*") if file.is_file() and file.name != "run.json"]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def record(path: Path) -> dict:
    return json.loads((path / "run.json").read_bytes())


def cell_of(path: Path, key: str) -> Path:
    """File of a cell, found by what its header says."""
    (found,) = [
        file for file in (path / "cells").iterdir() if f'\\"key\\": \\"{key}\\"'.encode() in
        file.read_bytes()
    ]  # fmt: skip
    return found


def test_a_cell_is_computed_once_and_the_same_whether_read_or_computed(tmp_path):
    compute, calls = counted(2.5)
    with begin(tmp_path) as run:
        computed = run.get_or_compute("layer/0", compute)
        again = run.get_or_compute("layer/0", compute)
    with begin(tmp_path) as run:
        read = run.get_or_compute("layer/0", compute)
        assert run.resumed
        assert (run.n_read, run.n_computed) == (1, 0)
    assert calls == [2.5]
    assert digest_tensors(computed) == digest_tensors(again) == digest_tensors(read)
    assert read["short"].dtype == torch.bfloat16


def test_numpy_values_come_back_as_tensors_of_the_same_bytes(tmp_path):
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    with begin(tmp_path) as run:
        values = run.get_or_compute("numpy", lambda: {"a": array.T, "none": array[:0]})
    assert values["a"].tolist() == array.T.tolist()
    assert values["a"].dtype == torch.int32
    assert values["none"].shape == (0, 3)


def test_keys_that_differ_only_in_what_file_names_cannot_hold_have_cells_of_their_own(tmp_path):
    keys = ["a/b", "a b", "A/b", "a_b", "../a", "", "é" * 300, "x" * 300, "\ud800", "a\nb"]
    with begin(tmp_path) as run:
        for index, key in enumerate(keys):
            run.get_or_compute(key, counted(float(index))[0])
    with begin(tmp_path) as run:
        for index, key in enumerate(keys):
            assert run.get_or_compute(key, counted(-1.0)[0])["value"][0] == index
    assert len(list((tmp_path / "cells").iterdir())) == len(keys)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"arguments": {**ARGUMENTS, "seed": 1}}, r"arguments\.seed = 0.* = 1"),
        ({"arguments": {**ARGUMENTS, "margin": 1}}, r"arguments\.margin = 0\.1.* = 1"),
        ({"arguments": {**ARGUMENTS, "seed": False}}, r"arguments\.seed = 0.* = false"),
        ({"arguments": {**ARGUMENTS, "layers": [0]}}, r"arguments\.layers = \[0, 1\].* = \[0\]"),
        ({"arguments": {**ARGUMENTS, "new": None}}, r"arguments\.new = absent.* = null"),
        ({"identity": {"base": "aa"}}, r'identity\.post = "bb".* = absent'),
        ({"kind": "graft"}, 'kind = "report".* = "graft"'),
    ],
)
def test_another_run_in_the_folder_is_refused_with_both_values(tmp_path, changes, told):
    fill(tmp_path)
    before = everything(tmp_path)
    with pytest.raises(RunError, match=f"{told}.*fresh=True"):
        begin(tmp_path, **changes)
    assert everything(tmp_path) == before
    assert record(tmp_path)["status"] == "finished"
    # The refusal gave the lock back.
    begin(tmp_path).finish()


def test_another_version_of_elicit_does_not_go_on_with_a_run(tmp_path, monkeypatch):
    fill(tmp_path)
    newer = {"elicit": "99.0"}
    monkeypatch.setattr("elicit.runs.directory.installed_versions", lambda: newer)
    with pytest.raises(RunError, match=r'elicit = .* = "99\.0"'):
        begin(tmp_path)


def test_fresh_removes_what_the_old_run_wrote_and_nothing_else(tmp_path):
    fill(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "curve" / "notes.txt").write_text("mine too")
    compute, calls = counted(9.0)
    with begin(tmp_path, arguments={"seed": 1}, fresh=True) as run:
        assert not run.resumed
        run.get_or_compute("layer/0", compute)
    assert calls == [9.0]
    names = {name for name in everything(tmp_path) if not name.startswith("cells/")}
    assert names == {".lock", "notes.txt", "curve/notes.txt"}
    assert len(list((tmp_path / "cells").iterdir())) == 1


@pytest.mark.parametrize("name", ["thesis.tex", "run.json"])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_of_other_files_is_refused_and_left_as_it_is(tmp_path, name, fresh):
    (tmp_path / name).write_text('{"scripts": {}}')
    with pytest.raises(RunError, match=f"'{name}' and no run of elicit"):
        begin(tmp_path, fresh=fresh)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_computed(
    tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="is a file"):
        begin(tmp_path / "file")
    with pytest.raises(RunError, match="cannot be written"):
        begin(tmp_path / "file" / "below")

    def read_only(*_arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "fsync", read_only)
    with pytest.raises(RunError, match="Read-only file system"):
        begin(tmp_path / "run")
    monkeypatch.undo()
    begin(tmp_path / "run").finish()


def test_an_argument_that_json_cannot_hold_is_refused_by_name(tmp_path):
    with pytest.raises(ResultError, match=r"arguments\.pair"):
        begin(tmp_path / "run", arguments={"pair": object()})
    assert not (tmp_path / "run").exists()


def test_two_at_once_are_refused_and_a_dead_one_frees_the_folder(tmp_path):
    code = (
        "import sys, time\n"
        "from elicit.runs import take_lock\n"
        "from pathlib import Path\n"
        "take_lock(Path(sys.argv[1]))\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    begin(tmp_path).finish()
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=f"Process {holder.pid} is writing"):
            begin(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with begin(tmp_path), pytest.raises(RunError, match=f"Process {os.getpid()} is writing"):
        begin(tmp_path)


def test_a_file_system_without_locks_is_told_and_does_not_stop_the_run(tmp_path, monkeypatch):
    import fcntl

    def unknown(*_arguments):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with pytest.warns(UserWarning, match="without locks"):
        run = begin(tmp_path)
    run.finish()


def test_any_flipped_bit_of_a_cell_is_named_and_the_cell_computed_anew(tmp_path):
    fill(tmp_path, n=2)
    before = everything(tmp_path)
    path = cell_of(tmp_path, "layer/1")
    whole = path.read_bytes()
    rng = random.Random(0)
    # Every byte of the header once, and some of the values.
    places = [*range(0, len(whole), 3), *(rng.randrange(len(whole)) for _ in range(40))]
    with begin(tmp_path) as run:
        for count, place in enumerate(places, start=1):
            data = bytearray(whole)
            data[place] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
            compute, calls = counted(1.0)
            with pytest.warns(DamagedFileWarning, match=path.name):
                values = run.get_or_compute("layer/1", compute)
            assert calls == [1.0]
            assert values["value"].tolist() == [1.0] * 3
            assert run.damaged == [path] * count
    assert everything(tmp_path) == before


def test_a_truncated_cell_is_named_and_computed_anew(tmp_path):
    fill(tmp_path, n=1)
    path = cell_of(tmp_path, "layer/0")
    whole = path.read_bytes()
    with begin(tmp_path) as run:
        for size in (0, 1, 8, 100, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:size])
            with pytest.warns(DamagedFileWarning, match=path.name):
                run.get_or_compute("layer/0", counted(0.0)[0])
            assert path.read_bytes() == whole


def test_a_cell_of_another_run_or_key_is_not_read(tmp_path):
    fill(tmp_path / "here")
    with begin(tmp_path / "there", identity={"base": "cc"}) as run:
        run.get_or_compute("layer/0", counted(7.0)[0])
    mine = cell_of(tmp_path / "here", "layer/0")
    other_run = cell_of(tmp_path / "there", "layer/0")
    other_key = cell_of(tmp_path / "here", "layer/3")
    assert other_run.name == mine.name
    with begin(tmp_path / "here") as run:
        shutil.copy(other_run, mine)
        with pytest.warns(DamagedFileWarning, match="run with other arguments or other models"):
            assert run.get_or_compute("layer/0", counted(0.0)[0])["value"][0] == 0
        shutil.copy(other_key, mine)
        with pytest.warns(DamagedFileWarning, match="holds the cell 'layer/3', not 'layer/0'"):
            assert run.get_or_compute("layer/0", counted(0.0)[0])["value"][0] == 0
        assert run.damaged == [mine, mine]


def test_a_safetensors_file_from_elsewhere_is_not_read_as_a_cell(tmp_path):
    from safetensors.torch import save_file

    fill(tmp_path, n=1)
    path = cell_of(tmp_path, "layer/0")
    save_file({"value": torch.ones(3)}, path)
    with begin(tmp_path) as run, pytest.warns(DamagedFileWarning, match="written by elicit"):
        assert run.get_or_compute("layer/0", counted(0.0)[0])["value"][0] == 0


def test_a_damaged_record_is_named_and_the_cells_still_count(tmp_path):
    fill(tmp_path)
    before = everything(tmp_path)
    path = tmp_path / "run.json"
    whole = path.read_bytes()
    rng = random.Random(0)
    flipped = []
    for _ in range(20):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1
        flipped.append(bytes(data))
    for data in [b"", whole[:10], whole[:-3], *flipped]:
        path.write_bytes(data)
        if json_equal(data, whole):
            continue
        with pytest.warns(DamagedFileWarning, match=r"run\.json"):
            run = begin(tmp_path)
        with run:
            assert run.resumed
            assert run.damaged == [path]
            for index in range(4):
                run.get_or_compute(f"layer/{index}", counted(-1.0)[0])
            assert (run.n_read, run.n_computed) == (4, 0)
    assert everything(tmp_path) == before


def json_equal(data: bytes, whole: bytes) -> bool:
    """Whether a changed byte left the meaning as it was."""
    try:
        return json.loads(data) == json.loads(whole)
    except ValueError:
        return False


def test_a_damaged_record_does_not_let_cells_of_other_arguments_in(tmp_path):
    fill(tmp_path)
    (tmp_path / "run.json").write_bytes(b"{")
    compute, calls = counted(5.0)
    with pytest.warns(DamagedFileWarning):
        run = begin(tmp_path, arguments={"seed": 1})
        with run:
            assert run.get_or_compute("layer/0", compute)["value"][0] == 5
    assert calls == [5.0]
    assert len(run.damaged) == 2


def test_a_record_of_a_later_format_is_refused(tmp_path):
    from elicit.runs.record import record_bytes

    fill(tmp_path)
    told = record(tmp_path)
    del told["digest"]
    (tmp_path / "run.json").write_bytes(record_bytes({**told, "format": 99}))
    with pytest.raises(RunError, match="format 99"):
        begin(tmp_path)


def test_a_damaged_result_is_named_and_saved_anew(tmp_path):
    fill(tmp_path)
    before = everything(tmp_path)
    for name in ("values.safetensors", "table.parquet", "result.json"):
        path = tmp_path / "curve" / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with begin(tmp_path) as run:
            with pytest.warns(DamagedFileWarning, match=name):
                run.save_result("curve", Curve(value=torch.arange(4.0)))
            assert run.damaged == [tmp_path / "curve"]
        assert everything(tmp_path) == before


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    run = begin(tmp_path)
    run.get_or_compute("layer/0", counted(0.0)[0])
    before = everything(tmp_path)
    sync = os.fsync

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (
        lambda: run.get_or_compute("layer/1", counted(1.0)[0]),
        lambda: run.save_result("curve", Curve(value=torch.ones(2))),
        lambda: run.write_text("page.html", "x"),
    ):
        with pytest.raises(RunError, match=r"disk is full: .*\d+ bytes are free"):
            write()
        assert everything(tmp_path) == before
    monkeypatch.setattr(os, "fsync", sync)
    with run:
        assert run.get_or_compute("layer/1", counted(1.0)[0])["value"][0] == 1
    assert record(tmp_path)["status"] == "finished"


def test_a_disk_that_fills_within_a_result_is_told_in_the_words_of_the_run(tmp_path, monkeypatch):
    run = begin(tmp_path)
    run.write_text("curve.txt", "x")
    sync, left = os.fsync, [4]

    def fills(handle):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", fills)
    with pytest.raises(RunError, match=r"disk is full: .*curve"):
        run.save_result("curve", Curve(value=torch.ones(2)))
    monkeypatch.undo()
    assert not (tmp_path / "curve" / "result.json").exists()
    assert not list(tmp_path.rglob("*.elicit-tmp"))
    run.save_result("curve", Curve(value=torch.ones(2)))
    run.finish()
    assert Curve.load(tmp_path / "curve").value.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("bad"), "failed"), (KeyboardInterrupt(), "interrupted"), (None, "finished")],
)
def test_the_record_says_how_the_run_ended(tmp_path, error, status):
    try:
        with begin(tmp_path) as run:
            assert record(tmp_path)["status"] == "running"
            assert record(tmp_path)["finished"] is None
            run.get_or_compute("layer/0", counted(0.0)[0])
            if error:
                raise error
    except (ValueError, KeyboardInterrupt) as caught:
        assert caught is error
    told = record(tmp_path)
    assert told["status"] == status
    assert told["finished"] >= told["started"]
    assert told["seconds"] >= 0
    assert (told["error"] is None) == (error is None)
    # Whatever happened, the lock is free and the cells are there.
    with begin(tmp_path) as run:
        run.get_or_compute("layer/0", counted(-1.0)[0])
        assert run.n_read == 1


def test_the_error_that_ended_a_run_is_not_hidden_by_a_full_disk(tmp_path, monkeypatch):
    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ZeroDivisionError), begin(tmp_path):
        monkeypatch.setattr(os, "fsync", full)
        raise ZeroDivisionError
    monkeypatch.undo()
    begin(tmp_path).finish()


def test_a_finished_run_writes_nothing_more(tmp_path):
    run = begin(tmp_path)
    run.finish()
    for write in (
        lambda: run.get_or_compute("layer/0", counted(0.0)[0]),
        lambda: run.write_text("page.html", "x"),
        run.finish,
    ):
        with pytest.raises(RunError, match="is over"):
            write()


@pytest.mark.parametrize("name", ["../x", "a/b", "run.json", "cells", ".lock", "", ".."])
def test_an_output_outside_the_run_is_refused(tmp_path, name):
    with begin(tmp_path / "run") as run:
        with pytest.raises(RunError, match="plain name"):
            run.write_text(name, "x")
        with pytest.raises(RunError, match="plain name"):
            run.save_result(name, Curve(value=torch.ones(1)))


def test_text_with_broken_unicode_is_written_with_its_escape(tmp_path):
    with begin(tmp_path) as run:
        path = run.write_text("page.html", "é\ud800")
    assert path.read_bytes() == "é\\ud800".encode()


def test_a_computation_that_fails_leaves_no_cell(tmp_path):
    def fails() -> dict[str, Tensor]:
        raise ZeroDivisionError

    run = begin(tmp_path)
    with pytest.raises(ZeroDivisionError):
        run.get_or_compute("layer/0", fails)
    with pytest.raises(ResultError, match="layer/0: names"):
        run.get_or_compute("layer/0", lambda: {"names": np.array(["x"])})
    assert list((tmp_path / "cells").iterdir()) == []
    run.finish()


@pytest.mark.slow
def test_runs_killed_at_any_moment_end_with_the_bytes_of_an_uninterrupted_one(tmp_path):
    script = Path(__file__).with_name("killed_run.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "a kill damaged a file"
    story = json.loads(done.stdout)
    killed = [attempt for attempt in story["killed"] if attempt["code"] == -signal.SIGKILL]
    assert len(killed) >= 16
    assert any(attempt["left"] for attempt in killed), "no kill fell within a write"
    assert story["killed"][-1] == {"code": 0, "left": 0}
    whole, resumed = everything(tmp_path / "whole"), everything(tmp_path / "killed")
    assert len(whole) == 40 + 3 + 1 + 1
    assert resumed == whole
    times = {"started", "finished", "seconds", "digest"}
    told = [
        {key: value for key, value in record(tmp_path / name).items() if key not in times}
        for name in ("killed", "whole")
    ]
    assert told[0] == told[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = RunDirectory.open(
            tmp_path / "killed", kind="toy", arguments={"n": 40}, identity={"base": "aa"}
        )
    run.finish()
