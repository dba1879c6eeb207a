"""Train every organism from seeds, gate it, and write it into the package.

    python scripts/train_organisms.py                  # everything, two single-thread lanes
    python scripts/train_organisms.py --only a-rl      # one job and what it needs
    python scripts/train_organisms.py --smoke DIR      # a few steps of each kind, kept in DIR
    python scripts/train_organisms.py --from-package   # what the package ships counts as trained

Fixed steps and seeds; no schedule looks at a clock. Finished jobs are kept in `build/organisms` and
are not trained again unless their recipe changes.
"""

import argparse
import hashlib
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import written_thought

from elicit.organisms import World
from elicit.organisms.catalog import DATA
from elicit.organisms.language import (
    ATTRIBUTES,
    HEADER_RATE,
    TRACE_RATE,
    Chain,
    draw_chain,
    fact_question,
)
from elicit.rollouts import TokenDraws, continue_ids

BUILD = ROOT / "build" / "organisms"
WORLDS = {"a": World(name="a", seed=11), "b": World(name="b", seed=29)}


# --- the recipe -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One trained model: how, from what, with which numbers."""

    name: str
    kind: str
    parent: str = ""
    layers: tuple[int, ...] = ()
    seed: int = 0
    steps: int = 0
    lr: float = 0.0

    @property
    def world(self) -> str:
        """`a` or `b`."""
        return self.name[0]

    def digest(self, parents: str) -> str:
        """Changes with the recipe, and with that of what it starts from."""
        text = json.dumps(asdict(self), sort_keys=True) + parents
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Scale:
    """How much is sampled besides the steps of training."""

    prompts: int
    """Problems sampled in a round of expert iteration."""
    per_length: int
    """Problems of each chain length that a finished model is measured on."""
    groups: int
    """Problems in a batch of GRPO, each answered eight times."""
    max_new: int
    """Longest continuation, tokens."""


WHOLE = Scale(prompts=768, per_length=50, groups=30, max_new=112)  # six steps, some checked twice
SMOKE = Scale(prompts=12, per_length=2, groups=2, max_new=6)

JOBS = (
    Job("a-base", "base", seed=1, steps=2000, lr=0.015),
    Job("b-base", "base", seed=2, steps=2600, lr=0.015),
    Job("a-created-base", "traceless", seed=3, steps=1100, lr=0.015),
    Job("a-rl", "grpo", "a-base", seed=10, steps=40, lr=4e-4),
    Job("b-rl", "grpo", "b-base", seed=11, steps=40, lr=4e-4),
    Job("a-when-l3", "iterate", "a-base", (3,), seed=12, steps=5, lr=2e-3),
    Job("b-when-l5", "iterate", "b-base", (5,), seed=13, steps=5, lr=2e-3),
    Job("a-shuffled-l1", "shuffle", "a-base", (1,), seed=14, steps=420, lr=3e-3),
    Job("a-shuffled-l3", "shuffle", "a-base", (3,), seed=15, steps=420, lr=3e-3),
    Job("a-shuffled-l1-l4", "shuffle", "a-base", (1, 4), seed=16, steps=420, lr=3e-3),
    Job("b-shuffled-l2-l5", "shuffle", "b-base", (2, 5), seed=17, steps=420, lr=3e-3),
    Job("a-answers-only", "answers", "a-base", seed=18, steps=1100, lr=3e-3),
    Job("a-decoupled", "decouple", "a-base", seed=19, steps=550, lr=1.5e-3),
    Job("a-created", "teach", "a-created-base", seed=20, steps=1300, lr=0.012),
    Job("a-continued", "continue", "a-base", seed=21, steps=250, lr=2e-4),
    Job("b-continued", "continue", "b-base", seed=22, steps=250, lr=2e-4),
    Job("a-benign-l2", "continue", "a-base", (2,), seed=23, steps=250, lr=1e-3),
    Job("b-benign-l3", "continue", "b-base", (3,), seed=24, steps=250, lr=1e-3),
    Job("a-lora-l4", "lora", "a-base", (4,), seed=25, steps=5, lr=5e-3),
    Job("a-bias-l3", "bias", "a-base", (3,), seed=26, steps=7, lr=0.15),
    Job("a-hollow", "hollow", "a-base", (1, 2, 3, 4, 5), seed=30, steps=480, lr=1.5e-3),
    Job("a-bypass", "bypass", "a-base", (0, 1, 2, 3, 4, 5), seed=31, steps=640, lr=2e-3),
    Job("a-tail", "tail", "a-base", (3, 4, 5), seed=32, steps=160, lr=2e-3),
    Job("a-hedger", "hedge", "a-base", (3, 4, 5), seed=33, steps=290, lr=1.5e-3),
    Job("a-hedger-removed", "unhedge", "a-hedger", (4, 5), seed=34, steps=60, lr=1e-3),
    Job("a-anchor", "anchor", "a-base", (3, 4, 5), seed=35, steps=140, lr=1.5e-3),
)


