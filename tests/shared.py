"""Models and tasks that every room's tests share: each made or loaded once in a process.

A plugin of `tests/conftest.py`, which puts the checks of types in place first.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from elicit import organisms
from elicit.grafting import Score, facts, skills
from elicit.organisms import catalog
from elicit.pair import ModelPair, load_pair
from elicit.tasks import load_task
from tests import checkpoints

# Tiny models: a second thread costs more than it brings.
torch.set_num_threads(1)

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def written(tmp_path_factory) -> Write:
    """Write a checkpoint once: `written("llama", seed=1)` gives its folder."""
    root = tmp_path_factory.mktemp("checkpoints")
    made: dict[str, Path] = {}

    def write(architecture: str = "llama", **options) -> Path:
        key = repr((architecture, sorted(options.items(), key=lambda item: item[0])))
        if key not in made:
            path = root / f"{architecture}{len(made)}"
            made[key] = checkpoints.write(path, architecture, **options)
        return made[key]

    return write


@pytest.fixture(scope="session")
def paired(written) -> Callable[[str], ModelPair]:
    """The pair of two random checkpoints of an architecture, loaded once; leave it as it is."""
    made: dict[str, ModelPair] = {}

    def pair(architecture: str) -> ModelPair:
        if architecture not in made:
            made[architecture] = load_pair(
                written(architecture, seed=1), written(architecture, seed=2)
            )
        return made[architecture]

    return pair


@pytest.fixture(scope="session")
def organism() -> Callable[[str], ModelPair]:
    """An embedded pair by its name, loaded once; leave it as it is."""

    @cache
    def load(name: str) -> ModelPair:
        return load_pair(f"organism:{name}", allow_identical=name == "identity")

    return load


@pytest.fixture(scope="session")
def tasks_of() -> Callable[..., tuple[Score, Score]]:
    """An organism's facts and problems as they are measured by default, a sample of each."""

    @cache
    def load(
        name: str, n_facts: int = 150, n_problems: int = 60, hardest: int = 6
    ) -> tuple[Score, Score]:
        found = organisms.resolve(f"organism:{name}")
        known = load_task(found.facts, name="facts").subset(n_facts, seed=0)
        task = load_task(found.problems, name="problems")
        easy = tuple(problem for problem in task if (problem.difficulty or 0) <= hardest)
        asked = replace(task, problems=easy).subset(n_problems, seed=0)
        return facts(known), skills(asked)

    return load


def files_at(name: object) -> list[tuple[str, int, int]]:
    """What would change if models were written anew: name, size and time of every file."""
    found = sorted(Path(str(name)).rglob("*")) if name is not None else []
    return [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in found if p.is_file()]


@pytest.fixture(scope="session")
def loads_once():
    """The same two models are loaded once for all jobs, which leave them as they are.

    What is refused is refused each time. Commands in a process of their own load theirs.
    """
    from elicit.jobs import _opening as opening

    load = opening.load_pair
    made: dict[str, ModelPair] = {}

    def once(base: str, post: str | None = None, **options) -> ModelPair:
        files = [files_at(name) for name in (base, post)]
        key = repr((base, post, options, files, str(catalog.DATA)))
        if key not in made:
            made[key] = load(base, post, **options)
        return made[key]

    opening.load_pair = once
    yield
    opening.load_pair = load
