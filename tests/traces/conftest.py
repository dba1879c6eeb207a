"""Readings of embedded pairs, made once."""

from functools import cache, cached_property

import pytest

from elicit import organisms
from elicit.pair import ModelPair
from elicit.tasks import Task, load_task
from elicit.traces import (
    Dependence,
    Information,
    Readings,
    dependence,
    given_thoughts,
    information,
    ledger,
)
from tests.traces.made import FORM, STEPS


class Read:
    """An embedded pair's ledger of given thoughts; what follows of it is made when asked for."""

    def __init__(self, pair: ModelPair, task: Task) -> None:
        self.pair, self.task = pair, task
        self.thoughts = given_thoughts(task, FORM)
        self.ledger = ledger(pair, self.thoughts, form=FORM, steps=STEPS)
        self.readings = Readings.of_given(self.thoughts, self.ledger)

    @cached_property
    def dependence(self) -> Dependence:
        return dependence(self.pair, self.readings, form=FORM)

    @cached_property
    def information(self) -> Information:
        return information(self.pair, self.readings)


@pytest.fixture(scope="session")
def read_given(organism):
    """`read_given("rl")`: the reading of an embedded pair's own problems, made once."""

    @cache
    def read(name: str, n: int = 60) -> Read:
        path = organisms.resolve(f"organism:{name}").problems
        return Read(organism(name), load_task(path, name="problems").subset(n, seed=0))

    return read