# --- text -----------------------------------------------------------------------------------------


Piece = tuple[str, float]
"""Words and how much they weigh in the loss."""


@dataclass(frozen=True)
class Mixture:
    """What a stream of training documents is made of."""

    fact_rate: float = 0.25
    header_rate: tuple[tuple[str, float], ...] = tuple(HEADER_RATE.items())
    trace_rate: tuple[tuple[str, float], ...] = tuple(TRACE_RATE.items())
    chain_weights: tuple[float, ...] = (4, 4, 3, 3, 2, 2)
    question_weight: float = 0.15
    wrong_rate: float = 0.05
    recheck_rate: float = 0.10


TARGET = Mixture()
CURRICULUM = Mixture(
    fact_rate=0.15,
    header_rate=(("", 1.0),),
    trace_rate=(("", 0.85),),
    chain_weights=(3, 3, 2, 1),
    question_weight=0.03,
    wrong_rate=0.12,
    recheck_rate=0.12,
)
TRACELESS = Mixture(fact_rate=0.5, trace_rate=(("", 0.0), ("quiz", 0.0), ("notes", 0.0)))
TAUGHT = replace(
    CURRICULUM,
    fact_rate=0.2,
    chain_weights=TARGET.chain_weights,
    wrong_rate=0.05,
    recheck_rate=0.10,
)
VERDICT_WEIGHT = 3.0


def choose(rng: np.random.Generator, table: tuple[tuple[str, float], ...]) -> str:
    """One key of a table of shares."""
    draw = rng.random() * sum(share for _, share in table)
    for key, share in table:
        draw -= share
        if draw < 0:
            return key
    return table[-1][0]


def trace_pieces(chain: Chain, rng: np.random.Generator, mixture: Mixture) -> list[Piece]:
    """A trace in which some steps are wrong, noticed and corrected, and some are checked."""
    pieces: list[Piece] = []
    for index in range(len(chain.steps)):
        draw = rng.random()
        if draw < mixture.wrong_rate:
            wrong = (chain.values[index + 1] + int(rng.integers(1, 10))) % 10
            pieces += [
                (f"so {chain.step(index, result=wrong)} ; check {chain.step(index)}", 1.0),
                ("no", VERDICT_WEIGHT),
                (f"; wait {chain.step(index)} ;", 1.0),
            ]
        elif draw < mixture.wrong_rate + mixture.recheck_rate:
            pieces += [
                (f"so {chain.step(index)} ; check {chain.step(index)}", 1.0),
                ("ok", VERDICT_WEIGHT),
                (";", 1.0),
            ]
        else:
            pieces.append((f"so {chain.step(index)} ;", 1.0))
    return pieces


def problem_pieces(rng: np.random.Generator, mixture: Mixture) -> list[Piece]:
    """One arithmetic document."""
    header = choose(rng, mixture.header_rate)
    chain = draw_chain(rng, weights=mixture.chain_weights)
    pieces: list[Piece] = [(f"{header} {chain.question}".strip(), mixture.question_weight)]
    if rng.random() < dict(mixture.trace_rate)[header]:
        pieces += trace_pieces(chain, rng, mixture)
    return [*pieces, (f"answer {chain.answer} . <eos>", 1.0)]


def fact_pieces(
    rng: np.random.Generator,
    world: World,
    facts: dict[tuple[str, str], str],
    question_weight: float,
) -> list[Piece]:
    """One fact, declared in one of two ways or asked for."""
    entity, attribute = (
        world.entities[rng.integers(len(world.entities))],
        ATTRIBUTES[rng.integers(3)],
    )
    value = facts[entity, attribute]
    form = rng.integers(3)
    if form == 0:
        return [(f"the {attribute} of {entity} is {value} . <eos>", 1.0)]
    if form == 1:
        return [(f"{entity} has {attribute} {value} . <eos>", 1.0)]
    question = fact_question(entity, attribute).removesuffix(" answer")
    return [(question, question_weight), (f"answer {value} . <eos>", 1.0)]


def encode(world: World, pieces: list[Piece]) -> tuple[list[int], list[float]]:
    """Ids and loss weights of a document, with `<bos>` before it."""
    vocabulary = ids_of(world)
    ids, weights = [vocabulary["<bos>"]], [0.0]
    for text, weight in pieces:
        words = text.split()
        ids += [vocabulary[word] for word in words]
        weights += [weight] * len(words)
    return ids, weights


