"""What the tests of directions share."""

import pytest

from elicit import organisms
from elicit.tasks import load_task


@pytest.fixture(scope="session")
def asked():
    """Problems of world a, in its plain form."""
    return load_task(organisms.resolve("organism:rl").problems).subset(60, seed=0)
