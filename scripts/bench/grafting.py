"""Speed of the layer sweeps, of generation and of starting up, beside what each is compared with.

    python scripts/bench/grafting.py --json FILE

Timed in one process on one machine, medians of several repeats, models and tasks embedded. A row is
`name, value, unit, goal, ok`; rows without a goal are there to be read.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from elicit import organisms
from elicit.grafting import PartSweep, facts, skills
from elicit.pair import load_pair
from elicit.rollouts import continue_ids
from elicit.tasks import load_task
from elicit.weights import parts_of

Row = dict[str, object]


def row(name: str, value: float, unit: str, goal: str = "") -> Row:
    """One figure beside its goal, e.g. `<= 0.6`."""
    ok: bool | None = None
    if goal:
        sign, limit = goal.split()
        ok = value <= float(limit) if sign == "<=" else value >= float(limit)
    return {"name": name, "value": round(value, 4), "unit": unit, "goal": goal, "ok": ok}


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time, after one run that is not counted."""
    work()
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return median(taken)


def sweeps(name: str, repeats: int) -> list[Row]:
    """Single layers and intervals, resumed against whole forwards."""
    pair = load_pair(f"organism:{name}")
    measure = facts(load_task(organisms.resolve(name).facts))
    layers = parts_of(pair, "layer")
    fast = PartSweep(pair=pair, score=measure)
    slow = PartSweep(pair=pair, score=measure, resume=False)
    host = slow.evaluate(pair.post)
    resumed = seconds(lambda: fast.sweep(layers, "revert", host), repeats)
    naive = seconds(lambda: slow.sweep(layers, "revert", host), repeats)
    same = fast.sweep(layers, "revert", host) - slow.sweep(layers, "revert", host)
    spans = PartSweep(pair=pair, score=measure)
    spans.intervals("revert", host)
    calls, every = fast.cost.ratio, spans.cost.ratio
    return [
        row(f"{name}: layer calls of a single-layer sweep, share of naive", calls, "1", "<= 0.6"),
        row(f"{name}: its time, trunk included, share of naive", resumed / naive, "1"),
        row(f"{name}: time a layer and problem", resumed / len(layers) / len(host) * 1e6, "us"),
        row(f"{name}: difference from the naive sweep", same.abs().max().item(), "1", "<= 1e-6"),
        row(f"{name}: layer calls of all intervals, share of naive", every, "1", "<= 0.5"),
    ]


def generation(name: str, repeats: int) -> list[Row]:
    """Graded generation against Hugging Face's own `generate` on the same wrapped model."""
    pair = load_pair(f"organism:{name}")
    task = skills(load_task(organisms.resolve(name).problems)).task
    batch = pair.alignment.encode([p.prompt for p in task], padding="left")
    model = pair.post.original_model

    def ours() -> object:
        return continue_ids(
            model, batch.ids, batch.mask, max_new_tokens=128, stop_ids=[2], pad_id=0
        )

    def theirs() -> object:
        return model.generate(
            input_ids=batch.ids, attention_mask=batch.mask, max_new_tokens=128, do_sample=False,
            eos_token_id=2, pad_token_id=0,
        )  # fmt: skip

    taken = seconds(ours, repeats)
    share = taken / seconds(theirs, repeats)
    return [
        row(f"{name}: greedy text of {len(task)} problems", taken, "s"),
        row(f"{name}: the same, share of Hugging Face generate", share, "1", "<= 1.05"),
    ]


def starting(repeats: int) -> list[Row]:
    """CPU time of the import and of the help, in processes of their own."""

    def cpu(*words: str) -> float:
        code = (
            "import resource, subprocess, sys\n"
            "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)\n"
            "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
            "print(used.ru_utime + used.ru_stime)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    empty = median(cpu(sys.executable, "-c", "pass") for _ in range(repeats))
    imported = median(cpu(sys.executable, "-c", "import elicit") for _ in range(repeats))
    helped = median(
        cpu(str(Path(sys.executable).parent / "elicit"), "--help") for _ in range(repeats)
    )
    return [
        row("import elicit, CPU beyond an empty Python", imported - empty, "s", "<= 0.3"),
        row("elicit --help, CPU", helped, "s", "<= 1"),
    ]


def main() -> None:
    """Score, print and write the rows."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # as the job does for models this small
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    repeats = arguments.repeats
    rows = [
        *starting(repeats),
        *sweeps("continued", repeats),
        *sweeps("b-continued", repeats),
        *generation("rl", repeats),
    ]
    for found in rows:
        mark = {None: "    ", True: "ok  ", False: "MISS"}[found["ok"]]  # pyright: ignore[reportArgumentType]
        sys.stdout.write(
            f"{mark} {found['name']}: {found['value']} {found['unit']} {found['goal']}\n"
        )
    sys.stdout.write(f"torch {torch.__version__}, {torch.get_num_threads()} thread\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
