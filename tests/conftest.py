"""What every room's tests share: no network, each organism loaded once, a file's tests together."""

import gc
import os
import sys

# Before anything imports the hub client: a test that misses a file must fail, not look online.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import jaxtyping

from tests import typechecked

# Before anything imports elicit: the import hook looks up what checks a function or class by this
# name when it is made. Workers have no command line of pytest's; they inherit the environment.
if "--full" in sys.argv:
    os.environ["ELICIT_TESTS_FULL"] = "1"
if "ELICIT_TESTS_FULL" not in os.environ:
    jaxtyping.jaxtyped = typechecked.jaxtyped

from collections import Counter
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
LONGEST = (
    "test_notebooks", "test_planted", "test_robustness", "test_real_model", "test_budget",
    "test_cli_features", "test_existence", "test_dose", "test_steering", "test_cli_report",
    "test_page", "test_cli_exists", "test_cli_steer", "test_integrated", "test_sweep",
    "test_lanes", "test_cli_revise", "test_cli_patch", "test_path", "test_files", "test_training",
)  # fmt: skip
"""Files that take longer than their number of slow tests says, the longest first."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--full`: nothing is left out to save time."""
    parser.addoption(
        "--full",
        action="store_true",
        help="check shapes and types at every call, in slow tests too, and simulate all data sets",
    )


def pytest_configure(config: pytest.Config) -> None:
    """What the option says must be what was done before it could be read."""
    if config.getoption("full") != ("ELICIT_TESTS_FULL" in os.environ):
        raise pytest.UsageError("Give --full on the command line itself: it is read early.")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Quick tests ask three families of models; other architectures count as slow."""
    given = getattr(item, "callspec", None)
    name = given.params.get("architecture") if given else None
    if name in checkpoints.ARCHITECTURES and name not in checkpoints.FAMILIES:
        item.add_marker(pytest.mark.slow(architecture=name))


def long(item: pytest.Item) -> bool:
    """Whether a test is slow for what it does, and not for the architecture that it does it to."""
    return any(not marker.kwargs for marker in item.iter_markers("slow"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Shapes and types are checked, but in long tests only with `--full`.

    What long tests call, quick ones call as well.
    """
    typechecked.next_test()
    unchecked = long(item) and not item.config.getoption("full")
    jaxtyping.config.update("jaxtyping_disable", unchecked)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: one begun last would leave one core alone.

    With `--dist loadscope --no-loadscope-reorder` each file then goes, whole, to the next worker
    that is free, so that what a file makes once is made once.
    """
    slow = Counter(item.path for item in items if long(item))
    place = {name: n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (place.get(item.path.stem, len(place)), -slow[item.path]))


def pytest_collection_finish() -> None:
    """What was imported lives to the end: no collection of garbage needs to look at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def disk(request):
    """Nothing waits for the disk, but with `--full`: no test cuts the power.

    What a killed process wrote is there for the next one with or without it; that runs ask for it,
    and in which order, is for the tests of `elicit.results` to say.
    """
    with pytest.MonkeyPatch.context() as patched:
        if not request.config.getoption("full"):
            patched.setattr(os, "fsync", lambda _: None)
        yield


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
    from elicit.jobs import _frame as frame

    load = frame.load_pair
    made: dict[str, ModelPair] = {}

    def once(base: str, post: str | None = None, **options) -> ModelPair:
        files = [files_at(name) for name in (base, post)]
        key = repr((base, post, options, files, str(catalog.DATA)))
        if key not in made:
            made[key] = load(base, post, **options)
        return made[key]

    frame.load_pair = once
    yield
    frame.load_pair = load
