"""Studies on Ray: the bytes of one run after the other, whatever is killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from elicit.jobs import COMMANDS
from elicit.sweep import read_study, sweep
from elicit.sweep.on_ray import _lacking, resources

STUDY = """
out: {out}
common: {{limit: 12, n_resamples: 100, alterations: []}}
grid:
  command: [trace]
  pair: ["organism:hollow"]
  seed: [0, 1]
runs:
  - {{command: trace, pair: "organism:hollow", problems: {out}/none.jsonl}}
"""
WAIT = 120.0
"""Seconds in which something happens, or the test fails."""


def written(folder: Path) -> Path:
    """A study of two runs and one whose problems are not there."""
    path = folder / "study.yaml"
    path.write_text(STUDY.format(out=folder / "study"), encoding="utf-8")
    return path


def started(study: Path, address: str) -> subprocess.Popen[str]:
    """The command line in a process of its own: Ray's processes end with it."""
    pytest.importorskip("ray.exceptions", reason="pip install 'elicit-interp[ray]'")
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    # Workers give way to whatever else runs unless they are told not to.
    of_ray = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_worker_niceness": "0"}
    return subprocess.Popen(
        [sys.executable, "-m", "elicit", "sweep", str(study), "--ray", address],
        env={**os.environ, "PYTHONPATH": path, **of_ray},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def at_work(driver: subprocess.Popen[str], study: Path) -> list[psutil.Process]:
    """The workers of a driver that are in the middle of one of the two runs."""
    begun = {path.parent.name for path in (study.parent / "study").glob("trace_seed-*/.lock")}
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        try:
            title = " ".join(process.cmdline()).removeprefix("ray::")
        except psutil.Error:
            continue
        if any(title.startswith(name) for name in begun):
            found.append(process)
    return found


def caught(driver: subprocess.Popen[str], study: Path) -> psutil.Process:
    """A worker in the middle of a run."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end and driver.poll() is None:
        working = at_work(driver, study)
        if working:
            return working[0]
        time.sleep(0.05)
    raise AssertionError(f"no run began: {driver.communicate()[1] if driver.poll() else 'in time'}")


def content(study: Path) -> dict[str, bytes]:
    """Every file of the two runs but for times and locks, without the folder's name."""
    out = study.parent / "study"
    return {
        str(path.relative_to(out)): path.read_bytes().replace(str(out).encode(), b"OUT")
        for path in sorted(out.rglob("trace_seed-*/**/*"))
        if path.is_file() and path.name not in ("run.json", ".lock")
    }


@pytest.mark.slow
def test_a_killed_driver_and_a_killed_worker_lose_nothing(tmp_path: Path):
    pytest.importorskip("ray.exceptions", reason="pip install 'elicit-interp[ray]'")
    for name in ("here", "driver", "worker"):
        (tmp_path / name).mkdir()
    here, spread = written(tmp_path / "here"), written(tmp_path / "driver")
    alone = sweep(read_study(here))

    driver = started(spread, "local")
    caught(driver, spread)
    below = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    # The cluster was the driver's and ends with it.
    assert not psutil.wait_procs(below, timeout=WAIT)[1]
    # Killed before it had compared; how many runs its workers still ended is up to the machine.
    assert not (spread.parent / "study" / "comparison.html").exists()

    started(spread, "local").communicate(timeout=2 * WAIT)
    assert content(spread) == content(here) and len(content(here)) > 8

    # A study of its own: on an idle machine workers end their runs before they miss the driver.
    spread = written(tmp_path / "worker")
    driver = started(spread, "local")
    caught(driver, spread).kill()
    said = driver.communicate(timeout=2 * WAIT)[1]
    assert content(spread) == content(here)
    # The run without problems is named with what was wrong, and the others went on.
    assert driver.returncode == 1 and "none.jsonl" in said and "Traceback" not in said
    (failed,) = alone.failed
    told = json.loads((spread.parent / "study" / "study" / "runs.json").read_text())
    assert [one["name"] for one in told if one["status"] == "failed"] == [failed.name]
    assert "none.jsonl" in (spread.parent / "study" / "study" / f"{failed.name}.log").read_text()


@pytest.mark.slow
def test_an_address_that_does_not_answer_is_refused_before_a_run(tmp_path: Path):
    driver = started(written(tmp_path), "127.0.0.1:9")
    said = driver.communicate(timeout=WAIT)[1]
    assert driver.returncode == 1 and "no Ray cluster at '127.0.0.1:9'" in said
    assert "Traceback" not in said and not list((tmp_path / "study").glob("trace*"))


@pytest.mark.parametrize(
    ("options", "gpus", "expected"),
    [
        ({}, False, {"num_cpus": 1}),
        ({}, True, {"num_cpus": 1, "num_gpus": 1}),
        ({"device": "cpu"}, True, {"num_cpus": 1}),
        ({"device": "mps"}, False, {"num_cpus": 1}),
        ({"device": "cuda:1"}, False, {"num_cpus": 1, "num_gpus": 1}),
        (
            {"device": "cuda:0", "post_device": "cuda:1"},
            False,
            {"num_cpus": 1, "num_gpus": 2},
        ),
        ({"device_map": "auto"}, True, {"num_cpus": 1, "num_gpus": 1}),
    ],
)
def test_a_gpu_is_set_aside_for_the_runs_that_use_one(options, gpus, expected, tmp_path: Path):
    named = {"pair": "organism:hollow", "out": tmp_path}
    spec = COMMANDS["trace"].spec.from_options(named, options)
    assert resources(spec, gpus=gpus) == expected


def test_what_this_machine_can_never_run_is_said_and_not_waited_for():
    has = {"CPU": 2.0, "memory": 8.0 * 2**30}
    assert not _lacking({"num_cpus": 1, "memory": 4 * 2**30}, has)
    assert "10 GiB aside and Ray has 8 GiB" in _lacking({"memory": 10 * 2**30}, has)
    assert "finds none here" in _lacking({"num_gpus": 1}, has)
