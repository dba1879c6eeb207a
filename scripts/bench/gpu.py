"""What a GPU makes of a patch grid and of lens statistics, at shapes of models that matter.

    python scripts/bench/gpu.py --json FILE        (rows are `not measured` where there is no GPU)
    python scripts/bench/gpu.py --tiny             (the same code on the CPU, at a toy shape)

Random weights in bfloat16. Lens statistics are timed with their product (states to logits, then
divergences, entropy and rank), fused and plain, and held against the rate of one large product on
the same card. The patch grid is `patching.py --only grid` in a process of its own. Greedy texts of
64 rows are written with steps launched one by one, with steps that are recorded, and by Hugging
Face's `generate`. How often the host waits for the card is counted by torch's own check, for each
token and for each layer of a patch grid. A forward with weights in host memory is held against the
time that its bytes take from page-locked memory alone. A row is `name, value, unit, goal, ok`; a
value that was not measured is null, with the reason as its unit.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from patching import configuration, contrast_of, write_model
from torch import Tensor, nn

from elicit.capture import Unembed
from elicit.pair import (
    Loading,
    ModelPair,
    hugging_face_model,
    load_pair,
    offload,
    record_steps,
)
from elicit.patching import patch, within
from elicit.rollouts import continue_ids
from elicit.texts import Readout

Row = dict[str, object]
SHAPES = {"qwen2.5-1.5b": (1536, 151936), "llama-3.1-8b": (4096, 128256)}
"""Width and ids of each model."""
TINY = {"tiny": (64, 1024)}
LAYERS, TOKENS, REPEATS = 8, 1024, 5
ROWS, PROMPT, NEW = 64, 32, 64
"""Rows of text, tokens of each prompt, tokens that are written."""
GRID, RATE = ">= 10", ">= 0.6"
STEPS, AHEAD = ">= 1", ">= 0.8"
GENERATE = "text, time of Hugging Face's generate over ours"
RECORDED = "text, time with steps launched over steps recorded"
WAITS_TEXT = "waits of the host for the card, a token of a batch"
WAITS_GRID = "waits of the host for the card, a layer of a patch grid"
OFFLOADED = "forward with weights in host memory, time of the bare copies over it"


def row(name: str, value: float | None, unit: str, goal: str = "") -> Row:
    """One figure beside its goal; None if it was not measured."""
    ok: bool | None = None
    if goal and value is not None:
        ok = value >= float(goal.split()[1])
    told = None if value is None else round(value, 4)
    return {"name": name, "value": told, "unit": unit, "goal": goal, "ok": ok}


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Least wall time of several runs, after one that is not counted."""
    found = []
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - begin)
    return min(found[1:])


def product_rate(device: torch.device, size: int) -> float:
    """Operations a second of one large product in bfloat16."""
    one = torch.randn(size, size, dtype=torch.bfloat16, device=device)
    return 2 * size**3 / seconds(lambda: one @ one, device)


@torch.no_grad()
def lens(name: str, d_model: int, d_vocab: int, device: torch.device) -> list[Row]:
    """Statistics of several layers of one block of tokens."""
    torch.manual_seed(0)
    linear = nn.Linear(d_model, d_vocab, bias=False, dtype=torch.bfloat16, device=device)
    used = Unembed(norm=nn.Identity(), projection=linear, softcap=None, d_vocab=d_vocab)
    states = torch.randn(LAYERS + 1, TOKENS, d_model, dtype=torch.bfloat16, device=device)
    took: dict[str, float] = {}
    for way, fused in (("plain", False), ("fused", None)):
        room = Readout(used, TOKENS)
        room.fused.used = fused
        final = room.final(states[-1], torch.empty(d_vocab, TOKENS, device=device))

        def every(room: Readout = room, final=final) -> None:
            for layer in range(LAYERS):
                room.read(states[layer], final)

        took[way] = seconds(every, device)
        if way == "fused" and not room.fused.used:
            del took["fused"]
    rate = product_rate(device, 8192 if device.type == "cuda" else 256)
    flop = 2.0 * LAYERS * TOKENS * d_model * d_vocab
    rows = [row(f"{name}: large product in bfloat16", rate / 1e12, "TFLOP/s")]
    for way, each in took.items():
        said = f"{name}: lens statistics, {way}, of the rate of a large product"
        rows.append(row(said, flop / each / rate, "share", RATE if way == "fused" else ""))
    if "fused" not in took:
        said = f"{name}: lens statistics, fused, of the rate of a large product"
        rows.append(row(said, None, "not measured: no Triton kernel on this device", RATE))
    return rows


