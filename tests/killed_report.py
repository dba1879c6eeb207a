"""Kills the main job at random moments until it has survived often enough, and compares the bytes.

    python tests/killed_report.py FOLDER N_KILLS

A parent that has run the job forks a child for each attempt, so that an attempt costs what the job
costs and not the imports. Prints one JSON object.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch  # noqa: F401
import transformer_lens.model_bridge  # noqa: F401
import transformers  # noqa: F401

from elicit.jobs import ReportSpec, report

SKIPPED = {"run.json", "run.yaml", ".lock"}  # times, the folder, nothing


def job(out: Path) -> None:
    """The main job, small."""
    report(
        ReportSpec(
            pair="organism:shuffled-l3",
            out=out,
            limit=10,
            kinds=("layer",),
            controls=1,
            n_resamples=100,
            max_new_tokens=8,
        )
    )


def attempt(out: Path, after: float | None) -> int | None:
    """Run the job in a child; its exit code, or None if it was killed in time."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            job(out)
            code = 0
        finally:
            os._exit(code)
    deadline = None if after is None else time.monotonic() + after
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if deadline is not None and time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)


def content(out: Path) -> dict[str, bytes]:
    """Every file of a run but those that hold times or the folder."""
    files = [p for p in sorted(out.rglob("*")) if p.is_file() and p.name not in SKIPPED]
    return {str(p.relative_to(out)): p.read_bytes() for p in files}


def main(folder: Path, n_kills: int) -> None:
    """Kill, resume, compare."""
    job(folder / "first")  # whatever it imports is there for all that follow
    begin = time.monotonic()
    assert attempt(folder / "whole", None) == 0
    whole, took = content(folder / "whole"), time.monotonic() - begin
    assert whole == content(folder / "first")
    rng, kills, runs, equal = random.Random(0), 0, 0, 0
    while kills < n_kills:
        out = folder / f"killed-{runs}"
        runs += 1
        while True:
            # Late enough to get somewhere, so that every attempt leaves more behind.
            code = attempt(out, took * rng.uniform(0.15, 0.75) if kills < n_kills else None)
            if code is None:
                kills += 1
            elif code == 0:
                break
            else:
                raise SystemExit(f"the resumed job failed with {code}")
        equal += content(out) == whole
    sys.stdout.write(
        json.dumps({"kills": kills, "runs": runs, "equal": equal, "files": len(whole)})
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