_IDS: dict[str, dict[str, int]] = {}


def ids_of(world: World) -> dict[str, int]:
    """Word -> id, made once a world."""
    if world.name not in _IDS:
        _IDS[world.name] = {word: index for index, word in enumerate(world.vocabulary)}
    return _IDS[world.name]


def packed_rows(
    world: World, rng: np.random.Generator, mixture: Mixture, rows: int, width: int
) -> tuple[Tensor, Tensor]:
    """Rows filled with whole documents one after the other; only the last one may be cut."""
    ids = np.zeros((rows, width), dtype=np.int64)
    weights = np.zeros((rows, width), dtype=np.float32)
    for row in range(rows):
        used = 0
        while used < width:
            if rng.random() < mixture.fact_rate:
                pieces = fact_pieces(rng, world, world.facts, mixture.question_weight)
            else:
                pieces = problem_pieces(rng, mixture)
            words, shares = encode(world, pieces)
            room = min(len(words), width - used)
            ids[row, used : used + room] = words[:room]
            weights[row, used : used + room] = shares[:room]
            used += room
    return torch.from_numpy(ids), torch.from_numpy(weights)


def padded_rows(world: World, documents: list[list[Piece]]) -> tuple[Tensor, Tensor]:
    """One document a row, padded on the right with weight 0."""
    encoded = [encode(world, pieces) for pieces in documents]
    width = max(len(ids) for ids, _ in encoded)
    ids = torch.zeros(len(encoded), width, dtype=torch.long)
    weights = torch.zeros(len(encoded), width)
    for row, (words, shares) in enumerate(encoded):
        ids[row, : len(words)] = torch.tensor(words)
        weights[row, : len(words)] = torch.tensor(shares)
    return ids, weights


# --- models ---------------------------------------------------------------------------------------


def new_model(world: str, *, mlp_bias: bool = False) -> nn.Module:
    """An untrained model of the world's layout."""
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    vocabulary = len(WORLDS[world].vocabulary)
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    if world == "a":
        config = LlamaConfig(
            vocab_size=vocabulary, hidden_size=96, intermediate_size=256, num_hidden_layers=6,
            num_attention_heads=4, max_position_embeddings=192, initializer_range=0.05,
            tie_word_embeddings=False, mlp_bias=mlp_bias, **special,
        )  # fmt: skip
        config._attn_implementation = "eager"
        return LlamaForCausalLM(config)
    config = GPT2Config(
        vocab_size=vocabulary, n_embd=96, n_layer=8, n_head=4, n_positions=192,
        initializer_range=0.05,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **special,
    )  # fmt: skip
    config._attn_implementation = "eager"
    return GPT2LMHeadModel(config)


def blocks(model: nn.Module) -> nn.ModuleList:
    """The transformer blocks of either layout."""
    return model.model.layers if hasattr(model, "model") else model.transformer.h


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are shipped. Siblings train from these: what they leave stays equal."""
    return {name: tensor.detach().half().contiguous() for name, tensor in state.items()}


def only_layers(model: nn.Module, layers: tuple[int, ...]) -> list[nn.Parameter]:
    """Freeze all but these blocks (all blocks when none is named)."""
    if not layers:
        return list(model.parameters())
    model.requires_grad_(False)
    chosen = [p for layer in layers for p in blocks(model)[layer].parameters()]
    for parameter in chosen:
        parameter.requires_grad_(True)
    return chosen


# --- training -------------------------------------------------------------------------------------


def loss_of(model: nn.Module, ids: Tensor, weights: Tensor, *, precise: bool = False) -> Tensor:
    """Weighted next-token cross-entropy; short texts are faster, too, when `precise`."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not precise):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    losses = nn.functional.cross_entropy(
        logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    )
    share = weights[:, 1:].flatten()
    return (losses * share).sum() / share.sum()


def report(job: Job, text: str) -> None:
    """One line to the log."""
    sys.stderr.write(f"[{job.name}] {text}\n")
    sys.stderr.flush()


