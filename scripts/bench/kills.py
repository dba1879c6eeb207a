"""Kills a job at random moments until it has survived often enough, and compares the bytes.

    python scripts/bench/kills.py FOLDER N_KILLS [COMMAND ...]

COMMAND is report, exists, features or steer; all four without one. A parent that has imported
everything forks a child for each attempt, so that an attempt costs what the job costs and not the
imports. Prints one JSON object a command.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch  # noqa: F401
import transformer_lens.model_bridge  # noqa: F401
import transformers  # noqa: F401

from elicit import jobs

SKIPPED = {"run.json", "run.yaml", ".lock"}  # times, the folder, nothing


def job(command: str, out: Path) -> Callable[[], object]:
    """The job of a command on a tiny pair, as small as it answers at all."""
    small = {"out": out, "n_resamples": 100}
    cued = small | {"pair": "organism:rl"}
    if command == "report":
        report = {"limit": 24, "kinds": ("layer",), "controls": 1, "max_new_tokens": 24}
        return lambda: jobs.report(
            jobs.ReportSpec(pair="organism:shuffled-l1-l4", **small, **report)
        )
    if command == "exists":
        exists = {"limit": 20, "strengths": (0.5,), "sites": ("resid_post.4",)}
        return lambda: jobs.exists(jobs.ExistsSpec(**cued, **exists, max_new_tokens=40))
    if command == "features":
        search = {"limit": 32, "steps": 60, "top": 1, "n_positions": 4, "n_samples": 2}
        return lambda: jobs.features(jobs.FeaturesSpec(**cued, **search, traces=("own",)))
    steer = {"limit": 16, "n_random": 1, "strengths": (1.0,), "sites": ("resid_post.4",)}
    return lambda: jobs.steer(jobs.SteerSpec(**cued, **steer, max_new_tokens=40))


def attempt(command: str, out: Path, after: float | None) -> int | None:
    """Run the job in a child; its exit code, or None if it was killed in time."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            job(command, out)()
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
    return {
        str(p.relative_to(out)): p.read_bytes().replace(str(out).encode(), b"OUT") for p in files
    }


def survive(folder: Path, command: str, n_kills: int) -> dict[str, object]:
    """Kill, resume, compare."""
    begin, out = time.monotonic(), folder / "run"
    assert attempt(command, out, None) == 0
    whole, took = content(out), time.monotonic() - begin
    rng, kills, runs, equal = random.Random(0), 0, 0, 0
    while kills < n_kills:
        shutil.rmtree(out)  # the same folder, which pages and summaries name
        runs += 1
        while True:
            # Late enough to get somewhere, so that every attempt leaves more behind.
            last = kills >= n_kills
            code = attempt(command, out, None if last else took * rng.uniform(0.15, 0.75))
            if code is None:
                kills += 1
            elif code == 0:
                break
            else:
                raise SystemExit(f"the resumed {command} failed with {code}")
        equal += content(out) == whole
    return {
        "command": command,
        "kills": kills,
        "runs": runs,
        "equal": equal,
        "files": len(whole),
        "seconds": round(time.monotonic() - begin, 1),
    }


def main(folder: Path, n_kills: int, *commands: str) -> None:
    """One line for each command."""
    for command in commands or ("report", "exists", "features", "steer"):
        told = survive(folder / command, command, n_kills)
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
