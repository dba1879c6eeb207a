"""Names of organisms to the files that they are made of."""

import difflib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from elicit.organisms.errors import OrganismError

DATA = Path(__file__).parent / "data"
PREFIX = "organism:"


@dataclass(frozen=True)
class OrganismModel:
    """One model of the catalogue, not yet in memory."""

    name: str
    """As the user writes it, e.g. `organism:b-rl`."""
    world: Path
    """Folder of the world: config, tokenizer, task files and weights."""
    variant: str
    """Name of the weights in the world's `models` folder."""


@dataclass(frozen=True)
class OrganismPair:
    """A base, its post-trained sibling, and what was planted between them."""

    name: str
    base: OrganismModel
    post: OrganismModel
    truth: dict
    """The card: family, planted layers, gates with their figures, recipe."""

    @property
    def problems(self) -> Path:
        """Task file of the problems that show what was planted; mostly chained arithmetic."""
        return self.base.world / "tasks" / self.truth.get("problems", "problems.jsonl")

    @property
    def facts(self) -> Path:
        """Task file of the facts that the base knows."""
        return self.base.world / "tasks" / "facts.jsonl"


def is_organism(name: object) -> bool:
    """Whether a model is named as an organism."""
    return isinstance(name, str) and name.startswith(PREFIX)


@cache
def _cards() -> dict[str, Path]:
    return {path.stem: path for path in sorted(DATA.glob("*/pairs/*.json"))}


def names() -> tuple[str, ...]:
    """Every embedded pair, without the prefix."""
    return tuple(_cards())


def resolve(name: str) -> OrganismPair:
    """The pair of a name such as `organism:rl`.

    Raises:
        OrganismError: No such pair; close names are suggested.
    """
    short = name.removeprefix(PREFIX)
    if short not in _cards():
        raise OrganismError(_unknown(short, list(_cards())))
    card = _cards()[short]
    truth = json.loads(card.read_text(encoding="utf-8"))
    world = card.parent.parent
    return OrganismPair(
        name=f"{PREFIX}{short}",
        base=OrganismModel(name=PREFIX + truth["base"], world=world, variant=truth["base_weights"]),
        post=OrganismModel(name=PREFIX + short, world=world, variant=truth["post_weights"]),
        truth=truth,
    )


def resolve_model(name: str) -> OrganismModel:
    """One model: a pair's post by the pair's name, or a base (`organism:base`).

    Raises:
        OrganismError: No such model.
    """
    short = name.removeprefix(PREFIX)
    if short in _cards():
        return resolve(name).post
    bases = {
        (pair := resolve(known)).base.name.removeprefix(PREFIX): pair.base for known in _cards()
    }
    if short not in bases:
        raise OrganismError(_unknown(short, [*_cards(), *bases]))
    return bases[short]


def _unknown(short: str, known: list[str]) -> str:
    close = difflib.get_close_matches(short, known, n=3)
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    return (
        f"there is no organism named {short!r} among the {len(known)} embedded ones, so nothing "
        f"can be loaded. "
        f"{hint}`elicit organisms` lists them all."
    )