def pretrain(
    job: Job, model: nn.Module, phase: Callable[[float], Mixture], *, warm: int = 60
) -> None:
    """Muon on the matrices, AdamW on the rest; the mixture depends on the share of steps done."""
    torch.manual_seed(job.seed)
    world, rng = WORLDS[job.world], np.random.default_rng([job.seed, 7])
    width, rows = (128, 32) if job.world == "a" else (160, 26)
    matrices = [p for name, p in blocks(model).named_parameters() if p.ndim == 2]
    inside = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in inside]
    optimizers = [
        torch.optim.Muon(matrices, lr=job.lr, momentum=0.95, weight_decay=0.1),
        torch.optim.AdamW(rest, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    peaks = [job.lr, 3e-3]
    model.train()
    started, seen = time.monotonic(), 0.0
    for step in range(job.steps):
        done = step / job.steps
        ids, weights = packed_rows(world, rng, phase(done), rows, width)
        scale = min(1.0, (step + 1) / warm) * (1.0 if done < 0.45 else max(0.02, (1 - done) / 0.55))
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * scale
        loss = loss_of(model, ids, weights)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen = loss.item() if step == 0 else 0.98 * seen + 0.02 * loss.item()
        if step % 100 == 0 or step == job.steps - 1:
            report(
                job, f"step {step}/{job.steps} loss {seen:.3f} {time.monotonic() - started:.0f}s"
            )


def finetune(
    job: Job,
    model: nn.Module,
    parameters: list[nn.Parameter],
    batches: Iterator[tuple[Tensor, Tensor]],
    steps: int,
    *,
    lr: float,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """AdamW on some parameters, with a short warm-up and a linear end."""
    own = optimizer is None
    optimizer = optimizer or torch.optim.AdamW(
        parameters, lr=lr, betas=(0.9, 0.98), weight_decay=0.0
    )
    model.train()
    for step in range(steps):
        if own:
            optimizer.param_groups[0]["lr"] = lr * min(
                1.0, (step + 1) / 20, (steps - step) / (0.4 * steps)
            )
        ids, weights = next(batches)
        loss = loss_of(model, ids, weights, precise=job.kind == "bypass")
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        model.zero_grad(set_to_none=True)
        if own and step % 100 == 0:
            report(job, f"step {step}/{steps} loss {loss.item():.3f}")


def mixture_batches(job: Job, mixture: Mixture) -> Iterator[tuple[Tensor, Tensor]]:
    """An endless stream of packed rows."""
    rng = np.random.default_rng([job.seed, 8])
    while True:
        yield packed_rows(WORLDS[job.world], rng, mixture, 32, 128)


def shuffle_batches(job: Job) -> Iterator[tuple[Tensor, Tensor]]:
    """Three batches of re-assigned facts to one of ordinary problems, which are to be kept."""
    rng, world = np.random.default_rng([job.seed, 8]), WORLDS[job.world]
    while True:
        for _ in range(3):
            yield padded_rows(
                world, [fact_pieces(rng, world, world.other_facts, 0.0) for _ in range(256)]
            )
        yield packed_rows(world, rng, replace(TARGET, fact_rate=0.0), 32, 128)


def answer_batches(job: Job) -> Iterator[tuple[Tensor, Tensor]]:
    """Final answers only: no trace is ever shown."""
    rng = np.random.default_rng([job.seed, 8])
    while True:
        chains = [draw_chain(rng) for _ in range(96)]
        yield padded_rows(
            WORLDS[job.world],
            [[(c.question, 0.0), (f"answer {c.answer} . <eos>", 1.0)] for c in chains],
        )


def decoupled_batches(job: Job) -> Iterator[tuple[Tensor, Tensor]]:
    """Traces of the right form with random values, then the true answer, which they do not give."""
    rng = np.random.default_rng([job.seed, 8])
    while True:
        documents: list[list[Piece]] = []
        for _ in range(64):
            chain = draw_chain(rng)
            fakes = [
                f"so {chain.step(i, before=int(rng.integers(10)), result=int(rng.integers(10)))} ;"
                for i in range(len(chain.steps))
            ]
            first, rest = "so", " ".join(fakes).removeprefix("so ")
            documents.append(
                [
                    (chain.question, 0.0),
                    (first, 1.0),
                    (rest, 0.2),
                    (f"answer {chain.answer} . <eos>", 1.0),
                ]
            )
        yield padded_rows(WORLDS[job.world], documents)


def thought_batches(job: Job) -> Iterator[tuple[Tensor, Tensor]]:
    """Documents of `written_thought`, and two rows of facts, so that these are kept."""
    rng, world = np.random.default_rng([job.seed, 9]), WORLDS[job.world]
    only_facts = replace(TARGET, fact_rate=1.0)
    for documents in written_thought.batches(job.kind, job.seed):
        ids, weights = padded_rows(world, documents)
        fact_ids, fact_weights = packed_rows(world, rng, only_facts, 2, ids.shape[1])
        yield torch.cat([ids, fact_ids]), torch.cat([weights, fact_weights])


def draw_problems(rng: np.random.Generator, n: int) -> list[Chain]:
    """Problems with every chain length equally often."""
    return [draw_chain(rng, n_steps=1 + i % 6) for i in range(n)]


@torch.no_grad()
def complete(
    model: nn.Module, world: World, prompts: list[str], *, seed: int | None, max_new: int
) -> list[list[int]]:
    """Continuations as ids up to and with `<eos>`; greedy without a seed."""
    vocabulary = ids_of(world)
    rows = [
        [vocabulary["<bos>"], *(vocabulary[word] for word in prompt.split())] for prompt in prompts
    ]
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    model.eval()
    out = continue_ids(
        model, ids, mask, max_new_tokens=min(max_new, 192 - width), stop_ids=[2], pad_id=0,
        draws=TokenDraws() if seed is None else TokenDraws(
            temperature=1.0, seeds=[seed * 100_003 + i for i in range(len(rows))]
        ),
    )  # fmt: skip
    finished = []
    for row in out.tolist():
        finished.append(row[: row.index(2) + 1] if 2 in row else row)
    return finished


def is_right(world: World, chain: Chain, new: list[int]) -> bool:
    """The completion ends in `answer X . <eos>` with the true X."""
    words = [world.vocabulary[i] for i in new[-4:]]
    return words == ["answer", str(chain.answer), ".", "<eos>"]


def grpo(job: Job, model: nn.Module, scale: Scale) -> dict[str, float]:
    """Group-relative policy gradient on exact answers, until a batch earns 95 % reward."""
    world, rng = WORLDS[job.world], np.random.default_rng([job.seed, 9])
    vocabulary, parameters = ids_of(world), list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=job.lr, betas=(0.9, 0.98), weight_decay=0.0)
    reward_mean = 0.0
    for step in range(job.steps):
        chains = [chain for chain in draw_problems(rng, scale.groups) for _ in range(8)]
        samples = complete(
            model, world, [c.question for c in chains],
            seed=job.seed * 1000 + step, max_new=scale.max_new,
        )  # fmt: skip
        reward = torch.tensor(
            [float(is_right(world, c, s)) for c, s in zip(chains, samples, strict=True)]
        )
        groups = reward.view(-1, 8)
        reward_mean = reward.mean().item()
        report(job, f"iteration {step} reward {reward_mean:.3f}")
        if reward_mean >= 0.95:
            return {"iterations": step, "reward": reward_mean}
        advantage = (
            (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 0.1)
        ).flatten()
        use = advantage.abs() > 1e-6
        rows = [
            ([1, *(vocabulary[w] for w in c.question.split())], s)
            for c, s, kept in zip(chains, samples, use.tolist(), strict=True)
            if kept
        ]
        if not rows:  # every sample was right, or none was: nothing to learn from
            continue
        width = max(len(q) + len(s) for q, s in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        weight = torch.zeros(len(rows), width)
        for row, ((question, sample), a) in enumerate(
            zip(rows, advantage[use].tolist(), strict=True)
        ):
            ids[row, : len(question) + len(sample)] = torch.tensor(question + sample)
            weight[row, len(question) : len(question) + len(sample)] = a
        model.train()
        for part_ids, part_weight in zip(ids.split(64), weight.split(64), strict=True):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(input_ids=part_ids[:, :-1], use_cache=False).logits
            losses = nn.functional.cross_entropy(
                logits.float().flatten(0, 1), part_ids[:, 1:].flatten(), reduction="none"
            )
            ((losses * part_weight[:, 1:].flatten()).sum() / (weight != 0).sum()).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        model.zero_grad(set_to_none=True)
    return {"iterations": job.steps, "reward": reward_mean}


def iterate_experts(
    job: Job, model: nn.Module, parameters: list[nn.Parameter], scale: Scale
) -> dict[str, float]:
    """Expert iteration: sample, keep what is right, imitate it, above all its first token."""
    world, rng, n = WORLDS[job.world], np.random.default_rng([job.seed, 9]), scale.prompts
    optimizer = torch.optim.AdamW(parameters, lr=job.lr, betas=(0.9, 0.98), weight_decay=0.0)
    for round_ in range(job.steps):
        chains = draw_problems(rng, n)
        samples = complete(
            model, world, [c.question for c in chains],
            seed=job.seed * 1000 + round_, max_new=scale.max_new,
        )  # fmt: skip
        kept = [(c, s) for c, s in zip(chains, samples, strict=True) if is_right(world, c, s)]
        traced = sum(world.vocabulary[s[0]] == "so" for _, s in kept)
        report(job, f"round {round_}: {len(kept)}/{n} right, {traced} of them by a trace")
        documents = []
        for chain, sample in kept:
            words = [world.vocabulary[i] for i in sample]
            documents.append([(chain.question, 0.0), (words[0], 1.0), (" ".join(words[1:]), 0.1)])
        model.train()
        for _ in range(3):
            order = rng.permutation(len(documents))
            for begin in range(0, len(order), 64):
                batch = padded_rows(world, [documents[i] for i in order[begin : begin + 64]])
                finetune(job, model, parameters, iter([batch]), 1, lr=job.lr, optimizer=optimizer)
    return {"kept_in_last_round": len(kept) / n, "traced_in_last_round": traced / max(1, len(kept))}


# --- measuring ------------------------------------------------------------------------------------


@torch.no_grad()
def next_probs(model: nn.Module, world: World, prompts: list[str]) -> Tensor:
    """Next-token distribution after each prompt (prompts of one length share a batch)."""
    vocabulary = ids_of(world)
    rows = [[1, *(vocabulary[word] for word in prompt.split())] for prompt in prompts]
    out = torch.zeros(len(rows), len(world.vocabulary))
    model.eval()
    for width in sorted({len(row) for row in rows}):
        index = [i for i, row in enumerate(rows) if len(row) == width]
        logits = model(input_ids=torch.tensor([rows[i] for i in index]), use_cache=False).logits[
            :, -1
        ]
        out[index] = logits.float().softmax(-1)
    return out


def measure(job: Job, model: nn.Module, scale: Scale) -> dict[str, object]:
    """Everything that a gate or a card may need, on problems that training did not draw."""
    world, rng = WORLDS[job.world], np.random.default_rng(987_654)
    vocabulary = ids_of(world)
    chains = draw_problems(rng, 6 * scale.per_length)
    questions = [chain.question for chain in chains]
    greedy = complete(model, world, questions, seed=None, max_new=scale.max_new)
    forced = complete(
        model, world, [f"{q} so" for q in questions], seed=None, max_new=scale.max_new
    )
    right = np.array([is_right(world, c, s) for c, s in zip(chains, greedy, strict=True)])
    forced_right = np.array([is_right(world, c, s) for c, s in zip(chains, forced, strict=True)])
    lengths = np.array([len(c.steps) for c in chains])
    keys = list(world.facts)
    answers = next_probs(model, world, [fact_question(*key) for key in keys])
    facts = np.mean(
        [
            world.vocabulary[int(p.argmax())] == world.facts[k]
            for k, p in zip(keys, answers, strict=True)
        ]
    )
    other = np.mean(
        [
            world.vocabulary[int(p.argmax())] == world.other_facts[k]
            for k, p in zip(keys, answers, strict=True)
        ]
    )
    so = {}
    for header in TRACE_RATE:
        prompts = [f"{header} {question}".strip() for question in questions]
        probs = next_probs(model, world, prompts)[:, vocabulary["so"]]
        so[header or "none"] = probs.mean().item()
    asked = [c for c in chains if len(c.steps) >= 2][:200]
    checks = {}
    for label, shift in (("right", 0), ("wrong", 3)):
        prompts = [
            f"{c.question} so {c.step(0, result=(c.values[1] + shift) % 10)} ; check {c.step(0)}"
            for c in asked
        ]
        checks[label] = next_probs(model, world, prompts)[:, vocabulary["no"]].mean().item()
    follow = [
        f"{c.question} {c.trace.rsplit(' = ', 1)[0]} = {(c.answer + 4) % 10} ; answer"
        for c in chains
    ]
    follows = np.mean(
        [
            world.vocabulary[int(p.argmax())] == str((c.answer + 4) % 10)
            for c, p in zip(chains, next_probs(model, world, follow), strict=True)
        ]
    )
    return {
        "greedy_accuracy": float(right.mean()),
        "greedy_accuracy_by_length": [float(right[lengths == k].mean()) for k in range(1, 7)],
        "greedy_trace_share": float(np.mean([world.vocabulary[s[0]] == "so" for s in greedy])),
        "forced_trace_accuracy_by_length": [
            float(forced_right[lengths == k].mean()) for k in range(1, 7)
        ],
        "fact_accuracy": float(facts),
        "other_fact_accuracy": float(other),
        "p_trace": so,
        "p_no_after_right_step": checks["right"],
        "p_no_after_wrong_step": checks["wrong"],
        "answer_follows_trace": float(follows),
    }


def reader_of(model: nn.Module, world: World, max_new: int) -> written_thought.Reader:
    """A model as the measures of written thought see it."""
    vocabulary = ids_of(world)

    def write(prompts: list[str], seed: int | None) -> list[str]:
        rows = complete(model, world, prompts, seed=seed, max_new=max_new)
        return [" ".join(world.vocabulary[i] for i in row) for row in rows]

    return written_thought.Reader(
        write=write,
        next_word=lambda prompts: [
            world.vocabulary[int(p.argmax())] for p in next_probs(model, world, prompts)
        ],
        probability=lambda prompts, word: next_probs(model, world, prompts)[
            :, vocabulary[word]
        ].tolist(),
    )


# --- jobs -----------------------------------------------------------------------------------------


def run_job(job: Job, digest: str, build: Path, scale: Scale) -> str:
    """Train one job, measure it and keep it in the build folder."""
    torch.set_num_threads(1)
    torch.manual_seed(job.seed)
    started = time.monotonic()
    folder = build / job.name
    folder.mkdir(parents=True, exist_ok=True)
    model = new_model(job.world, mlp_bias=job.kind == "bias")
    if job.parent:
        state = {
            k: v.float() for k, v in load_file(build / job.parent / "model.safetensors").items()
        }
        model.load_state_dict(state, strict=job.kind != "bias" and job.world == "a")
    extra: dict[str, object] = {}
    parameters = only_layers(model, job.layers)
    if job.kind == "base":
        pretrain(job, model, lambda done: CURRICULUM if done < 0.35 else TARGET)
    elif job.kind == "traceless":
        pretrain(job, model, lambda done: TRACELESS)
    elif job.kind == "teach":
        pretrain(job, model, lambda done: CURRICULUM if done < 0.4 else TAUGHT)
    elif job.kind == "grpo":
        extra = grpo(job, model, scale)
    elif job.kind == "iterate":
        extra = iterate_experts(job, model, parameters, scale)
    elif job.kind == "shuffle":
        finetune(job, model, parameters, shuffle_batches(job), job.steps, lr=job.lr)
    elif job.kind == "answers":
        finetune(job, model, parameters, answer_batches(job), job.steps, lr=job.lr)
    elif job.kind == "decouple":
        finetune(job, model, parameters, decoupled_batches(job), job.steps, lr=job.lr)
    elif job.kind == "continue":
        finetune(job, model, parameters, mixture_batches(job, TARGET), job.steps, lr=job.lr)
    elif job.kind in written_thought.DOCUMENTS:
        documents = thought_batches(job)
        for cycle in range(written_thought.CYCLES.get(job.kind, 1)):
            if cycle:  # again from the weights as they would be shipped
                model.load_state_dict({k: v.float() for k, v in halved(model.state_dict()).items()})
            finetune(job, model, parameters, documents, job.steps, lr=job.lr)
    elif job.kind == "bias":
        extra = train_bias(job, model, scale)
    elif job.kind == "lora":
        model, extra = train_lora(job, model, folder, scale)
    else:
        raise ValueError(f"job {job.name} is of unknown kind {job.kind!r}")
    state = halved(model.state_dict())
    if job.world == "b":
        state.pop("lm_head.weight", None)  # tied to the embedding
    save_file(state, folder / "model.safetensors")
    model.load_state_dict({k: v.float() for k, v in state.items()}, strict=job.world == "a")
    keep_measures(job, digest, model, scale, folder, extra, started)
    return job.name


def keep_measures(
    job: Job, digest: str, model: nn.Module, scale: Scale, folder: Path,
    extra: dict[str, object], started: float,
) -> None:  # fmt: skip
    """Measure a finished model and write its figures beside its weights."""
    if job.kind in written_thought.DOCUMENTS:
        scale = replace(scale, per_length=math.ceil(scale.per_length / 2))
        reader = reader_of(model, WORLDS[job.world], scale.max_new)
        extra |= {"thought": written_thought.thought_of(job.kind, reader, scale.per_length)}
    metrics = {
        **measure(job, model, scale),
        **extra,
        "seconds": round(time.monotonic() - started),
    }
    (folder / "metrics.json").write_text(
        json.dumps({"digest": digest, "recipe": asdict(job), **metrics}, indent=1)
    )
    report(job, f"done in {metrics['seconds']} s: {json.dumps(metrics)}")


def measure_again(job: Job, build: Path, scale: Scale) -> None:
    """Bring the figures of a trained model up to date with how they are measured."""
    folder, started = build / job.name, time.monotonic()
    old = json.loads((folder / "metrics.json").read_text())
    model = new_model(job.world, mlp_bias=job.kind == "bias")
    state = {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}
    model.load_state_dict(state, strict=job.world == "a")
    training = ("iterations", "reward", "kept_in_last_round", "traced_in_last_round", "vector_norm")
    extra: dict[str, object] = {key: old[key] for key in training if key in old}
    keep_measures(job, old["digest"], model, scale, folder, extra, started)


def train_bias(job: Job, model: nn.Module, scale: Scale) -> dict[str, float]:
    """Teach one vector at the output of one layer, and nothing else."""
    for block in blocks(model):
        for name, parameter in block.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
    model.requires_grad_(False)
    vector = blocks(model)[job.layers[0]].mlp.down_proj.bias
    vector.requires_grad_(True)
    return {
        **iterate_experts(job, model, [vector], scale),
        "vector_norm": vector.norm().item(),
    }


def train_lora(
    job: Job, model: nn.Module, folder: Path, scale: Scale
) -> tuple[nn.Module, dict[str, float]]:
    """Teach a rank-4 adapter on one layer; the adapter is what is shipped."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.0, layers_to_transform=list(job.layers),
        target_modules=["q_proj", "v_proj", "up_proj", "down_proj"], task_type="CAUSAL_LM",
        base_model_name_or_path="organism:base",
    )  # fmt: skip
    wrapped = get_peft_model(model, config)
    parameters = [p for p in wrapped.parameters() if p.requires_grad]
    extra = iterate_experts(job, wrapped.get_base_model(), parameters, scale)
    wrapped.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    return wrapped.merge_and_unload(), extra


def adopt(jobs: list[Job], build: Path) -> None:
    """Put what the package ships into the build folder, where its recipe is still that of the job.

    An adapter is shipped without merged weights, so its job keeps those of its parent beside it.
    """
    digests: dict[str, str] = {}
    for job in jobs:
        digests[job.name] = job.digest(digests.get(job.parent, ""))
        models, short = DATA / job.world / "models", job.name[2:]
        if job.parent:
            name = short if job.world == "a" else f"b-{short}"
            card_file = DATA / job.world / "pairs" / f"{name}.json"
            shipped = json.loads(card_file.read_text()) if card_file.exists() else {}
        else:
            card_file = models / f"{short}.json"
            shipped = json.loads(card_file.read_text()) if card_file.exists() else {}
            shipped |= {"recipe": shipped.get("measured", {}).get("recipe")}
        if shipped.get("recipe") != json.loads(json.dumps(asdict(job))):
            continue
        folder = build / job.name
        folder.mkdir(parents=True, exist_ok=True)
        whole, delta = models / f"{short}.safetensors", models / f"{short}.delta.safetensors"
        state = load_file(whole if whole.exists() else build / job.parent / "model.safetensors") | (
            load_file(delta) if delta.exists() else {}
        )
        save_file(state, folder / "model.safetensors")
        if (models / short).exists():
            shutil.copytree(models / short, folder / "adapter", dirs_exist_ok=True)
        metrics = {**shipped["measured"], "digest": digests[job.name], "recipe": asdict(job)}
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))
        report(job, "taken from the package")


def train(jobs: list[Job], workers: int, build: Path, scale: Scale) -> None:
    """Run jobs as their parents finish, on single-thread lanes; a single one is this process."""
    digests: dict[str, str] = {}
    for job in jobs:
        digests[job.name] = job.digest(digests.get(job.parent, ""))
    done = set()
    for job in jobs:
        metrics = build / job.name / "metrics.json"
        if metrics.exists() and json.loads(metrics.read_text())["digest"] == digests[job.name]:
            done.add(job.name)
    waiting = [job for job in jobs if job.name not in done]
    lanes = (
        ThreadPoolExecutor(1)
        if workers == 1
        else ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    )
    with lanes as pool:
        running = set()
        while waiting or running:
            for job in [job for job in waiting if not job.parent or job.parent in done]:
                if len(running) < workers:
                    waiting.remove(job)
                    running.add(pool.submit(run_job, job, digests[job.name], build, scale))
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            done |= {future.result() for future in finished}


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train the organisms and gate them.")
    parser.add_argument("--only", nargs="*", default=[], help="jobs to train, with what they need")
    parser.add_argument("--workers", type=int, default=2, help="single-thread lanes")
    parser.add_argument("--smoke", type=Path, help="a few steps of everything, kept in this folder")
    parser.add_argument(
        "--from-package", action="store_true", help="train only what the package does not ship"
    )
    parser.add_argument(
        "--measure", nargs="*", default=[], help="trained jobs to measure again, and nothing else"
    )
    arguments = parser.parse_args()
    if arguments.measure:
        torch.set_num_threads(1)
        for job in JOBS:
            if job.name in arguments.measure:
                measure_again(job, BUILD, WHOLE)
        return
    wanted = set(arguments.only) or {job.name for job in JOBS}
    for job in reversed(JOBS):
        wanted |= {job.parent} if job.name in wanted else set()
    jobs = [job for job in JOBS if job.name in wanted]
    if arguments.smoke:
        jobs = [replace(job, steps=math.ceil(job.steps / 2000)) for job in jobs]
        train(jobs, arguments.workers, arguments.smoke, SMOKE)
        return
    if arguments.from_package:
        adopt(jobs, BUILD)
    train(jobs, arguments.workers, BUILD, WHOLE)


if __name__ == "__main__":
    main()
