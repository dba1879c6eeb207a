"""Speed of patching sweeps beside TransformerLens, nnsight and a loop of hooks.

    python scripts/bench/patching.py --nnsight VENV/bin/python --json FILE

One run, one machine, one thread, the same weights and prompts for everyone. Contenders take turns,
several rounds, and medians are kept: of CPU time (goals), and of wall time beside it. A row is
`name, value, unit, goal, ok`; rows without a goal are there to be read. Whoever runs one whole
forward a cell is timed on a sample of cells and scaled up (`--whole`: all cells, once). On a GPU:

    python scripts/bench/patching.py --device cuda --shape llama-3.1-8b --dtype bfloat16 \
        --max-tokens 32768 --only grid,flops
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from elicit.runs import Execution

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import torch
from torch import Tensor, nn
from torch.nn import functional

from elicit.capture import LaneTrunk, decompose, run_trunk
from elicit.edits import shape_of
from elicit.pair import ModelPair, load_pair
from elicit.patching import Contrast, Plan, across, factorial, patch, prepare, within
from elicit.patching._cells import sweep
from elicit.patching.columns import Positions
from elicit.patching.plan import batches_of
from elicit.patching.values import SweepValues
from elicit.sites import Shape, Site, expand, resid_post, z

Row = dict[str, object]
Cell = tuple[int, int]
"""Layer and position."""
PARTS = ("grid", "flops", "heads", "components", "memory", "attribution", "cross")
N_POS = 64
PAIRS = 2
"""Problems of a contrast: the fewest that have an interval."""


def row(name: str, value: float, unit: str, goal: str = "") -> Row:
    """One figure beside its goal, e.g. `<= 1.3`."""
    ok: bool | None = None
    if goal:
        sign, limit = goal.split()
        ok = value <= float(limit) if sign == "<=" else value >= float(limit)
    return {"name": name, "value": float(f"{value:.4g}"), "unit": unit, "goal": goal, "ok": ok}


# ---------------------------------------------------------------- models and prompts


def configuration(shape: str, dtype: torch.dtype):
    """The configuration of a shape; weights are random."""
    import transformers as tf

    llama = {"rope_theta": 500000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": False}
    return {
        "gpt2-small": lambda: tf.GPT2Config(dtype=dtype),
        "qwen2.5-1.5b": lambda: tf.Qwen2Config(
            vocab_size=151936, hidden_size=1536, intermediate_size=8960, num_hidden_layers=28,
            num_attention_heads=12, num_key_value_heads=2, tie_word_embeddings=True, dtype=dtype,
        ),
        "llama-3.1-8b": lambda: tf.LlamaConfig(
            vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
            num_attention_heads=32, num_key_value_heads=8, dtype=dtype, **llama,
        ),
        "tiny": lambda: tf.LlamaConfig(
            vocab_size=1024, hidden_size=64, intermediate_size=128, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=2, dtype=dtype, **llama,
        ),
    }[shape]()  # fmt: skip


def write_model(folder: Path, config: object, seed: int, device: str) -> Path:
    """A random model and a tokenizer of a few words, as a hub download looks."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(seed)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    model.save_pretrained(folder)
    words = ["<pad>", "<s>", "</s>", "<unk>", *(f"w{n}" for n in range(60))]
    core = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="<unk>",
    ).save_pretrained(folder)  # fmt: skip
    return folder


