"""Fixtures of this room."""

from pathlib import Path

import pytest

from tests import checkpoints


@pytest.fixture(params=checkpoints.ARCHITECTURES)
def architecture(request) -> str:
    """Each of the ten architectures."""
    return request.param


@pytest.fixture(scope="session")
def llama(written) -> Path:
    """A Llama checkpoint: the base of most refusals."""
    return written("llama", seed=1)
