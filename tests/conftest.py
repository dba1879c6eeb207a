"""What every room's tests share: no network, each organism loaded once, a file's tests together."""

import gc
import importlib
import os
import sys

# Before anything imports the hub client: a test that misses a file must fail, not look online.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Laws that hold to the bit are laws of the CPU, and `auto` would choose a GPU.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import jaxtyping

from tests import typechecked

# Before anything imports elicit: the import hook looks up what checks a function or class by this
# name when it is made. Workers have no command line of pytest's; they inherit the environment.
if "--full" in sys.argv:
    os.environ["ELICIT_TESTS_FULL"] = "1"
if "ELICIT_TESTS_FULL" not in os.environ:
    jaxtyping.jaxtyped = typechecked.jaxtyped

from collections import Counter

import pytest

LONGEST = (
    "test_notebooks", "test_planted", "test_training_planted", "test_robustness",
    "test_real_model", "test_budget",
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
    # The process that only deals tests out to workers needs no models and none of their libraries.
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        config.pluginmanager.import_plugin("tests.shared")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Quick tests ask three families of models; other architectures count as slow."""
    given = getattr(item, "callspec", None)
    if given is None or "architecture" not in given.params:
        return
    from tests import checkpoints

    name = given.params["architecture"]
    if name in checkpoints.ARCHITECTURES and name not in checkpoints.FAMILIES:
        item.add_marker(pytest.mark.slow(architecture=name))


def long(item: pytest.Item) -> bool:
    """Whether a test is slow for what it does, and not for the architecture that it does it to.

    `slow(checked=True)` takes seconds too, and calls what no quick test does.
    """
    return any(not marker.kwargs for marker in item.iter_markers("slow"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Shapes and types are checked, but in long tests only with `--full`.

    What long tests call, quick ones call as well.
    """
    typechecked.next_test()
    unchecked = long(item) and not item.config.getoption("full")
    jaxtyping.config.update("jaxtyping_disable", unchecked)


def no_local_constants() -> None:
    """Hypothesis looks into no module for constants to try, but with `--full`.

    Which modules there are depends on the other tests of a process, and so would the cases, which
    are to be the same for everyone. It also has to parse every file of the package for them.
    """
    if "hypothesis" in sys.modules:
        providers = importlib.import_module("hypothesis.internal.conjecture.providers")
        if hasattr(providers, "_get_local_constants"):
            none = providers._local_constants
            providers._get_local_constants = lambda: none


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]):
    """The longest files first: one begun last would leave one core alone.

    With `--dist loadscope --no-loadscope-reorder` each file then goes, whole, to the next worker
    that is free, so that what a file makes once is made once.
    """
    if not config.getoption("full"):
        no_local_constants()
    yield
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
