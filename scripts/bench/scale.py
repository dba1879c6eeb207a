"""Cost against layers, positions, problems and pairs: the forecast held against what is run.

    python scripts/bench/scale.py --json FILE      (about five minutes on one core)
    python scripts/bench/scale.py --only flops     (operations alone: the same on every machine)

Pairs of random weights in Llama's layout (d_model 256, grouped keys, 2048 ids) of several depths,
with prompts of several lengths. Operations are counted by torch (`FlopCounterMode`: matrix products
alone) while a command's own function runs, and held against the stage of that command's forecast.
Seconds are CPU time of one thread: operations over a rate, and a constant for every layer, because
starting a layer takes as long as its products in models as small as these. Rate and constant come
of two shapes of each command and predict the others. A row is `name, value, unit, goal, ok`.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from elicit import organisms
from elicit.grafting import localise
from elicit.jobs import COMMANDS, PairSpec
from elicit.jobs._forecast import Size, Stage
from elicit.pair import ModelPair, load_pair
from elicit.patching.sweep import sweep
from elicit.revision import settling
from elicit.rollouts import Generation, rollouts
from elicit.tasks import load_task

Row = dict[str, object]
SHAPES = ((4, 24, 12), (4, 24, 48), (8, 24, 12), (4, 64, 24), (8, 64, 12))
"""Layers, positions and problems; rate and constant come from the first two."""
WRITTEN = 24
"""Tokens of every written text."""
WITHIN = 0.25


@dataclass(frozen=True)
class Case:
    """One command's heaviest stage at one shape."""

    command: str
    shape: tuple[int, int, int]
    stage: Stage
    size: Size
    run: Callable[[], object]

    @property
    def flop(self) -> float:
        """Operations of the forecast."""
        return self.size.read_flop(self.stage) + self.size.write_flop(self.stage)


def row(name: str, value: float, unit: str, goal: str = "") -> Row:
    """One figure beside its goal, e.g. `<= 0.25`."""
    ok: bool | None = None
    if goal:
        sign, limit = goal.split()
        ok = value <= float(limit) if sign == "<=" else value >= float(limit)
    return {"name": name, "value": round(value, 6), "unit": unit, "goal": goal, "ok": ok}


def checkpoint(folder: Path, n_layers: int, seed: int) -> str:
    """A random model with the organisms' tokenizer."""
    own, tokenizer = organisms.open_model(organisms.resolve("rl").base)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=2048,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=n_layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=512,
        bos_token_id=own.config.bos_token_id,
        eos_token_id=own.config.eos_token_id,
        pad_token_id=own.config.pad_token_id,
    )
    place = folder / f"{n_layers}-{seed}"
    LlamaForCausalLM(config).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return str(place)


def problems(folder: Path, n_pos: int, n: int) -> Path:
    """Problems whose prompts have a number of words, no two alike."""
    known = load_task(organisms.resolve("rl").problems).problems
    file = folder / f"{n_pos}-{n}.jsonl"
    lines = []
    for number, problem in enumerate(known[:n]):
        words = list(islice(cycle(known[number + n].prompt.split()), n_pos - 2))
        lines.append(
            {
                "id": f"p{number}",
                "prompt": " ".join(words),
                "answer": "7",
                "wrong": "6",
                "candidates": ["6", "7"],
                "trace": problem.prompt,
            }
        )
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def pair_of(folder: Path, n_layers: int) -> ModelPair:
    """Two random models of one shape."""
    made = [checkpoint(folder, n_layers, seed) for seed in (1, 2)]
    return load_pair(*made, check_parity=False)


def stages(spec: PairSpec, pair: ModelPair) -> tuple[dict[str, Stage], object]:
    """The forecast of a command, and its inputs."""
    job = COMMANDS[spec.command].job
    inputs = job.prepare(spec, pair, job.check(spec)).inputs
    return {stage.name: stage for stage in job.costing.stages(spec, pair, inputs)}, inputs


def cases(pair: ModelPair, shape: tuple[int, int, int], folder: Path) -> Iterator[Case]:
    """The commands at one shape."""
    _, n_pos, n = shape
    file, size = problems(folder, n_pos, n), Size.of(pair)
    common = {
        "base": pair.base_name,
        "post": pair.post_name,
        "out": folder / "out",
        "problems": file,
    }

    def made(name: str, **options: object) -> PairSpec:
        return COMMANDS[name].spec.from_options(common, options)

    spec = made("patch", direction="post-to-base", positions=[-4, -3, -2, -1], factorial=False)
    known, inputs = stages(spec, pair)
    plan = inputs.plans["post_to_base"]  # pyright: ignore[reportAttributeAccessIssue]
    yield Case("patch", shape, known["post to base"], size, lambda: sweep(plan))

    spec = made("report", problems_how="forced", kinds=["layer"], controls=1)
    known, scores = stages(spec, pair)
    yield Case(
        "report",
        shape,
        known["moving parts"],
        size,
        lambda: localise(pair, skill=scores.skill, kinds=["layer"], controls=1),  # pyright: ignore
    )

    spec = made("revise", traces=["decision"])
    known, revised = stages(spec, pair)
    rows = revised.given[0]  # pyright: ignore[reportAttributeAccessIssue]
    yield Case("revise", shape, known["reading every layer"], size, lambda: settling(pair, rows))

    spec = made("trace", traces="own", max_new_tokens=WRITTEN, lead_in="answer")
    known, traced = stages(spec, pair)
    # A stop that random models do not write lets every text have its full length.
    generation = Generation(max_new_tokens=WRITTEN, stop_ids=(2047,))
    task = traced.task  # pyright: ignore[reportAttributeAccessIssue]

    def write() -> None:
        for side in ("base", "post"):
            rollouts(pair.side(side), task, generation=generation)

    yield Case("trace", shape, known["writing thoughts"], size, write)


def counted(run: Callable[[], object]) -> int:
    """Operations of matrix products."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def seconds(run: Callable[[], object]) -> float:
    """Least CPU time of two runs: neighbours on the machine only ever add."""
    found = []
    for _ in range(2):
        begin = time.process_time()
        run()
        found.append(time.process_time() - begin)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=["flops", "seconds"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    found: dict[str, list[tuple[Case, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = {n: pair_of(folder, n) for n in sorted({shape[0] for shape in SHAPES})}
        for shape in SHAPES:
            for case in cases(pairs[shape[0]], shape, folder):
                where = "{} layers, {} positions, {} problems".format(*shape)
                if given.only != "seconds":
                    off = abs(case.flop / counted(case.run) - 1)
                    said = f"{case.command}, {where}: operations off by"
                    rows.append(row(said, off, "share", f"<= {WITHIN}"))
                if given.only != "flops":
                    took = seconds(case.run)
                    found.setdefault(case.command, []).append((case, took))
                    rows.append(row(f"{case.command}, {where}: CPU time", took, "s"))
    for command, measured in found.items():
        (one, short), (other, long) = measured[:2]
        rate = (other.flop - one.flop) / (long - short)
        constant = (short - one.flop / rate) / one.shape[0]
        rows.append(row(f"{command}: rate", rate / 1e9, "GFLOP/s"))
        for case, took in measured[2:]:
            where = "{} layers, {} positions, {} problems".format(*case.shape)
            off = abs((case.flop / rate + constant * case.shape[0]) / took - 1)
            said = f"{command}, {where}: CPU time off by"
            rows.append(row(said, off, "share", f"<= {WITHIN}"))
    for each in rows:
        sys.stdout.write(f"{each['name']}: {each['value']} {each['unit']} {each['ok']}\n")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
