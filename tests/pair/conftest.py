"""Checkpoints and pairs that the tests of this room share."""

import os

# Before anything imports the hub client: a test that misses a file must fail, not look online.
os.environ["HF_HUB_OFFLINE"] = "1"

from collections.abc import Callable
from pathlib import Path

import pytest

from elicit.pair import ModelPair, load_pair
from tests import checkpoints

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


@pytest.fixture(params=checkpoints.ARCHITECTURES)
def architecture(request) -> str:
    """Each of the ten architectures."""
    return request.param


@pytest.fixture(scope="session")
def llama(written) -> Path:
    """A Llama checkpoint: the base of most refusals."""
    return written("llama", seed=1)
