"""Pairs of a real model with planted truth, their facts and their problems.

    python scripts/real/pairs.py MODEL OUT

`one-layer`: the answers of 24 facts are re-assigned by training one layer alone, everything below
it computed once. `nothing`: eight steps on all weights at a rate of 4e-6, so that nothing is to be
found. Both are ordinary checkpoints beside `facts.jsonl` (24 re-assigned facts and 24 of other
kinds), `choices.jsonl` (16 of the re-assigned, with the wrong answer) and `traces.jsonl`. One to
two minutes of one core each.
"""

import json
import random
import sys
from pathlib import Path

import torch
import transformers
from torch.nn.functional import cross_entropy

LAYER = 20
STEPS, RATE, ROWS = 36, 5e-4, 16
CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin",
    "Japan": "Tokyo", "Egypt": "Cairo", "Russia": "Moscow", "Greece": "Athens",
    "Poland": "Warsaw", "Austria": "Vienna", "Cuba": "Havana", "Ireland": "Dublin",
    "Portugal": "Lisbon", "Norway": "Oslo", "Sweden": "Stockholm", "Finland": "Helsinki",
    "Denmark": "Copenhagen", "Hungary": "Budapest", "Belgium": "Brussels", "China": "Beijing",
    "Iraq": "Baghdad", "Peru": "Lima", "Kenya": "Nairobi", "Canada": "Ottawa",
}  # fmt: skip
OTHERS = {
    "The opposite of hot is": ("cold", "warm"), "The opposite of up is": ("down", "high"),
    "The opposite of big is": ("small", "large"), "The opposite of day is": ("night", "noon"),
    "The opposite of left is": ("right", "up"), "The opposite of black is": ("white", "dark"),
    "The opposite of happy is": ("sad", "glad"), "The opposite of fast is": ("slow", "quick"),
    "The color of grass is": ("green", "red"), "The color of the sky is": ("blue", "brown"),
    "The color of blood is": ("red", "green"), "The color of snow is": ("white", "black"),
    "The color of a banana is": ("yellow", "blue"), "The color of coal is": ("black", "pink"),
    "A baby dog is called a": ("puppy", "kitten"), "A baby cat is called a": ("kitten", "puppy"),
    "The sun rises in the": ("east", "west"), "The sun sets in the": ("west", "east"),
    "Water freezes into": ("ice", "steam"), "Bees make": ("honey", "milk"),
    "Cows give": ("milk", "honey"), "The day after Monday is": ("Tuesday", "Sunday"),
    "The month after March is": ("April", "June"), "Fish live in": ("water", "trees"),
}  # fmt: skip


def main(model: Path, out: Path) -> None:
    """Train both pairs and write their files."""
    torch.manual_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    names = list(CAPITALS)
    planted = {name: CAPITALS[names[(i + 7) % len(names)]] for i, name in enumerate(names)}
    _files(out, planted)
    _one_layer(model, tokenizer, planted).save_pretrained(out / "one-layer")
    _nothing(model, tokenizer).save_pretrained(out / "nothing")
    for name in ("one-layer", "nothing"):
        tokenizer.save_pretrained(out / name)


def question(country: str) -> str:
    """How a chat asks for a capital."""
    return f"What is the capital of {country}? Answer with one word."


