"""A study on a local Ray cluster against the same study one run after the other.

    python scripts/bench/sweep.py --json FILE [--runs 12]

Both write the same bytes; so do a study one of whose workers was killed in a run, and one whose
driver was killed and that was then started again. A row is `name, value, unit, goal, ok`. What
Ray costs a run beside itself is how much longer a worker takes from the end of one run to the begin
of the next than one process does; the cluster's start stands in a row of its own. Needs the extra
`ray`, and as many free cores as Ray finds, or the times say little.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from grafting import Row, row

STUDY = """
out: {out}
common: {{limit: 12, n_resamples: 100, alterations: []}}
grid:
  command: [trace]
  pair: ["organism:hollow"]
  seed: {seeds}
"""
SKIPPED = {"run.json", "run.yaml", ".lock"}
"""Times, the folder, nothing."""
GOAL = "<= 2"


def written(folder: Path, n_runs: int) -> Path:
    """A study's file."""
    folder.mkdir(parents=True)
    path = folder / "study.yaml"
    path.write_text(STUDY.format(out=folder / "study", seeds=list(range(n_runs))))
    return path


def started(study: Path, *words: str) -> subprocess.Popen[str]:
    """The command on a study, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "elicit", "sweep", str(study), *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # No accelerator is hidden from workers, which Ray starts at nice 15 unless it is told.
        env={
            **os.environ,
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "RAY_worker_niceness": "0",
        },
    )


def ended(process: subprocess.Popen[str]) -> None:
    """Wait, and pass on what went wrong."""
    said = process.communicate()[1]
    if process.returncode:
        raise SystemExit(f"the study failed with {process.returncode}: {said[-2000:]}")


def content(study: Path) -> dict[str, bytes]:
    """Every file of the runs, with the folder's name taken out."""
    out = study.parent / "study"
    files = [p for p in sorted(out.rglob("*")) if p.is_file() and p.name not in SKIPPED]
    return {
        str(p.relative_to(out)): p.read_bytes().replace(str(out).encode(), b"OUT") for p in files
    }


def workers(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    """Processes that run a task right now."""
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue
        # Ray calls a worker by the run that it works on; its own agents have other names.
        if title.startswith("ray::trace"):
            found.append(process)
    return found


def wait_for(study: Path, n_finished: int, driver: subprocess.Popen[str]) -> None:
    """Until so many runs have a summary and another is under way."""
    while driver.poll() is None:
        finished = len(list((study.parent / "study").glob("*/summary.json")))
        if finished >= n_finished and workers(driver):
            time.sleep(1.0)
            return
        time.sleep(0.1)


def between(study: Path, n_workers: int) -> float:
    """Mean seconds between the end of a run and the begin of the next on the same worker."""
    out = study.parent / "study"
    runs = sorted(
        (
            (path.parent / "run.yaml").stat().st_mtime,
            (out / "study" / f"{name}.json").stat().st_mtime,
        )
        for path in out.glob("*/run.json")
        for name in [path.parent.name]
    )
    free: list[float] = []
    gaps = []
    for begin, end in runs:
        idle = [at for at in free if at <= begin]
        if idle and len(free) >= n_workers:
            gaps.append(begin - max(idle))
            free.remove(max(idle))
        free.append(end)
    return sum(gaps) / max(len(gaps), 1)


def measure(folder: Path, n_runs: int) -> list[Row]:
    """All rows."""
    alone = written(folder / "alone", n_runs)
    begin = time.monotonic()
    ended(started(alone))
    took_alone = time.monotonic() - begin
    expected = content(alone)

    spread = written(folder / "spread", n_runs)
    begin = time.monotonic()
    driver = started(spread, "--ray", "local")
    while not workers(driver) and driver.poll() is None:
        time.sleep(0.05)
    ready = time.monotonic() - begin
    ended(driver)
    took = time.monotonic() - begin
    n_workers = os.cpu_count() or 1
    beside = between(spread, n_workers) - between(alone, 1)

    killed = written(folder / "worker", n_runs)
    driver = started(killed, "--ray", "local")
    wait_for(killed, 1, driver)
    victims = workers(driver)
    for victim in victims[:1]:
        victim.kill()
    ended(driver)

    lost = written(folder / "driver", n_runs)
    driver = started(lost, "--ray", "local")
    wait_for(lost, 2, driver)
    below = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    # The cluster was the driver's own and goes with it.
    psutil.wait_procs(below, timeout=60)
    before = len(list((lost.parent / "study").glob("*/summary.json")))
    ended(started(lost, "--ray", "local"))
    return [
        row(f"{n_runs} runs, one after the other", took_alone, "s"),
        row(f"the same on Ray, {n_workers} workers", took, "s"),
        row("until the first task began", ready, "s"),
        row("beside the run itself, a run", beside, "s", GOAL),
        row("files that differ", differing(expected, content(spread)), "", "<= 0"),
        row("workers killed in a run", len(victims[:1]), "", ">= 1"),
        row("files that differ after it", differing(expected, content(killed)), "", "<= 0"),
        row("runs that had ended when the driver was killed", before, ""),
        row("files that differ after it, taken up", differing(expected, content(lost)), "", "<= 0"),
    ]


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> int:
    """Files that only one has, or that differ."""
    return sum(one.get(name) != other.get(name) for name in one.keys() | other.keys())


def main() -> None:
    """Write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=12)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), asked.runs)
    for each in rows:
        sys.stdout.write(json.dumps(each) + "\n")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
