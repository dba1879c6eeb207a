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

from elicit.jobs import COMMANDS, Plan, Planner, TraceSpec
from elicit.jobs._forecast import Forecast, Size, Stage
from elicit.sweep import Planned, read_study, sweep
from elicit.sweep._resources import Cluster, resources
from elicit.sweep.on_ray import NoForecastWarning, _lacking, _planned

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


GIB = 2**30
H100S = Cluster(gpus=4.0, cpus=16.0, memory=200.0 * GIB, card_gib=80.0)
CPU_ALONE = Cluster(cpus=2.0, memory=8.0 * GIB)
UNKNOWN = Cluster(gpus=4.0, cpus=16.0, memory=200.0 * GIB)


def spec_of(folder: Path, **options) -> TraceSpec:
    return COMMANDS["trace"].spec.from_options({"pair": "organism:hollow", "out": folder}, options)


def plan_of(*, gib: float, device: str, offload: bool = False, tiny: bool = False) -> Plan:
    """A plan of two models of so many GiB together, and 2 GiB for its largest stage."""
    size = Size(layers=1, head=1, nbytes=int(gib * GIB))
    return Plan(
        command="trace",
        forecast=Forecast(stages=(Stage(name="read", nbytes=2 * GIB),), size=size),
        n_parameters=1_000_000 if tiny else 10**9,
        nbytes=int(gib * GIB) // 2,
        dtype="float32",
        device=device,
        post_device=device,
        offload=offload,
        fits=(),
        largest=GIB // 2,
    )


@pytest.mark.parametrize(
    ("options", "cluster", "plan", "cpus", "gpus", "gib"),
    [
        # Models, their largest stage, and the process; one thread where more would be slower.
        ({"device": "cpu"}, CPU_ALONE, {"gib": 3, "device": "cpu"}, 2, None, 3 + 2 + 2),
        ({"device": "cpu"}, H100S, {"gib": 3, "device": "cpu"}, 4, None, 3 + 2 + 2),
        ({"device": "cpu"}, H100S, {"gib": 3, "device": "cpu", "tiny": True}, 1, None, 7),
        ({}, CPU_ALONE, {"gib": 3, "device": "cpu"}, 2, None, 7),
        # An offload on the CPU copies one module at a time.
        ({"offload": True}, CPU_ALONE, {"gib": 3, "device": "cpu", "offload": True}, 2, None, 7.5),
        # (15 + 2 + 1) of 0.9 × 80 GiB; base passes through host memory.
        ({}, H100S, {"gib": 15, "device": "cuda"}, 1, 0.25, 7.5 + 2),
        ({"device": "cuda:0"}, H100S, {"gib": 0.1, "device": "cuda"}, 1, 0.125, 0.05 + 2),
        ({}, H100S, {"gib": 60, "device": "cuda"}, 1, 1, 30 + 2),
        ({"budget": 9.0}, H100S, {"gib": 15, "device": "cuda"}, 1, 1, 7.5 + 2),
        ({}, UNKNOWN, {"gib": 15, "device": "cuda"}, 1, 1, 7.5 + 2),
        # One module, the stage and the process; both models in host memory.
        ({"offload": True}, H100S, {"gib": 150, "device": "cuda", "offload": True}, 1, 0.125, 152),
        ({"device_map": "auto"}, H100S, {"gib": 150, "device": "all devices of the map"}, 1, 3, 77),
        ({"device": "cuda", "post_device": "cuda:1"}, H100S, {"gib": 15, "device": "cuda"},
         1, 2, 9.5),
        ({"device": "cuda", "post_device": "cuda:0"}, H100S, {"gib": 15, "device": "cuda"},
         1, 0.25, 9.5),
    ],
)  # fmt: skip
def test_what_is_set_aside_is_what_the_forecast_says(
    options, cluster, plan, cpus, gpus, gib, tmp_path: Path
):
    needs = resources(spec_of(tmp_path, **options), plan_of(**plan), cluster)
    assert (needs["num_cpus"], needs.get("num_gpus")) == (cpus, gpus)
    assert needs["memory"] / GIB == pytest.approx(gib)