def contrast_of(d_vocab: int, *, all_differ: bool, n_pos: int = N_POS) -> Contrast:
    """Random prompts and their siblings: other tokens everywhere, or one in the middle."""
    draw = random.Random(0)
    rows = [[draw.randrange(100, d_vocab) for _ in range(n_pos)] for _ in range(PAIRS)]
    others = [list(each) for each in rows]
    for each in others:
        for pos in range(n_pos) if all_differ else [n_pos // 2]:
            each[pos] = 100 + (each[pos] - 100 + draw.randrange(1, 100)) % (d_vocab - 100)
    return Contrast(
        clean=tuple(map(tuple, rows)),
        corrupted=tuple(map(tuple, others)),
        answer=tuple((10 + n,) for n in range(PAIRS)),
        wrong=tuple((50 + n,) for n in range(PAIRS)),
        id=tuple(str(n) for n in range(PAIRS)),
        words=tuple(tuple(map(str, each)) for each in rows),
    )


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What everyone is given."""

    pair: ModelPair
    folder: Path
    contrast: Contrast
    device: torch.device
    dtype: torch.dtype
    repeats: int
    n_sample: int
    max_tokens: int
    whole: bool
    nnsight: str | None

    @property
    def shape(self) -> Shape:
        """Layers, heads and widths."""
        return shape_of(self.pair.base)

    def ids(self, name: str) -> Tensor:
        """Clean or corrupted prompts."""
        return torch.tensor(getattr(self.contrast, name), device=self.device)

    def cells(self) -> list[Cell]:
        """Layer and position of the cells that one-forward-a-cell contenders are timed on."""
        every = [(layer, pos) for layer in range(self.shape.n_layers) for pos in range(N_POS)]
        if self.whole:
            return every
        return sorted(random.Random(0).sample(every, min(self.n_sample, len(every))))

    def metric(self, logits: Tensor) -> Tensor:
        """Logit difference of each row, from logits that end at the last position."""
        rows = torch.arange(len(logits), device=logits.device)
        answer = [a[0] for a in self.contrast.answer][: len(logits)]
        wrong = [w[0] for w in self.contrast.wrong or ()][: len(logits)]
        return logits[rows, -1, answer] - logits[rows, -1, wrong]

    def plan(self, sites: Sequence[Site], positions: Positions) -> Plan:
        """The sweep that `within` makes of these sites, for its single values and its count."""
        swap = within(sites=sites, positions=positions)
        execution = Execution(max_tokens=self.max_tokens)
        return prepare(self.pair, self.contrast, swap, controls=(), execution=execution)

    def ours(self, sites: Sequence[str | Site], positions: Positions = "each") -> Callable:
        """The sweep as a user calls it, intervals and p-values included."""
        return lambda: patch(
            self.pair,
            self.contrast,
            within(sites=sites, positions=positions),
            controls=(),
            execution=Execution(max_tokens=self.max_tokens),
        )


# ---------------------------------------------------------------- clocks


@dataclass(frozen=True)
class Took:
    """Seconds that a piece of work took; of the processor in this process, and by the wall."""

    cpu: float
    wall: float

    def per(self, count: float) -> "Took":
        """The same for one of `count` equal parts."""
        return Took(self.cpu / count, self.wall / count)


def timed(work: Callable[[], object], device: torch.device) -> Took:
    """Seconds of one call, the device's work included."""
    _finish(device)
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    _finish(device)
    return Took(time.process_time() - cpu, time.perf_counter() - wall)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


Race = dict[str, list[Took]]


def race(contenders: dict[str, Callable[[], Took]], repeats: int) -> dict[str, Took]:
    """Medians of rounds in which all take their turn, so that a busy minute hits all alike."""
    rounds: Race = {name: [] for name in contenders}
    for number in range(repeats):
        names = list(contenders)
        for name in names if number % 2 == 0 else reversed(names):
            rounds[name].append(contenders[name]())
    return {
        name: Took(median(t.cpu for t in taken), median(t.wall for t in taken))
        for name, taken in rounds.items()
    }


def against(name: str, ours: Took, theirs: Took, gpu: bool, goal: str = "") -> list[Row]:
    """How many times as long they take. A goal is on CPU time, which a neighbour disturbs least."""
    if gpu:
        return [row(f"{name}: times ours, wall", theirs.wall / ours.wall, "x", goal)]
    return [
        row(f"{name}: times ours, CPU", theirs.cpu / ours.cpu, "x", goal),
        row(f"{name}: times ours, wall", theirs.wall / ours.wall, "x"),
    ]


# ---------------------------------------------------------------- contenders


class Lens:
    """TransformerLens's own patching functions on the pair's base, prompts one by one or at once.

    It is given what costs it least: no gradients, and its progress bar off.
    """

    def __init__(self, setting: Setting, kind: str, n_rows: int) -> None:
        """Run the clean prompts."""
        self.setting, self.kind, self.n_rows = setting, kind, n_rows
        name = f"{'attn.' if kind == 'z' else ''}hook_{kind}"
        with torch.no_grad():
            _, self.cache = setting.pair.base.run_with_cache(
                setting.ids("clean")[:n_rows], names_filter=lambda found: found.endswith(name)
            )

    def sample(self, index: list[tuple[int, ...]], axes: list[str]) -> Tensor:
        """Mean metric of some cells."""
        import pandas as pd
        from transformer_lens import patching as lens

        setters = {
            ("layer", "pos"): lens.layer_pos_patch_setter,
            ("layer", "head"): lens.layer_head_vector_patch_setter,
            ("layer", "pos", "head"): lens.layer_pos_head_vector_patch_setter,
        }
        with torch.no_grad():
            return lens.generic_activation_patch(
                self.setting.pair.base,  # pyright: ignore[reportArgumentType]
                self.setting.ids("corrupted")[: self.n_rows],
                self.cache,
                lambda logits: self.setting.metric(logits).mean(),
                setters[tuple(axes)],
                self.kind,
                index_df=pd.DataFrame(index, columns=axes),
            )


class Hooks:
    """The plain Hugging Face model and one hook a cell; only the last position is unembedded."""

    def __init__(self, setting: Setting) -> None:
        """Load the model as it comes (fused attention) and run the clean prompts."""
        from transformers import AutoModelForCausalLM

        self.setting = setting
        self.model = AutoModelForCausalLM.from_pretrained(setting.folder, dtype=setting.dtype)
        self.model = self.model.to(setting.device).eval()  # pyright: ignore[reportArgumentType]
        inner = getattr(self.model, "transformer", None)
        self.blocks = inner.h if inner is not None else self.model.model.layers
        with torch.no_grad():
            states = self.model(setting.ids("clean"), output_hidden_states=True).hidden_states
        self.donor = states[: len(self.blocks)]

    def sample(self, cells: list[Cell]) -> Tensor:
        """Metric of some cells, `[cell, problem]`."""
        ids, found = self.setting.ids("corrupted"), []
        for layer, pos in cells:

            def enter(_module: nn.Module, given: tuple, layer: int = layer, pos: int = pos):
                resid = given[0].clone()
                resid[:, pos] = self.donor[layer][:, pos]
                return resid, *given[1:]

            handle = self.blocks[layer].register_forward_pre_hook(enter)
            with torch.no_grad():
                logits = self.model(ids, use_cache=False, logits_to_keep=1).logits
            handle.remove()
            found.append(self.setting.metric(logits))
        return torch.stack(found)


class Nnsight:
    """nnsight in its own environment, several invokes a trace."""

    def __init__(self, setting: Setting) -> None:
        """Start it, and hand it the prompts."""
        script = Path(__file__).with_name("nnsight_sweep.py")
        dtype = str(setting.dtype).removeprefix("torch.")
        self.process = subprocess.Popen(
            [str(setting.nnsight), str(script), str(setting.folder), str(setting.device), dtype],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        contrast = setting.contrast
        self.ask(
            {
                "clean": contrast.clean,
                "corrupted": contrast.corrupted,
                "answer": [a[0] for a in contrast.answer],
                "wrong": [w[0] for w in contrast.wrong or ()],
            }
        )

    def ask(self, job: dict) -> dict:
        """One request."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("nnsight stopped. Run nnsight_sweep.py by hand to see why.")
        return json.loads(answer)

    def sample(self, cells: list[Cell], invokes: int) -> tuple[Tensor, Took]:
        """Metric of some cells `[cell, problem]`, and what they took in that process."""
        jobs = [(problem, layer, pos) for layer, pos in cells for problem in range(PAIRS)]
        found = self.ask({"cells": jobs, "invokes": invokes})
        values = torch.tensor(found["values"]).reshape(-1, PAIRS)
        return values, Took(found["cpu"], found["wall"])

    def close(self) -> None:
        """End it."""
        self.process.communicate()


# ---------------------------------------------------------------- the grid


def grid(setting: Setting) -> list[Row]:
    """Layer by position of `resid_pre`, against everyone."""
    gpu = setting.device.type == "cuda"
    n_all = setting.shape.n_layers * N_POS * PAIRS
    cells = setting.cells()
    n_some = len(cells) * PAIRS
    scaled = "" if setting.whole else f" ({len(cells)} cells, scaled)"
    near_setting = replace(setting, contrast=contrast_of(setting.pair.d_vocab, all_differ=False))
    hooks = Hooks(setting)
    nnsight = Nnsight(setting) if setting.nnsight else None
    device = setting.device
    # What the timed runs found is kept, and held against ours afterwards.
    found: dict[str, Tensor] = {}

    def lens(n: int) -> Callable[[], Took]:
        runner = Lens(setting, "resid_pre", n)

        def work() -> None:
            found[f"TransformerLens {n}"] = runner.sample(list(cells), ["layer", "pos"])

        return lambda: timed(work, device).per(len(cells) * n)

    def loop() -> None:
        found["hooks"] = hooks.sample(cells)

    def other(invokes: int) -> Callable[[], Took]:
        def work() -> Took:
            assert nnsight is not None
            found["nnsight"], took = nnsight.sample(cells, invokes)
            return took.per(n_some)

        return work

    contenders: dict[str, Callable[[], Took]] = {
        "ours": lambda: timed(setting.ours(["resid_pre"]), device).per(n_all),
        "near": lambda: timed(near_setting.ours(["resid_pre"]), device).per(n_all),
        "TransformerLens, a prompt at a time": lens(1),
        f"TransformerLens, {PAIRS} prompts at once": lens(PAIRS),
        "hooks": lambda: timed(loop, device).per(n_some),
    }
    if nnsight is not None:
        for invokes in (16,) if setting.whole else (8, 16, 32):
            contenders[f"nnsight, {invokes} invokes"] = other(invokes)
    took = race(contenders, setting.repeats)
    ours, near = took.pop("ours"), took.pop("near")
    rows = [
        row("resid_pre grid: ours, a cell and problem, CPU", ours.cpu * 1e3, "ms"),
        row("resid_pre grid: ours, a cell and problem, wall", ours.wall * 1e3, "ms"),
        row("resid_pre grid, one token differs: ours, a cell and problem, CPU", near.cpu * 1e3,
            "ms"),
        row(f"resid_pre grid: ours, whole, {PAIRS} problems, wall", ours.wall * n_all, "s"),
    ]  # fmt: skip
    goals = {"TransformerLens": ">= 10", "nnsight": ">= 3", "hooks": ""}
    for name, goal in goals.items():
        runs = {key: t for key, t in took.items() if key.startswith(name)}
        if not runs:
            continue
        best = min(runs, key=lambda key: runs[key].wall if gpu else runs[key].cpu)
        shown = f"resid_pre grid: {best}{scaled}"
        rows.append(row(f"{shown}: a cell and problem, CPU", runs[best].cpu * 1e3, "ms"))
        rows += against(shown, ours, runs[best], gpu, goal)
        if name == "TransformerLens":
            one = runs["TransformerLens, a prompt at a time"]
            rows += against(
                f"resid_pre grid: TransformerLens, a prompt at a time{scaled}", ours, one, gpu
            )
            shown = f"resid_pre grid, one token differs: {best}{scaled}"
            rows += against(shown, near, runs[best], gpu)
    rows += _agreement(setting, cells, found)
    if nnsight is not None:
        nnsight.close()
    return rows


def _values(setting: Setting, sites: Sequence[Site], positions: Positions) -> SweepValues:
    return sweep(setting.plan(sites, positions))


def _agreement(setting: Setting, cells: list[Cell], found: dict[str, Tensor]) -> list[Row]:
    """Largest difference between our cells and theirs."""
    exact = _values(setting, expand("resid_pre", setting.shape), "each").patched[0, 0]
    ours = torch.stack([exact[layer, pos] for layer, pos in cells])
    same = {
        "TransformerLens": (found[f"TransformerLens {PAIRS}"], ours.mean(-1)),
        "TransformerLens, the first prompt alone": (found["TransformerLens 1"], ours[:, 0]),
        **{name: (found[name], ours) for name in ("hooks", "nnsight") if name in found},
    }
    goal = "<= 1e-5" if setting.dtype == torch.float32 else ""
    return [
        row(
            f"resid_pre grid: largest difference from {name}, {len(cells)} cells",
            (theirs.cpu().double() - mine).abs().max().item(), "logits", goal,
        )
        for name, (theirs, mine) in same.items()
    ]  # fmt: skip


# ---------------------------------------------------------------- FLOPs


def least_flops(plan: Plan, trunk: LaneTrunk) -> float:
    """Fewest multiplications and additions of a resid_pre grid; derived in README.md.

    Args:
        plan: The sweep; every cell of it changes something.
        trunk: Gives the widths.
    """
    layer, shape = trunk.decomposed.layers[0], trunk.decomposed.shape
    d, n_layers = shape.d_model, shape.n_layers
    wide, narrow = shape.n_heads * shape.d_head, shape.n_kv_heads * shape.d_head
    down: Tensor = layer.down.weight  # pyright: ignore[reportAssignmentType]
    mlp = (2 if layer.gate is None else 3) * d * (down.numel() // d)
    key_value, query, out = 2 * d * narrow, d * wide, wide * d
    n_pos = trunk.n_pos
    read = n_pos - 1

    def pairs(queries: Sequence[int]) -> float:
        # Each query meets the keys up to its own place; scores and mixing are a product each.
        return sum(place + 1 for place in queries) * 2 * wide

    def lane(start: int, first: int) -> float:
        total = 0.0
        for place in range(first, n_layers):
            last, joining = place == n_layers - 1, place == first
            ends = [read] if last else list(range(start, n_pos))
            new = 1 if joining else n_pos - start
            # The patched position alone asks anew where a lane joins; in the last layer, if read.
            asking = int(not last or start == read) if joining else len(ends)
            total += new * key_value + asking * query + pairs(ends) + len(ends) * (out + mlp)
        return total

    def whole() -> float:
        body = n_pos * (key_value + query + out + mlp) + pairs(range(n_pos))
        end = n_pos * key_value + query + out + mlp + pairs([read])
        return (n_layers - 1) * body + end

    lanes = sum(lane(pos, site.layer) for site in plan.sites for pos in range(n_pos))
    # A multiplication and an addition each; two unembedded tokens a cell; a trunk of either run.
    unembed = 2 * d * len(plan.sites) * n_pos
    return 2.0 * PAIRS * (lanes + unembed + 2 * whole())


def whole_flops(trunk: LaneTrunk) -> float:
    """Multiplications and additions of the trunk as it is run: all layers, all positions."""
    layer, shape = trunk.decomposed.layers[0], trunk.decomposed.shape
    down: Tensor = layer.down.weight  # pyright: ignore[reportAssignmentType]
    wide, narrow = shape.n_heads * shape.d_head, shape.n_kv_heads * shape.d_head
    token = 2 * shape.d_model * (narrow + wide) + (2 if layer.gate is None else 3) * down.numel()
    return 2.0 * trunk.n_rows * trunk.n_pos * shape.n_layers * (token + 2 * trunk.n_pos * wide)


def gemm_rate(setting: Setting) -> float:
    """Best rate of plain matrix products of the model's own widths, multiply-adds counted as 2."""
    d = setting.shape.d_model
    down = decompose(setting.pair.base).layers[0].down.weight
    d_mlp = down.numel() // d  # pyright: ignore[reportCallIssue]
    best = 0.0
    for n in (1024, 2048) if setting.device.type == "cpu" else (8192, 32768):
        for wide, narrow in ((d, d_mlp), (d_mlp, d), (d, d)):
            x = torch.randn(n, wide, device=setting.device, dtype=setting.dtype)
            w = torch.randn(narrow, wide, device=setting.device, dtype=setting.dtype)
            functional.linear(x, w)
            took = min(
                timed(lambda x=x, w=w: functional.linear(x, w), setting.device).wall
                if setting.device.type == "cuda"
                else timed(lambda x=x, w=w: functional.linear(x, w), setting.device).cpu
                for _ in range(5)
            )
            best = max(best, 2 * n * wide * narrow / took)
    return best


def flops(setting: Setting) -> list[Row]:
    """Work done over work needed, and its rate over that of bare matrix products."""
    sites = expand("resid_pre", setting.shape)
    plan = setting.plan(sites, "each")
    rates, took = [], []
    for _ in range(setting.repeats):
        plan = setting.plan(sites, "each")
        rates.append(gemm_rate(setting))
        took.append(timed(lambda plan=plan: sweep(plan), setting.device))
    trunk = run_trunk(decompose(setting.pair.base), batches_of(plan)[0].host)
    n_trunks = 2 * len(batches_of(plan))
    spent = plan.work.flops(trunk) + n_trunks * whole_flops(trunk) / len(batches_of(plan))
    spent += 2.0 * PAIRS * 2 * trunk.decomposed.shape.d_model * len(sites) * N_POS
    least = least_flops(plan, trunk)
    gpu = setting.device.type == "cuda"
    rate = spent / median(t.wall if gpu else t.cpu for t in took)
    clock = "wall" if gpu else "CPU"
    return [
        row("FLOPs of the resid_pre grid, the least of lanes", least / 1e9, "GFLOP"),
        row("FLOPs of the resid_pre grid, spent over the least", spent / least, "x", "<= 1.3"),
        row(f"rate of the resid_pre grid, {clock}", rate / 1e9, "GFLOP/s"),
        row(f"rate of bare matrix products, {clock}", median(rates) / 1e9, "GFLOP/s"),
        row("share of the matrix peak", rate / median(rates), "1"),
    ]


# ---------------------------------------------------------------- heads and components


def duel(
    setting: Setting,
    name: str,
    kind: str,
    sites: Sequence[Site],
    positions: Positions,
    index: list[tuple[int, ...]],
    axes: list[str],
    goal: str = "",
) -> list[Row]:
    """One grid against TransformerLens, which is timed on the cells of `index`."""
    n_cells = len(sites) * (N_POS if positions == "each" else 1) * PAIRS
    lenses = {n: Lens(setting, kind, n) for n in (1, PAIRS)}

    def lens(n: int) -> Callable[[], Took]:
        return lambda: timed(lambda: lenses[n].sample(index, axes), setting.device).per(
            len(index) * n
        )

    took = race(
        {
            "ours": lambda: timed(setting.ours(sites, positions), setting.device).per(n_cells),
            "one": lens(1),
            "all": lens(PAIRS),
        },
        setting.repeats,
    )
    gpu = setting.device.type == "cuda"
    best = min((took["one"], took["all"]), key=lambda t: t.wall if gpu else t.cpu)
    exact = _values(setting, sites, positions).patched[0, 0].mean(-1)
    theirs = lenses[PAIRS].sample(index, axes).double().cpu()
    rank = {str(site): place for place, site in enumerate(sites)}
    ours = torch.stack([exact[_place(kind, cell, axes, rank)] for cell in index])
    difference = (ours - theirs).abs().max().item()
    clock = took["ours"].wall if gpu else took["ours"].cpu
    shown = f"TransformerLens ({len(index)} cells, scaled)"
    return [
        row(f"{name}: ours, a cell and problem", clock * 1e3, "ms"),
        *against(f"{name}: {shown}", took["ours"], best, gpu, goal),
        row(f"{name}: largest difference from TransformerLens", difference, "logits",
            "<= 1e-5" if setting.dtype == torch.float32 else ""),
    ]  # fmt: skip


def _place(kind: str, cell: tuple[int, ...], axes: list[str], rank: dict[str, int]) -> Cell:
    """Where a cell of TransformerLens's stands in our grid."""
    named = dict(zip(axes, cell, strict=True))
    site = Site(kind, named["layer"], named.get("head"))  # pyright: ignore[reportArgumentType]
    return rank[str(site)], named.get("pos", 0)


def heads(setting: Setting) -> list[Row]:
    """Layer by head at all positions, and layer by head by position."""
    shape = setting.shape
    every = [(layer, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]
    draw = random.Random(1)
    some = sorted(draw.sample(every, min(setting.n_sample, len(every))))
    # One head of every layer stands for all: a lane's cost does not depend on which head it is.
    one = tuple(z(layer, layer % shape.n_heads) for layer in range(shape.n_layers))
    places = [(s.layer, pos, s.head or 0) for s in one for pos in range(N_POS)]
    picked = sorted(draw.sample(places, min(setting.n_sample, len(places))))
    near = replace(setting, contrast=contrast_of(setting.pair.d_vocab, all_differ=False))
    return [
        *duel(setting, "z, layer x head, all positions", "z", expand("z.heads", shape), "all",
              list(some), ["layer", "head"], ">= 8"),
        *duel(near, "z, layer x head, all positions, one token differs", "z",
              expand("z.heads", shape), "all", list(some), ["layer", "head"], ">= 8"),
        *duel(setting, f"z, layer x head x position (1 of {shape.n_heads} heads, scaled)", "z",
              one, "each", list(picked), ["layer", "pos", "head"], ">= 8"),
    ]  # fmt: skip


def components(setting: Setting) -> list[Row]:
    """What attention and MLPs write."""
    cells: list[tuple[int, ...]] = list(setting.cells())
    cells = cells[: setting.n_sample]
    return [
        line
        for kind in ("attn_out", "mlp_out")
        for line in duel(setting, f"{kind} grid", kind, expand(kind, setting.shape), "each",
                         cells, ["layer", "pos"])
    ]  # fmt: skip


# ---------------------------------------------------------------- memory


MEMORY_POS = 256
MEMORY_STEPS = (16, 4, 1)


def memory(_setting: Setting) -> list[Row]:
    """Highest memory of sweeps of 1, 4 and 16 times as many cells, each in a process of its own."""
    found = {}
    for step in MEMORY_STEPS:
        done = subprocess.run(
            [sys.executable, __file__, "--memory-step", str(step)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found[step] = json.loads(done.stdout.splitlines()[-1])
    rows = [
        row(f"memory of {found[step]['cells']:.0f} cells above the model's", found[step]["mib"],
            "MiB")
        for step in MEMORY_STEPS
    ]  # fmt: skip
    ratio = found[1]["mib"] / found[4]["mib"]
    share = found[1]["peak"] / found[4]["peak"]
    return [
        *rows,
        row("memory above the model's, 16x over 4x the cells", ratio, "x", "<= 1.05"),
        row("highest memory in all, 16x over 4x the cells", share, "x"),
    ]


def memory_of_one(step: int) -> None:
    """Sweep a small model at every `step`th position and print the highest memory as JSON."""
    from transformers import GPT2Config

    config = GPT2Config(n_layer=2, n_head=16, n_embd=256, vocab_size=1024, n_positions=512)
    with tempfile.TemporaryDirectory() as root:
        folder = write_model(Path(root), config, 0, "cpu")
        pair = load_pair(folder, folder, allow_identical=True)
        contrast = contrast_of(1024, all_differ=True, n_pos=MEMORY_POS)
        # Whatever the first sweep imports and allocates for good is there before.
        patch(pair, contrast, within(sites=["z.0.0"], positions=[-1]), controls=())
        before = resident("VmRSS")
        forget_peak()
        positions = list(range(step - 1, MEMORY_POS, step))
        patch(pair, contrast, within(sites=["z.heads"], positions=positions), controls=())
        peak = resident("VmHWM")
    cells = config.n_layer * config.n_head * len(positions) * PAIRS
    sys.stdout.write(json.dumps({"cells": cells, "mib": peak - before, "peak": peak}) + "\n")


def resident(field: str) -> float:
    """Memory of this process in MiB; not `ru_maxrss`, which a child has from its parent."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"this system does not tell {field}; leave memory out of --only.")


def forget_peak() -> None:
    """Let the highest memory begin at the present one."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


# ---------------------------------------------------------------- gradients, two models


def attribution(setting: Setting) -> list[Row]:
    """Attribution patching over one plain forward and one plain backward."""
    from transformers import AutoModelForCausalLM

    from elicit.patching.attribution import attribute

    plain = AutoModelForCausalLM.from_pretrained(setting.folder, dtype=setting.dtype)
    plain = plain.to(setting.device).eval()  # pyright: ignore[reportArgumentType]
    ids = setting.ids("corrupted")

    def both() -> None:
        plain.zero_grad(set_to_none=True)
        setting.metric(plain(ids, use_cache=False).logits).sum().backward()

    def inputs_only() -> None:
        wanted = plain.get_input_embeddings()(ids).detach().requires_grad_()
        logits = plain(inputs_embeds=wanted, use_cache=False).logits
        torch.autograd.grad(setting.metric(logits).sum(), wanted)

    def frozen() -> Took:
        for parameter in plain.parameters():
            parameter.requires_grad_(False)
        took = timed(inputs_only, setting.device)
        for parameter in plain.parameters():
            parameter.requires_grad_(True)
        return took

    def ours() -> object:
        return attribute(setting.pair, setting.contrast, within(sites=["resid_pre"]))

    for work in (ours, both, frozen):
        work()
    took = race(
        {
            "ours": lambda: timed(ours, setting.device),
            "both": lambda: timed(both, setting.device),
            "frozen": frozen,
        },
        max(5, setting.repeats),
    )
    gpu = setting.device.type == "cuda"
    clock = {name: t.wall if gpu else t.cpu for name, t in took.items()}
    return [
        row("attribution of the resid_pre grid, all problems", clock["ours"], "s"),
        row("attribution over a plain forward and backward", clock["ours"] / clock["both"], "x",
            "<= 1.2"),
        row("attribution over a plain forward and a backward to the inputs alone",
            clock["ours"] / clock["frozen"], "x", "<= 1.2"),
    ]  # fmt: skip


def cross(setting: Setting) -> list[Row]:
    """Sweep across two models and the factorial of all boundaries."""
    if setting.pair.identical:
        return []
    places = list(range(3, N_POS, 4))
    sites = [resid_post(layer) for layer in range(setting.shape.n_layers)]
    n_cells = len(sites) * len(places) * PAIRS
    device = setting.device
    took = race(
        {
            "across": lambda: timed(
                lambda: patch(
                    setting.pair,
                    setting.contrast,
                    across(sites=sites, positions=places),
                    controls=(),
                    execution=Execution(max_tokens=setting.max_tokens),
                ),
                device,
            ),
            "factorial": lambda: timed(
                lambda: factorial(
                    setting.pair,
                    setting.contrast,
                    execution=Execution(max_tokens=setting.max_tokens),
                ),
                device,
            ),
        },
        setting.repeats,
    )
    gpu = device.type == "cuda"
    clock = {name: t.wall if gpu else t.cpu for name, t in took.items()}
    n_models = 8 * (setting.shape.n_layers + 1) * PAIRS
    return [
        row("across two models, resid_post, a cell and problem", clock["across"] / n_cells * 1e3,
            "ms"),
        row("factorial of all boundaries", clock["factorial"], "s"),
        row("factorial, a model and problem", clock["factorial"] / n_models * 1e3, "ms"),
    ]  # fmt: skip


# ---------------------------------------------------------------- all of it


def measured(arguments: argparse.Namespace, root: Path) -> list[Row]:
    """All rows that were asked for."""
    dtype = getattr(torch, arguments.dtype)
    config = configuration(arguments.shape, dtype)
    folder = write_model(root / "base", config, 0, arguments.device)
    other = folder
    if "cross" in arguments.only:
        other = write_model(root / "post", config, 1, arguments.device)
    pair = load_pair(
        folder, other, device=arguments.device, dtype=dtype, allow_identical=True,
        check_parity=False,
    )  # fmt: skip
    setting = Setting(
        pair=pair,
        folder=folder,
        contrast=contrast_of(pair.d_vocab, all_differ=True),
        device=torch.device(arguments.device),
        dtype=dtype,
        repeats=arguments.repeats,
        n_sample=arguments.sample,
        max_tokens=arguments.max_tokens,
        whole=arguments.whole,
        nnsight=arguments.nnsight,
    )
    work: dict[str, Callable[[Setting], list[Row]]] = {
        "grid": grid,
        "flops": flops,
        "heads": heads,
        "components": components,
        "memory": memory,
        "attribution": attribution,
        "cross": cross,
    }
    rows: list[Row] = []
    for name in arguments.only:
        found = work[name](setting)
        for each in found:
            mark = {None: "    ", True: "ok  ", False: "MISS"}[each["ok"]]  # pyright: ignore[reportArgumentType]
            sys.stdout.write(
                f"{mark} {each['name']}: {each['value']} {each['unit']} {each['goal']}\n"
            )
            sys.stdout.flush()
        rows += found
    return rows


def main() -> None:
    """Measure, print and write the rows."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=3, help="rounds of every race")
    parser.add_argument("--sample", type=int, default=48, help="cells of slow contenders")
    parser.add_argument("--whole", action="store_true", help="slow contenders run every cell")
    parser.add_argument("--max-tokens", type=int, default=8192, help="as in `within`")
    parser.add_argument("--nnsight", default=os.environ.get("NNSIGHT_PYTHON"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument(
        "--shape", default="gpt2-small",
        choices=["gpt2-small", "qwen2.5-1.5b", "llama-3.1-8b", "tiny"],
    )  # fmt: skip
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(PARTS),
        help=f"some of {','.join(PARTS)}",
    )  # fmt: skip
    parser.add_argument("--memory-step", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_step:
        memory_of_one(arguments.memory_step)
        return
    unknown = sorted(set(arguments.only) - set(PARTS))
    if unknown:
        parser.error(f"--only names {', '.join(unknown)}; it takes {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as root:
        rows = measured(arguments, Path(root))
    sys.stdout.write(
        f"torch {torch.__version__}, {torch.get_num_threads()} thread, {arguments.device}, "
        f"{arguments.dtype}, {arguments.shape}\n"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
