"""Pairs and traces that the tests of revision share."""

import pytest

from elicit import organisms
from elicit.pair import load_pair
from elicit.revision import TokenRows
from elicit.tasks import load_task
from tests.revision import oracle


@pytest.fixture(scope="session")
def depth_pair(written):
    """Two models with the same hand-written depths."""
    options = {"n_layers": oracle.N_LAYERS, "edit": oracle.plant}
    path = written("llama", tied=False, **options)
    return load_pair(path, path, allow_identical=True)


@pytest.fixture(scope="session")
def depth_traces():
    """Every class of the oracle, bos not read."""
    (row,) = oracle.rows()
    return TokenRows(rows=(row,), positions=(tuple(range(1, len(row))),), problem=("oracle",))


@pytest.fixture(scope="session")
def given_of(organism):
    """Given traces of an organism's problems."""

    def given(name: str, n: int = 24) -> TokenRows:
        task = load_task(organisms.resolve(name).problems).subset(n, seed=0)
        return TokenRows.of_task(organism(name).alignment, task)

    return given