def grid(name: str, device: torch.device, dtype: str) -> list[Row]:
    """The patch grid beside TransformerLens."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        subprocess.run(
            [sys.executable, Path(__file__).with_name("patching.py"), "--json", file, "--shape",
             name, "--device", device.type, "--dtype", dtype, "--only", "grid"]
            + (["--max-tokens", "32768"] if device.type == "cuda" else ["--sample", "4"]),
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        return [each | {"name": f"{name}: {each['name']}"} for each in json.loads(file.read_text())]


@torch.no_grad()
def whole(name: str, device: torch.device, dtype: torch.dtype) -> list[Row]:
    """Texts and forwards of one model with random weights."""
    with tempfile.TemporaryDirectory() as folder:
        there = write_model(Path(folder), configuration(name, dtype), 0, str(device))
        loading = Loading(share_weights=True, attn_implementation="sdpa")
        options = {"device": device, "dtype": dtype, "loading": loading}
        pair = load_pair(there, there, allow_identical=True, check_parity=False, **options)
    ids = torch.randint(4, 64, (ROWS, PROMPT), device=device)
    return [
        *writing(name, hugging_face_model(pair.base), ids),
        *waiting(name, pair),
        *sent_ahead(name, pair.base, ids, device),
    ]


def waits(work: Callable[[], object], device: torch.device) -> int | None:
    """How often the host waits for the card during a piece of work; None without a card."""
    if device.type != "cuda":
        return None
    work()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing CUDA operation" in str(each.message) for each in caught)


def waiting(name: str, pair: ModelPair) -> list[Row]:
    """Waits of a patch grid; those that come once are divided too."""
    contrast = contrast_of(pair.d_vocab, all_differ=True)

    def work() -> object:
        return patch(pair, contrast, within(sites=("resid_pre",), positions="each"), controls=())

    found = waits(work, torch.device(pair.device))
    if found is None:
        return [row(f"{name}: {WAITS_GRID}", None, "not measured: no GPU")]
    return [row(f"{name}: {WAITS_GRID}", found / pair.n_layers, "waits")]


def writing(name: str, model: nn.Module, ids: Tensor) -> list[Row]:
    """Greedy text with steps launched and with steps recorded, and Hugging Face's `generate`."""
    mask, device = torch.ones_like(ids), ids.device

    def ours() -> Tensor:
        return continue_ids(model, ids, mask, max_new_tokens=NEW, stop_ids=(), pad_id=0)

    def theirs() -> Tensor:
        return model.generate(  # pyright: ignore[reportCallIssue]
            input_ids=ids, attention_mask=mask, max_new_tokens=NEW, min_new_tokens=NEW,
            do_sample=False, pad_token_id=0,
        )  # fmt: skip

    launched, generated = seconds(ours, device), seconds(theirs, device)
    rate = ROWS * NEW / launched
    rows = [
        row(f"{name}: tokens a second, steps launched, {ROWS} rows", rate, "1/s"),
        row(f"{name}: {GENERATE}", generated / launched, "x", STEPS),
    ]
    if device.type != "cuda":
        return [*rows, row(f"{name}: {RECORDED}", None, "not measured: no CUDA graphs here", STEPS)]
    text, waited = ours(), waits(ours, device) or 0
    record_steps(model)
    recorded = seconds(ours, device)
    same = float((ours() == text).double().mean())
    record_steps(model, False)
    return [
        *rows,
        row(f"{name}: {RECORDED}", launched / recorded, "x", STEPS),
        row(f"{name}: tokens that are the same with steps recorded", same, "share"),
        row(f"{name}: {WAITS_TEXT}", waited / NEW, "waits"),
    ]


def sent_ahead(name: str, bridge: nn.Module, ids: Tensor, device: torch.device) -> list[Row]:
    """A forward with weights in host memory, of the time that copying them takes by itself."""
    model = hugging_face_model(bridge)
    held = [each for module in model.modules() for each in module._parameters.values()]
    nbytes = sum(each.nbytes for each in held if each is not None)
    offload(bridge, device)
    took = seconds(lambda: model(input_ids=ids, logits_to_keep=1).logits, device)
    locked = torch.empty(1 << 28, dtype=torch.uint8, pin_memory=device.type == "cuda")
    rate = len(locked) / seconds(lambda: locked.to(device, copy=True, non_blocking=True), device)
    return [
        row(f"{name}: copies from page-locked memory", rate / 1e9, "GB/s"),
        row(f"{name}: {OFFLOADED}", nbytes / rate / took, "share", AHEAD),
    ]


def unmeasured() -> list[Row]:
    """Every row that a card would fill."""
    why = "not measured: no GPU"
    rows = []
    for name in SHAPES:
        rows += [
            row(f"{name}: patch grid, TransformerLens's time over ours", None, why, GRID),
            row(f"{name}: large product in bfloat16", None, why),
            row(f"{name}: lens statistics, plain, of the rate of a large product", None, why),
            row(f"{name}: lens statistics, fused, of the rate of a large product", None, why, RATE),
            row(f"{name}: {GENERATE}", None, why, STEPS),
            row(f"{name}: {RECORDED}", None, why, STEPS),
            row(f"{name}: {WAITS_TEXT}", None, why),
            row(f"{name}: {WAITS_GRID}", None, why),
            row(f"{name}: {OFFLOADED}", None, why, AHEAD),
        ]
    return rows


def main() -> None:
    """Write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--tiny", action="store_true", help="on the CPU, to try the code")
    asked = parser.parse_args()
    if torch.cuda.is_available() or asked.tiny:
        device = torch.device("cpu" if asked.tiny else "cuda")
        rows = []
        for name, (d_model, d_vocab) in (TINY if asked.tiny else SHAPES).items():
            rows += lens(name, d_model, d_vocab, device)
            rows += grid(name, device, "float32" if asked.tiny else "bfloat16")
            rows += whole(name, device, torch.float32 if asked.tiny else torch.bfloat16)
    else:
        rows = unmeasured()
    for each in rows:
        sys.stdout.write(json.dumps(each) + "\n")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