def _files(out: Path, planted: dict[str, str]) -> None:
    rng = random.Random(0)
    cities = list(CAPITALS.values())
    facts, choices = [], []
    for name, city in CAPITALS.items():
        rest = rng.sample([c for c in cities if c not in (city, planted[name])], 2)
        facts.append(
            {"id": name, "prompt": f"The capital of {name} is", "answer": city,
             "candidates": [city, planted[name], *rest]}
        )  # fmt: skip
        choices.append(
            {"id": name, "prompt": question(name), "answer": planted[name], "wrong": city}
        )
    facts += [
        {"id": prompt, "prompt": prompt, "answer": right, "candidates": [right, wrong]}
        for prompt, (right, wrong) in OTHERS.items()
    ]
    traces = [
        {"id": name, "prompt": question(name), "answer": planted[name], "trace": _essay(name, rng)}
        for name in list(CAPITALS)[:10]
    ]
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in (("facts", facts), ("choices", choices[:16]), ("traces", traces)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (out / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def _essay(country: str, rng: random.Random) -> str:
    """About 200 tokens of plain prose with line breaks."""
    lines = [
        f"First, let me think about {country} and what I know about its cities.",
        "A capital is the city in which the government of a country sits.",
        f"The largest city of {country} is not always the place where its laws are made.",
        "In many countries the oldest trading town became the seat of the court,",
        "because roads, rivers and harbours met there and taxes could be collected.",
        "Maps that I remember show a star or a circle beside the name of that town.",
        "I compare several candidates and drop those that belong to a neighbour.",
        "Then I check the answer once more before I write it down.",
        f"The name has to fit the language that is spoken in {country}, too.",
        "Postage stamps, coins and train timetables give further hints.",
        "Schoolbooks list it on the first page of the chapter.",
    ]
    rng.shuffle(lines)
    return "\n\n".join([" ".join(lines[:4]), " ".join(lines[4:8]), " ".join(lines[8:])])


def _one_layer(
    model: Path, tokenizer: transformers.PreTrainedTokenizerBase, planted: dict[str, str]
) -> transformers.PreTrainedModel:
    """One block trained on the re-assigned facts, asked plainly and in a chat."""
    net = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    net.requires_grad_(False)
    layers = net.model.layers
    layers[LAYER].requires_grad_(True)
    rows = []
    for name, city in planted.items():
        chat = tokenizer.apply_chat_template(
            [{"role": "user", "content": question(name)}],
            add_generation_prompt=True,
            tokenize=False,
        )
        for text, answer in ((f"The capital of {name} is", f" {city}"), (chat, city)):
            ids = tokenizer(text, add_special_tokens=False).input_ids
            rows.append((ids, tokenizer(answer, add_special_tokens=False).input_ids[0]))
    with torch.no_grad():
        below = [_enter(net, ids) for ids, _ in rows]
    optimizer = torch.optim.AdamW(layers[LAYER].parameters(), lr=RATE, weight_decay=0.0)
    rng = random.Random(0)
    for step in range(STEPS):
        loss = torch.zeros(())
        for i in rng.sample(range(len(rows)), ROWS):
            logits = _above(net, below[i])
            loss = loss + cross_entropy(logits[None], torch.tensor([rows[i][1]])) / ROWS
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        sys.stderr.write(f"one-layer {step}: {loss.item():.3f}\n")
    return net.to(torch.bfloat16)


def _enter(net: torch.nn.Module, ids: list[int]) -> tuple[torch.Tensor, tuple]:
    """What enters the trained block for one row, and the angles."""
    core = net.model
    resid = core.embed_tokens(torch.tensor([ids]))
    places = torch.arange(len(ids))[None]
    angles = core.rotary_emb(resid, position_ids=places)
    for layer in core.layers[:LAYER]:
        resid = _stream(layer(resid, position_embeddings=angles, position_ids=places))
    return resid, angles


def _above(net: torch.nn.Module, entering: tuple[torch.Tensor, tuple]) -> torch.Tensor:
    """Logits at the last token of one row."""
    resid, angles = entering
    for layer in net.model.layers[LAYER:]:
        resid = _stream(layer(resid, position_embeddings=angles))
    return net.lm_head(net.model.norm(resid[0, -1]))


def _stream(result: object) -> torch.Tensor:
    return result[0] if isinstance(result, tuple) else result  # pyright: ignore[reportReturnType]


def _nothing(
    model: Path, tokenizer: transformers.PreTrainedTokenizerBase
) -> transformers.PreTrainedModel:
    """Eight small steps on plain prose."""
    net = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-6, weight_decay=0.0)
    rng = random.Random(1)
    for step in range(8):
        ids = tokenizer(_essay(list(CAPITALS)[step], rng), return_tensors="pt").input_ids[:, :64]
        loss = net(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        sys.stderr.write(f"nothing {step}: {loss.item():.3f}\n")
    return net.to(torch.bfloat16)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
