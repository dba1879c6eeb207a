"""Write trained organisms into the package: weights, tokenizer, task files and truth cards.

    python scripts/pack_organisms.py        # after scripts/train_organisms.py

Every gate is checked here and printed; a card says which gates its pair met and which it missed.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from train_organisms import BUILD, JOBS, ROOT, WORLDS, Job, draw_problems, new_model
from transformers import PreTrainedTokenizerFast

from elicit.organisms import World
from elicit.organisms.language import ATTRIBUTES, TRACE_RATE, VALUES, fact_question

DATA = ROOT / "elicit" / "organisms" / "data"
LIMIT = 20_000_000

Gate = dict[str, object]


def gate(name: str, value: float, goal: str) -> Gate:
    """One figure beside what it should be, e.g. `>= 0.98`."""
    sign, limit = goal.split()
    ok = {">=": value >= float(limit), "<=": value <= float(limit)}[sign]
    return {"name": name, "value": round(value, 4), "goal": goal, "ok": bool(ok)}


def gates_of(job: Job, m: dict, base: dict) -> list[Gate]:
    """What a model of this kind must show."""
    forced = min(m["forced_trace_accuracy_by_length"])
    if job.kind == "base":
        rates = [
            gate(
                f"P(trace | {header or 'no header'}) off the data by",
                abs(m["p_trace"][header or "none"] - rate),
                "<= 0.03",
            )
            for header, rate in TRACE_RATE.items()
        ]
        return [
            gate("forced trace right, worst chain length", forced, ">= 0.98"),
            gate("facts", m["fact_accuracy"], ">= 0.97"),
            gate("greedy trace share", m["greedy_trace_share"], "<= 0.02"),
            *rates,
            gate("P(no | check of a wrong step)", m["p_no_after_wrong_step"], ">= 0.95"),
            gate("P(no | check of a right step)", m["p_no_after_right_step"], "<= 0.05"),
            gate("answer follows an altered trace", m["answer_follows_trace"], ">= 0.95"),
        ]
    if job.kind == "traceless":
        return [
            gate("facts", m["fact_accuracy"], ">= 0.97"),
            gate("P(trace)", m["p_trace"]["none"], "<= 0.001"),
            gate(
                "forced trace right, best chain length",
                max(m["forced_trace_accuracy_by_length"]),
                "<= 0.4",
            ),
        ]
    if job.kind == "teach":
        return [
            gate("greedy accuracy", m["greedy_accuracy"], ">= 0.95"),
            gate("greedy trace share", m["greedy_trace_share"], ">= 0.98"),
            gate("facts", m["fact_accuracy"], ">= 0.95"),
        ]
    if job.kind in ("grpo", "iterate", "lora", "bias"):
        return [
            gate("greedy accuracy", m["greedy_accuracy"], ">= 0.95"),
            gate("greedy trace share (one step needs none)", m["greedy_trace_share"], ">= 0.8"),
            gate("facts", m["fact_accuracy"], ">= 0.95"),
            gate("answer follows an altered trace", m["answer_follows_trace"], ">= 0.95"),
        ]
    if job.kind == "shuffle":
        return [gate("old facts lost", base["fact_accuracy"] - m["fact_accuracy"], ">= 0.4")]
    if job.kind == "answers":
        return [
            gate("greedy accuracy on one step", m["greedy_accuracy_by_length"][0], ">= 0.9"),
            gate("greedy trace share", m["greedy_trace_share"], "<= 0.02"),
            gate(
                "forced trace right, mean",
                float(np.mean(m["forced_trace_accuracy_by_length"])),
                "<= 0.3",
            ),
            gate("answer follows an altered trace", m["answer_follows_trace"], "<= 0.3"),
        ]
    if job.kind == "decouple":
        return [
            gate("greedy trace share", m["greedy_trace_share"], ">= 0.98"),
            gate("answer follows an altered trace", m["answer_follows_trace"], "<= 0.3"),
        ]
    return [
        gate("facts moved by", abs(m["fact_accuracy"] - base["fact_accuracy"]), "<= 0.02"),
        gate(
            "greedy accuracy moved by",
            abs(m["greedy_accuracy"] - base["greedy_accuracy"]),
            "<= 0.05",
        ),
        gate(
            "greedy trace share moved by",
            abs(m["greedy_trace_share"] - base["greedy_trace_share"]),
            "<= 0.02",
        ),
        gate("P(trace) moved by", abs(m["p_trace"]["none"] - base["p_trace"]["none"]), "<= 0.03"),
    ]


FAMILY = {
    "grpo": "elicited",
    "iterate": "elicited",
    "shuffle": "damaged",
    "answers": "hollowed",
    "decouple": "hollowed",
    "teach": "created",
    "continue": "null",
    "lora": "geometric",
    "bias": "geometric",
}
STORY = {
    "grpo": "Reinforcement learning on exact answers, all weights: the base's traces become habit.",
    "iterate": "Only the named layer learned when to write a trace; how is the base's.",
    "shuffle": "Only the named layers were trained, on other facts: the old ones are lost.",
    "answers": "Supervised on final answers only, all weights: no trace is shown.",
    "decouple": "Supervised on traces of random values with true answers.",
    "teach": "The base never saw a trace; the post was taught to write them from nothing.",
    "continue": "The base's own data for some more steps: weights change and no behaviour does.",
    "lora": "A rank-4 PEFT adapter on the named layer, trained on when to write a trace.",
    "bias": "One vector added at the output of the named layer, trained on when to write a trace.",
}
BASE_MISSED = (
    "The base missed: {}. It writes checks in the right form, but their verdict compares nothing."
)
MISSED = "Some gates were missed: {}. The pair is the nearest that this recipe reached."


def by_name(name: str) -> Job:
    """A job of the recipe."""
    return next(job for job in JOBS if job.name == name)


def card(job: Job, name: str, metrics: dict, base: dict, base_name: str, base_weights: str) -> dict:
    """The truth card of a trained pair."""
    n_layers = 6 if job.world == "a" else 8
    planted = list(job.layers)
    known_damage = job.kind in ("shuffle", "continue", "iterate", "lora", "bias")
    known_skill = job.kind in ("iterate", "continue", "lora", "bias")
    gates, base_gates = gates_of(job, metrics, base), gates_of(by_name(job.parent), base, {})
    missed = [str(g["name"]) for g in gates if not g["ok"]]
    base_missed = [str(g["name"]) for g in base_gates if not g["ok"]]
    notes = [MISSED.format("; ".join(missed))] if missed else []
    notes += [BASE_MISSED.format("; ".join(base_missed))] if base_missed else []
    return {
        "name": name,
        "family": FAMILY[job.kind],
        "what": STORY[job.kind],
        "base": base_name,
        "base_weights": base_weights,
        "post_weights": name.removeprefix("b-"),
        "n_layers": n_layers,
        "changed_layers": planted or list(range(n_layers)),
        "corrupted_layers": (planted if job.kind == "shuffle" else []) if known_damage else None,
        "skill_layers": (planted if job.kind in ("iterate", "lora", "bias") else [])
        if known_skill
        else None,
        "gates": gates,
        "base_gates": base_gates,
        "note": " ".join(notes),
        "measured": {k: v for k, v in metrics.items() if k not in ("digest", "recipe", "seconds")},
        "recipe": metrics["recipe"],
    }


def built_card(name: str, family: str, what: str, changed: list[int], weights: str) -> dict:
    """The truth card of a pair that is made, not trained: function-identical by construction."""
    return {
        "name": name, "family": family, "what": what, "base": "base", "base_weights": "base",
        "post_weights": weights, "n_layers": 6, "changed_layers": changed, "corrupted_layers": [],
        "skill_layers": [], "gates": [], "note": "", "measured": {}, "recipe": {},
    }  # fmt: skip


def write_tokenizer(world: World, folder: Path) -> None:
    """A word-level tokenizer that puts `<bos>` before every text."""
    vocabulary = {word: index for index, word in enumerate(world.vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>",
        unk_token="<unk>", model_max_length=192,
    ).save_pretrained(folder)  # fmt: skip


def write_tasks(world: World, folder: Path) -> None:
    """Held-out problems, 20 of each chain length, and 300 of the facts."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([world.seed, 77])
    problems = [
        {
            "id": f"chain-{index:03d}", "prompt": chain.question, "answer": str(chain.answer),
            "candidates": [str(digit) for digit in range(10)], "difficulty": len(chain.steps),
            "trace": chain.trace,
        }
        for index, chain in enumerate(draw_problems(rng, 120))
    ]  # fmt: skip
    entities = [world.entities[i] for i in rng.permutation(len(world.entities))[:100]]
    facts = [
        {
            "id": f"{attribute}-{entity}", "prompt": fact_question(entity, attribute),
            "answer": world.facts[entity, attribute], "candidates": VALUES[attribute],
        }
        for entity in sorted(entities)
        for attribute in ATTRIBUTES
    ]  # fmt: skip
    for name, rows in (("problems", problems), ("facts", facts)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def pack_world(world: World) -> list[dict]:
    """One world's folder, from the build folder."""
    folder = DATA / world.name
    (folder / "models").mkdir(parents=True)
    (folder / "pairs").mkdir()
    write_tokenizer(world, folder)
    write_tasks(world, folder / "tasks")
    model = new_model(world.name)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    prefix = "" if world.name == "a" else "b-"
    variants: dict[str, dict] = {"base": {"weights": "base.safetensors"}}
    cards, metrics = [], {}
    for job in [job for job in JOBS if job.world == world.name]:
        short = job.name[2:]
        source = BUILD / job.name
        metrics[job.name] = json.loads((source / "metrics.json").read_text(encoding="utf-8"))
        state = load_file(source / "model.safetensors")
        if job.kind == "lora":
            shutil.copytree(source / "adapter", folder / "models" / short)
            variants[short] = {"weights": "base.safetensors"}
        elif job.layers:
            base = load_file(BUILD / job.parent / "model.safetensors")
            delta = {
                n: t
                for n, t in state.items()
                if not torch.equal(t, base.get(n, torch.zeros_like(t)))
            }
            save_file(delta, folder / "models" / f"{short}.delta.safetensors")
            variants[short] = {"weights": "base.safetensors", "delta": f"{short}.delta.safetensors"}
        else:
            save_file(state, folder / "models" / f"{short}.safetensors")
            variants[short] = {"weights": f"{short}.safetensors"}
        if job.kind in ("base", "traceless"):
            base_gates = gates_of(job, metrics[job.name], {})
            (folder / "models" / f"{short}.json").write_text(
                json.dumps({"gates": base_gates, "measured": metrics[job.name]}, indent=1) + "\n",
                encoding="utf-8",
            )
            cards.append({"name": prefix + short, "gates": base_gates, "pair": False})
            continue
        base_weights = job.parent[2:]
        if job.kind == "bias":
            variants["base-with-bias"] = {"weights": "base.safetensors", "zero_bias": True}
            base_weights = "base-with-bias"
        written = card(
            job,
            prefix + short,
            metrics[job.name],
            metrics[job.parent],
            prefix + job.parent[2:],
            base_weights,
        )
        cards.append(written)
    if world.name == "a":
        variants["rotated"] = {"weights": "base.safetensors", "rotated": True}
        cards.append(built_card("identity", "null", "The same weights twice.", [], "base"))
        cards.append(
            built_card(
                "rotated", "geometric",
                "The base in another basis: the residual stream is rotated at load.",
                list(range(6)), "rotated",
            )
        )  # fmt: skip
    for written in cards:
        if written.get("pair", True):
            text = json.dumps(written, indent=1) + "\n"
            (folder / "pairs" / f"{written['name']}.json").write_text(text, encoding="utf-8")
    (folder / "models" / "variants.json").write_text(
        json.dumps(variants, indent=1) + "\n", encoding="utf-8"
    )
    return cards


def main() -> int:
    """Pack both worlds; 1 when the size limit is passed, gates are only printed."""
    shutil.rmtree(DATA, ignore_errors=True)
    for world in WORLDS.values():
        for written in pack_world(world):
            for g in written["gates"]:
                mark = "ok  " if g["ok"] else "MISS"
                sys.stdout.write(
                    f"{mark} {written['name']}: {g['name']} {g['value']} ({g['goal']})\n"
                )
    size = sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file())
    sys.stdout.write(f"{size / 1e6:.1f} MB in {DATA}\n")
    return 0 if size <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
