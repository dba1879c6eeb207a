"""Speed of reading every layer, beside bare matrix products and the materialising way.

    python scripts/bench/revision.py --json FILE
    python scripts/bench/revision.py --tokens 256 --repeats 1 --only speed     (a small try)

One run, one machine, one thread, the same weights and tokens for everyone: a model of GPT-2-small's
shape whose tokens settle where a trained model's do (`planted_depths.py`). Contenders take turns
and medians of CPU time are kept; who is slow runs once. A row is `name, value, unit, goal, ok`;
rows without a goal are there to be read.
"""

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import torch
from jaxtyping import Float, Int
from patching import Row, Took, forget_peak, race, resident, row, timed, write_model
from planted_depths import Planted, plain_jsd, plant, trained_curves
from torch import Tensor
from torch.nn import functional

from elicit.pair import ModelPair, load_pair
from elicit.revision import (
    DeepThinking,
    DepthConvention,
    Profile,
    TokenRows,
    deep_thinking,
    profile,
    settling_depth,
)
from elicit.runs import Execution
from elicit.texts import tokens_per_block

PARTS = ("speed", "memory")
CPU = torch.device("cpu")
CHUNK = 128
"""Tokens that jemin7709/deep-think-ratio compares at once, unless told otherwise."""
N_EXACT = 32
"""Tokens of each row that are also computed in float64."""
N_SAMPLED = 2
"""Layers' products that are timed of all, which cost the same."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What everyone is given."""

    folder: Path
    pair: ModelPair
    plain: dict[str, Any]
    """The model as Hugging Face loads it, by its attention: sdpa is its default."""
    traces: TokenRows
    planted: Int[Tensor, " token"]
    """Depth planted at each token."""
    repeats: int

    @property
    def ids(self) -> Int[Tensor, "batch pos"]:
        """The text."""
        return torch.tensor(self.traces.rows)

    @property
    def weight(self) -> Float[Tensor, "d_vocab d_model"]:
        """The unembedding."""
        return self.plain["sdpa"].lm_head.weight

    @property
    def n_layers(self) -> int:
        """Blocks."""
        return self.pair.n_layers

    def profiled(self) -> Profile:
        """Every layer of one model, as a user asks for it."""
        return profile(self.pair, self.traces, models=("post",), top_k=0)

    def deep(self, *, depths: bool = False, certify: bool = True) -> DeepThinking:
        """Deep or not, as a user asks for it."""
        return deep_thinking(self.pair, self.traces, depths=depths, certify=certify)


def written_model(folder: Path) -> Planted:
    """A planted model in a folder."""
    import transformers as tf

    config = tf.GPT2Config(n_positions=4096, dtype=torch.float32, tie_word_embeddings=False)
    write_model(folder, config, 0, "cpu")
    model = tf.AutoModelForCausalLM.from_pretrained(folder)
    planted = plant(model, trained_curves(config.n_layer), DepthConvention())
    model.save_pretrained(folder)
    return planted


def loaded_pair(folder: Path) -> ModelPair:
    """The pair, as any pair is loaded."""
    return load_pair(folder, folder, allow_identical=True, check_parity=False)


