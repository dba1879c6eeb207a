"""Runs one job once undisturbed, then many times in children that are killed.

A program, not a test: `python killed_run.py FOLDER` prints, as JSON, how each attempt ended.
The undisturbed run comes first and in this process; children are forked from it, so that what it
imports is imported once.
"""

import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet  # noqa: F401 - loaded once here instead of in each child
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.results import Result
from elicit.runs import RunDirectory

N_CELLS = 40


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve(Result):
    """Value of each cell."""

    value: Float[Tensor, "cell draw"]


def job(folder: Path) -> None:
    """Forty cells, a result, a page."""
    with RunDirectory.open(
        folder, kind="toy", arguments={"n": N_CELLS}, identity={"base": "aa"}
    ) as run:
        cells = []
        for index in range(N_CELLS):

            def compute(index: int = index) -> dict[str, Tensor]:
                time.sleep(0.004)
                rng = torch.Generator().manual_seed(index)
                return {"value": torch.randn(5, generator=rng)}

            cells.append(run.get_or_compute(f"cell/{index}", compute)["value"])
        run.save_result("curve", Curve(value=torch.stack(cells)))
        run.write_text("page.html", f"<p>{torch.stack(cells).sum().item()}</p>")


def attempt(folder: Path, *, after_syncs: int | None, after_seconds: float | None) -> int:
    """Run the job in a child and return how it ended, as `os.waitstatus_to_exitcode` says it."""
    child = os.fork()
    if child == 0:
        if after_syncs is not None:
            left = [after_syncs]
            sync = os.fsync

            def last(handle: int) -> None:
                # Dies with the file written and not yet renamed, or renamed and not yet certain.
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                sync(handle)

            os.fsync = last
        job(folder)
        os._exit(0)
    if after_seconds is not None:
        time.sleep(after_seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path) -> None:
    """Kill, resume, compare."""
    job(folder / "whole")
    rng = random.Random(0)
    story = []
    for _ in range(6):
        seconds = rng.uniform(0.01, 0.06)
        code = attempt(folder / "killed", after_syncs=None, after_seconds=seconds)
        story.append({"code": code, "left": leftovers(folder / "killed")})
    # Opening a run takes four syncs and a cell two: each attempt adds a few cells, then files.
    while not story or story[-1]["code"] != 0:
        syncs = rng.randrange(14)
        code = attempt(folder / "killed", after_syncs=syncs, after_seconds=None)
        story.append({"code": code, "left": leftovers(folder / "killed")})
    sys.stdout.write(json.dumps({"killed": story}))


def leftovers(folder: Path) -> int:
    """Half-written files that an attempt left."""
    return sum(1 for _ in folder.rglob("*.elicit-tmp"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
