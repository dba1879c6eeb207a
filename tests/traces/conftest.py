"""Readings of embedded pairs, made once."""

from functools import cache
from types import SimpleNamespace

import pytest

from elicit import organisms
from elicit.tasks import load_task
from elicit.texts import AnswerForm, StepRule
from elicit.traces import Readings, dependence, given_thoughts, information, ledger

FORM = AnswerForm(lead_in="answer")
STEPS = StepRule.parse("marker:;")


@pytest.fixture(scope="session")
def read_given(organism):
    """`read_given("rl")`: an embedded pair's ledger of given thoughts, with what follows of it."""

    @cache
    def read(name: str, n: int = 60, post: str | None = None) -> SimpleNamespace:
        pair = organism(name)
        path = organisms.resolve(f"organism:{post or name}").problems
        task = load_task(path, name="problems").subset(n, seed=0)
        thoughts = given_thoughts(task, FORM)
        book = ledger(pair, thoughts, form=FORM, steps=STEPS)
        readings = Readings.of_given(thoughts, book)
        return SimpleNamespace(
            pair=pair,
            task=task,
            thoughts=thoughts,
            ledger=book,
            readings=readings,
            dependence=dependence(pair, readings, form=FORM),
            information=information(pair, readings),
        )

    return read