def plain_model(folder: Path, attention: str) -> Any:
    """The model as Hugging Face loads it."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention).eval()


# ---------------------------------------------------------------- what is timed


@torch.no_grad()
def products(setting: Setting, *, vocabulary_first: bool) -> Took:
    """Unembeddings of all layers in the blocks that `profile` uses; a sample, scaled up."""
    weight, n_tokens = setting.weight, setting.traces.n_tokens
    step = tokens_per_block(len(weight), memory=Execution().memory, buffers=2)
    states = torch.randn(n_tokens, weight.shape[1])

    def work() -> None:
        for _ in range(N_SAMPLED):
            for part in states.split(step):
                _ = weight @ part.T if vocabulary_first else functional.linear(part, weight)

    return timed(work, CPU).per(N_SAMPLED / (setting.n_layers + 1))


@torch.no_grad()
def forward(setting: Setting, attention: str) -> Tensor:
    """One forward with all logits."""
    return setting.plain[attention](setting.ids, use_cache=False).logits


@torch.no_grad()
def materialising(
    setting: Setting, n_tokens: int, model: Any = None, n_pos: int | None = None
) -> Float[Tensor, "layer token"]:
    """Every layer's divergence as it is usually had: all hidden states, logits, log-probabilities.

    Args:
        setting: What everyone is given.
        n_tokens: Tokens whose logits are there at once.
        model: What is run; the plain model if None.
        n_pos: Tokens of each row that are read; all if None.
    """
    model = model or setting.plain["sdpa"]
    ids = setting.ids[:, :n_pos]
    out = model(ids, output_hidden_states=True, use_cache=False)
    final = out.logits.flatten(0, 1)
    found = []
    # The last hidden state has the final norm already.
    for layer, states in enumerate(out.hidden_states):
        last = layer == len(out.hidden_states) - 1
        flat = (states if last else model.transformer.ln_f(states)).flatten(0, 1)
        parts = zip(flat.split(n_tokens), final.split(n_tokens), strict=True)
        found.append(torch.cat([plain_jsd(model.lm_head(part), own) for part, own in parts]))
    return torch.stack(found)


# ---------------------------------------------------------------- speed


def speed(setting: Setting) -> Iterator[Row]:
    """All contenders on the same tokens."""
    held: dict[str, Any] = {}

    def ours(name: str, work: Callable[[], object]) -> Callable[[], Took]:
        def keep() -> None:
            held[name] = work()

        return lambda: timed(keep, CPU)

    n_tokens, n_layers = setting.traces.n_tokens, setting.n_layers
    took = race(
        {
            "profile": ours("profile", setting.profiled),
            "linear": lambda: products(setting, vocabulary_first=False),
            "W @ h.T": lambda: products(setting, vocabulary_first=True),
            "sdpa": lambda: timed(lambda: forward(setting, "sdpa"), CPU),
            "eager": lambda: timed(lambda: forward(setting, "eager"), CPU),
            "deep": ours("deep", setting.deep),
        },
        setting.repeats,
    )
    once = race(
        {
            "no proofs": ours("no proofs", lambda: setting.deep(certify=False)),
            "depths": ours("depths", lambda: setting.deep(depths=True)),
            "depths, no proofs": ours(
                "depths, no proofs", lambda: setting.deep(depths=True, certify=False)
            ),
            "whole": ours("whole", lambda: materialising(setting, n_tokens)),
            "chunks": ours("chunks", lambda: materialising(setting, CHUNK)),
        },
        1,
    )
    cpu = {name: each.cpu for name, each in (took | once).items()}
    for name, label in {
        "profile": "profile of one model",
        "linear": f"{n_layers + 1} unembeddings, linear ({N_SAMPLED} timed, scaled)",
        "W @ h.T": f"{n_layers + 1} unembeddings, W @ h.T ({N_SAMPLED} timed, scaled)",
        "sdpa": "plain forward, all logits, sdpa",
        "eager": "plain forward, all logits, eager attention",
        "deep": "deep_thinking",
        "no proofs": "deep_thinking, certify=False",
        "depths": "deep_thinking, depths=True",
        "depths, no proofs": "deep_thinking, depths=True, certify=False",
        "whole": f"materialising way, {n_tokens} tokens at once",
        "chunks": f"materialising way, {CHUNK} tokens at once",
    }.items():
        yield row(f"{label}, CPU", cpu[name], "s")
    flop = 2.0 * (n_layers + 1) * n_tokens * setting.weight.numel()
    for name in ("linear", "W @ h.T"):
        yield row(f"rate of the unembeddings, {name}", flop / cpu[name] / 1e9, "GFLOP/s")
    rest = cpu["profile"] - cpu["sdpa"] + cpu["linear"] / (n_layers + 1)
    yield row("rate of profile, its forward taken off", flop / rest / 1e9, "GFLOP/s")
    yield row(
        "profile over linear products and a plain forward",
        cpu["profile"] / (cpu["linear"] + cpu["sdpa"]), "x", "<= 1.3",
    )  # fmt: skip
    yield row(
        "profile over W @ h.T products and a plain forward",
        cpu["profile"] / (cpu["W @ h.T"] + cpu["sdpa"]), "x",
    )  # fmt: skip
    for name in ("sdpa", "eager"):
        ratio = cpu["deep"] / cpu[name]
        yield row(f"deep_thinking over a plain forward, {name}", ratio, "x", "<= 1.6")
    for name, label in (("whole", f"{n_tokens} tokens"), ("chunks", f"{CHUNK} tokens")):
        label = f"materialising way, {label} at once"
        yield row(f"{label}, over profile", cpu[name] / cpu["profile"], "x")
        yield row(f"{label}, over deep_thinking", cpu[name] / cpu["deep"], "x", ">= 5")
    yield from agreement(setting, held)


def agreement(setting: Setting, held: dict[str, Any]) -> Iterator[Row]:
    """What the timed runs found, held against each other and against the plant."""
    convention = DepthConvention()
    jsd = held["profile"].jsd[0]
    depth = settling_depth(jsd, convention)
    deep = depth >= convention.deep_from(setting.n_layers)
    same = (depth == setting.planted).double().mean().item()
    yield row("tokens that settle where planted", same, "1", ">= 1")
    yield row("tokens that settle deep", deep.double().mean().item(), "1")
    yield row("mean settling depth", depth.double().mean().item(), "layers")
    yield row("mean entropy of the final predictions", held["profile"].entropy[0, -1].mean().item(),
              "nats")  # fmt: skip
    for name in ("deep", "no proofs", "depths", "depths, no proofs"):
        found: DeepThinking = held[name]
        wrong = int((found.deep != deep).sum())
        if found.depth is not None:
            wrong = max(wrong, int((found.depth != depth).sum()))
        label = "deep_thinking" if name == "deep" else f"deep_thinking, {name}"
        yield row(f"{label}: tokens that differ from the full pass", wrong, "1", "<= 0")
        yield row(f"{label}: readings made", found.n_projected, "1")
        yield row(f"{label}: readings spared by proofs", found.n_certified, "1")
        yield row(f"{label}: readings of the full pass", found.n_full, "1")

    def gap(one: Tensor, other: Tensor) -> float:
        return (one.double() - other.double()).abs().max().item()

    label = "largest difference from the materialising way"
    for name in ("whole", "chunks"):
        yield row(f"profile: {label}, {name}", gap(held[name], jsd), "nats", "<= 1e-5")
    # Which of the two is right? The first tokens of both rows, everything in float64.
    wide = copy.deepcopy(setting.plain["eager"]).double()
    exact = materialising(setting, CHUNK, wide, N_EXACT).unflatten(1, (2, -1))
    n_pos = exact.shape[2]
    for name, values in (("profile", jsd), ("materialising way", held["whole"])):
        some = values.unflatten(1, (2, -1))[:, :, :n_pos]
        goal = "<= 1e-5" if name == "profile" else ""
        yield row(f"{name}: {label} in float64, {2 * n_pos} tokens", gap(some, exact), "nats", goal)


# ---------------------------------------------------------------- memory


def memory(setting: Setting) -> Iterator[Row]:
    """Highest memory above the loaded model, each in a process of its own."""
    n_pos = max(setting.traces.n_tokens, 1)
    found = {}
    for who in ("sdpa", "eager", "profile", "deep"):
        done = subprocess.run(
            [sys.executable, __file__, "--memory-of", who, "--folder", str(setting.folder),
             "--tokens", str(n_pos)],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stderr)
        found[who] = float(done.stdout.splitlines()[-1])
    budget = Execution().memory / 2**20
    n_tokens = 2 * n_pos
    label = f"memory above the model, {n_tokens} tokens"
    yield row(f"{label}: plain forward, sdpa", found["sdpa"], "MiB")
    yield row(f"{label}: plain forward, eager", found["eager"], "MiB")
    for who, name in (("profile", "profile"), ("deep", "deep_thinking")):
        yield row(f"{label}: {name}, budget {budget:.0f} MiB", found[who], "MiB")
        for plain in ("sdpa", "eager"):
            ratio = found[who] / (1.2 * found[plain] + budget)
            yield row(f"{label}: {name} over 1.2 x plain {plain} + budget", ratio, "x", "<= 1")


def memory_of(who: str, folder: Path, n_pos: int) -> None:
    """Run one contender on two rows of tokens and print its highest memory above the model's.

    Args:
        who: `sdpa`, `eager`, `profile` or `deep`.
        folder: The model.
        n_pos: Tokens of each row.
    """
    draw = torch.Generator().manual_seed(0)
    rows = torch.randint(100, 50000, (2, n_pos), generator=draw)
    work: Callable[[Tensor], object]
    if who in ("sdpa", "eager"):
        model = plain_model(folder, who)

        def work(ids: Tensor) -> object:
            with torch.no_grad():
                return model(ids, use_cache=False).logits
    else:
        pair = loaded_pair(folder)

        def work(ids: Tensor) -> object:
            traces = TokenRows(
                rows=tuple(map(tuple, ids.tolist())),
                positions=(tuple(range(ids.shape[1])),) * len(ids),
                problem=tuple(map(str, range(len(ids)))),
            )
            if who == "deep":
                return deep_thinking(pair, traces)
            return profile(pair, traces, models=("post",), top_k=0)

    # Whatever the first run imports and allocates for good is there before, but not its buffers.
    work(rows[:, :4])
    before = resident("VmRSS")
    forget_peak()
    work(rows)
    sys.stdout.write(f"{resident('VmHWM') - before}\n")


# ---------------------------------------------------------------- all of it


def measured(arguments: argparse.Namespace, root: Path) -> list[Row]:
    """All rows that were asked for."""
    folder = root / "model"
    planted = written_model(folder)
    traces, depth = planted.text(2, arguments.tokens // 2)
    setting = Setting(
        folder=folder,
        pair=loaded_pair(folder),
        plain={name: plain_model(folder, name) for name in ("sdpa", "eager")},
        traces=traces,
        planted=depth,
        repeats=arguments.repeats,
    )
    work = {"speed": speed, "memory": memory}
    rows: list[Row] = []
    for name in arguments.only:
        for each in work[name](setting):
            mark = "    " if each["ok"] is None else "ok  " if each["ok"] else "MISS"
            sys.stdout.write(
                f"{mark} {each['name']}: {each['value']} {each['unit']} {each['goal']}\n"
            )
            sys.stdout.flush()
            rows.append(each)
    return rows


def main() -> None:
    """Measure, print and write the rows."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--tokens", type=int, default=2048, help="in two rows; memory: twice these")
    parser.add_argument("--repeats", type=int, default=2, help="rounds of the race")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(PARTS),
        help=f"some of {','.join(PARTS)}",
    )  # fmt: skip
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        memory_of(arguments.memory_of, arguments.folder, arguments.tokens)
        return
    unknown = sorted(set(arguments.only) - set(PARTS))
    if unknown:
        parser.error(f"--only names {', '.join(unknown)}; it takes {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as root:
        rows = measured(arguments, Path(root))
    sys.stdout.write(f"torch {torch.__version__}, {torch.get_num_threads()} thread, float32\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