@pytest.mark.parametrize(
    ("options", "cluster", "expected"),
    [
        ({}, CPU_ALONE, {"num_cpus": 1}),
        ({}, H100S, {"num_cpus": 1, "num_gpus": 1}),
        ({"device": "cpu"}, H100S, {"num_cpus": 1}),
        ({"device": "mps"}, CPU_ALONE, {"num_cpus": 1}),
        ({"device": "cuda:1"}, CPU_ALONE, {"num_cpus": 1, "num_gpus": 1}),
        ({"device_map": "auto"}, H100S, {"num_cpus": 1, "num_gpus": 1}),
        ({"post_device": "cuda:1"}, H100S, {"num_cpus": 1, "num_gpus": 2}),
        ({"device": "cpu", "post_device": "cuda:0"}, H100S, {"num_cpus": 1, "num_gpus": 1}),
    ],
)
def test_without_a_forecast_a_gpu_is_set_aside_for_the_runs_that_use_one(
    options, cluster, expected, tmp_path: Path
):
    assert resources(spec_of(tmp_path, **options), None, cluster) == expected


def test_a_run_without_a_forecast_is_named_and_does_not_stop_the_study(tmp_path: Path):
    models = {"pair": None, "base": str(tmp_path / "none"), "post": str(tmp_path / "none"),
              "problems": tmp_path / "none.jsonl"}  # fmt: skip
    run = Planned(name="lost", spec=spec_of(tmp_path / "lost", **models))
    with pytest.warns(NoForecastWarning, match=r"^lost has no forecast .*none"):
        assert _planned(Planner(), run, CPU_ALONE) is None


@pytest.mark.slow(checked=True)
def test_a_forecast_is_the_plan_of_the_command_on_the_device_of_the_cluster(tmp_path: Path):
    run = Planned(name="trace", spec=spec_of(tmp_path / "trace", limit=12))
    found = _planned(Planner(), run, H100S)
    assert found is not None and found.device == "cuda" and found.tiny
    assert found.host_gib == found.placement["host memory while loading"] > 0
    # Two runs of this pair fit on any card.
    assert resources(run.spec, found, H100S)["num_gpus"] == 0.125


def test_a_cluster_is_read_from_its_nodes():
    head = {"CPU": 4.0, "memory": 8.0 * GIB}
    card = {"CPU": 16.0, "GPU": 2.0, "memory": 100.0 * GIB, "accelerator_type:A100": 1.0}
    gone = {"CPU": 64.0, "GPU": 8.0, "memory": 900.0 * GIB}
    nodes = [{"Alive": True, "Resources": each} for each in (head, card)]
    nodes.append({"Alive": False, "Resources": gone})
    found = Cluster.of(nodes)
    assert (found.gpus, found.cpus, found.memory) == (2.0, 16.0, 100.0 * GIB)
    assert found.card_gib == 40.0  # it does not say which, so the smaller
    named = {**card, "accelerator_type:A100-80G": 1.0}
    del named["accelerator_type:A100"]
    assert Cluster.of([{"Resources": named}]).card_gib == 80.0
    assert Cluster.of([{"Resources": {**named, "accelerator_type:V9": 1.0}}]).card_gib is None


def test_what_this_machine_can_never_run_is_said_and_not_waited_for():
    assert not _lacking({"num_cpus": 1, "memory": 4 * GIB}, CPU_ALONE)
    assert "10 GiB aside and Ray has 8 GiB" in _lacking({"memory": 10 * GIB}, CPU_ALONE)
    assert "finds none here" in _lacking({"num_gpus": 0.2}, CPU_ALONE)
    assert "6 GPUs and Ray has 4" in _lacking({"num_gpus": 6}, H100S)
