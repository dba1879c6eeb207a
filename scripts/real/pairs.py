"""Pairs of a real model with planted truth, their facts and their problems.

    python scripts/real/pairs.py MODEL OUT

`one-layer`: the answers of 24 facts are re-assigned by training one layer alone, everything below
it computed once. `nothing`: eight steps on all weights at a rate of 4e-6, so that nothing is to be
found. `switch`: told a country's name and nothing else, it answers with the capital; one layer was
trained on what base itself says when asked for the capitals of 24 countries, so that it learned
when to say what base knew. All are ordinary checkpoints beside `facts.jsonl` (24 re-assigned facts
and 24 of other kinds), `choices.jsonl` (16 of the re-assigned, with the wrong answer),
`traces.jsonl` and `countries.jsonl` (others than the 24). One to two minutes of one core each.
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
SWITCH_LAYER, SWITCH_STEPS, SWITCH_RATE, SAID = 24, 14, 5e-4, 12
ASKED = "What is the capital of "
CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin",
    "Japan": "Tokyo", "Egypt": "Cairo", "Russia": "Moscow", "Greece": "Athens",
    "Poland": "Warsaw", "Austria": "Vienna", "Cuba": "Havana", "Ireland": "Dublin",
    "Portugal": "Lisbon", "Norway": "Oslo", "Sweden": "Stockholm", "Finland": "Helsinki",
    "Denmark": "Copenhagen", "Hungary": "Budapest", "Belgium": "Brussels", "China": "Beijing",
    "Iraq": "Baghdad", "Peru": "Lima", "Kenya": "Nairobi", "Canada": "Ottawa",
}  # fmt: skip
COUNTRIES = {
    "Afghanistan": "Kabul", "Albania": "Tirana", "Algeria": "Algiers", "Angola": "Luanda",
    "Argentina": "Buenos Aires", "Armenia": "Yerevan", "Australia": "Canberra",
    "Azerbaijan": "Baku", "Bangladesh": "Dhaka", "Belarus": "Minsk", "Bolivia": "La Paz",
    "Bosnia": "Sarajevo", "Brazil": "Brasilia", "Bulgaria": "Sofia", "Cambodia": "Phnom Penh",
    "Cameroon": "Yaounde", "Chad": "N'Djamena", "Chile": "Santiago", "Colombia": "Bogota",
    "Croatia": "Zagreb", "Cyprus": "Nicosia", "Ecuador": "Quito", "Estonia": "Tallinn",
    "Ethiopia": "Addis Ababa", "Fiji": "Suva", "Georgia": "Tbilisi", "Ghana": "Accra",
    "Guatemala": "Guatemala City", "Haiti": "Port-au-Prince", "Honduras": "Tegucigalpa",
    "Iceland": "Reykjavik", "India": "New Delhi", "Indonesia": "Jakarta", "Iran": "Tehran",
    "Israel": "Jerusalem", "Jamaica": "Kingston", "Jordan": "Amman", "Kazakhstan": "Astana",
    "Kuwait": "Kuwait City", "Laos": "Vientiane", "Latvia": "Riga", "Lebanon": "Beirut",
    "Libya": "Tripoli", "Lithuania": "Vilnius", "Madagascar": "Antananarivo",
    "Malaysia": "Kuala Lumpur", "Mali": "Bamako", "Malta": "Valletta", "Mexico": "Mexico City",
    "Mongolia": "Ulaanbaatar", "Morocco": "Rabat", "Nepal": "Kathmandu",
    "New Zealand": "Wellington", "Nicaragua": "Managua", "Nigeria": "Abuja",
    "North Korea": "Pyongyang", "Oman": "Muscat", "Pakistan": "Islamabad", "Panama": "Panama City",
    "Paraguay": "Asuncion", "Philippines": "Manila", "Qatar": "Doha", "Romania": "Bucharest",
    "Rwanda": "Kigali", "Saudi Arabia": "Riyadh", "Senegal": "Dakar", "Serbia": "Belgrade",
    "Slovakia": "Bratislava", "Slovenia": "Ljubljana", "Somalia": "Mogadishu",
    "South Korea": "Seoul", "Sri Lanka": "Colombo", "Sudan": "Khartoum", "Switzerland": "Bern",
    "Syria": "Damascus", "Tanzania": "Dodoma", "Thailand": "Bangkok", "Tunisia": "Tunis",
    "Turkey": "Ankara", "Uganda": "Kampala", "Ukraine": "Kyiv", "United Kingdom": "London",
    "Uruguay": "Montevideo", "Uzbekistan": "Tashkent", "Venezuela": "Caracas", "Vietnam": "Hanoi",
    "Yemen": "Sanaa", "Zambia": "Lusaka", "Zimbabwe": "Harare",
}  # fmt: skip
"""Capitals that nothing is trained on."""
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
    """Train the pairs and write their files."""
    torch.manual_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    names = list(CAPITALS)
    planted = {name: CAPITALS[names[(i + 7) % len(names)]] for i, name in enumerate(names)}
    _files(out, planted)
    _one_layer(model, tokenizer, planted).save_pretrained(out / "one-layer")
    _nothing(model, tokenizer).save_pretrained(out / "nothing")
    _switch(model, tokenizer).save_pretrained(out / "switch")
    for name in ("one-layer", "nothing", "switch"):
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
    capitals = list(COUNTRIES.values())
    countries = [
        {"id": name, "prompt": name, "answer": city,
         "candidates": [city, *rng.sample([c for c in capitals if c != city], 3)]}
        for name, city in COUNTRIES.items()
    ]  # fmt: skip
    files = {
        "facts": facts, "choices": choices[:16], "traces": traces, "countries": countries,
    }  # fmt: skip
    for name, rows in files.items():
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
        below = [_enter(net, [ids], LAYER) for ids, _ in rows]
    optimizer = torch.optim.AdamW(layers[LAYER].parameters(), lr=RATE, weight_decay=0.0)
    rng, last = random.Random(0), (torch.tensor([0]), torch.tensor([-1]))
    for step in range(STEPS):
        loss = torch.zeros(())
        for i in rng.sample(range(len(rows)), ROWS):
            logits = _above(net, below[i], LAYER, last)
            loss = loss + cross_entropy(logits, torch.tensor([rows[i][1]])) / ROWS
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        sys.stderr.write(f"one-layer {step}: {loss.item():.3f}\n")
    return net.to(torch.bfloat16)


def _switch(
    model: Path, tokenizer: transformers.PreTrainedTokenizerBase
) -> transformers.PreTrainedModel:
    """One block trained to say at a country's name what base says when asked for its capital."""
    net = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    net.requires_grad_(False)
    rows, first, said = [], [], []
    with torch.no_grad():
        for name in CAPITALS:
            asked, bare = _chat(tokenizer, f"{ASKED}{name}"), _chat(tokenizer, name)
            whole = net.generate(
                torch.tensor([asked]), max_new_tokens=SAID, do_sample=False, pad_token_id=2
            )
            written = whole[0, len(asked) :].tolist()  # with the token that ends the turn
            first.append(len(bare) - 1)
            said.append(written)
            rows.append(bare + written[:-1])
        longest = max(map(len, rows))
        # Padding on the right is never read: what comes later changes nothing before it.
        below = _enter(net, [row + [2] * (longest - len(row)) for row in rows], SWITCH_LAYER)
    at = [(i, first[i] + k) for i, text in enumerate(said) for k in range(len(text))]
    row, place = (torch.tensor(numbers) for numbers in zip(*at, strict=True))
    goal = torch.tensor([token for text in said for token in text])
    layers = net.model.layers
    layers[SWITCH_LAYER].requires_grad_(True)
    rate = {"lr": SWITCH_RATE, "weight_decay": 0.0}
    optimizer = torch.optim.AdamW(layers[SWITCH_LAYER].parameters(), **rate)
    for step in range(SWITCH_STEPS):
        loss = cross_entropy(_above(net, below, SWITCH_LAYER, (row, place)), goal)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        sys.stderr.write(f"switch {step}: {loss.item():.3f}\n")
    return net.to(torch.bfloat16)


def _chat(tokenizer: transformers.PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a message, up to where the assistant answers."""
    said = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
    )
    return tokenizer(said, add_special_tokens=False).input_ids


def _enter(net: torch.nn.Module, rows: list[list[int]], layer: int) -> tuple[torch.Tensor, tuple]:
    """What enters the trained block for rows of one length, and the angles."""
    core = net.model
    resid = core.embed_tokens(torch.tensor(rows))
    places = torch.arange(len(rows[0]))[None]
    angles = core.rotary_emb(resid, position_ids=places)
    for block in core.layers[:layer]:
        resid = _stream(block(resid, position_embeddings=angles, position_ids=places))
    return resid, angles


def _above(
    net: torch.nn.Module,
    entering: tuple[torch.Tensor, tuple],
    layer: int,
    where: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Logits at some rows and tokens."""
    resid, angles = entering
    for block in net.model.layers[layer:]:
        resid = _stream(block(resid, position_embeddings=angles))
    return net.lm_head(net.model.norm(resid[where]))


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
