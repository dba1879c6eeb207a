"""On pairs whose truth was planted, the tool names the plant and nothing else."""

import pytest

from elicit import organisms
from elicit.grafting import revert

PLANTED = [
    name
    for name in organisms.names()
    if organisms.resolve(name).truth["corrupted_layers"] is not None
]
OPEN = [name for name in organisms.names() if name not in PLANTED]


def test_every_family_is_there():
    cards = [organisms.resolve(name).truth for name in organisms.names()]
    families = {"elicited", "damaged", "hollowed", "created", "null", "geometric"}
    assert {card["family"] for card in cards} == families
    assert {"shuffled-l1", "shuffled-l3", "shuffled-l1-l4", "b-shuffled-l2-l5"} <= set(PLANTED)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_the_planted_layers_are_found_and_no_others(organism, tasks_of, name):
    truth = organisms.resolve(name).truth
    known, asked = tasks_of(name)
    found = revert(organism(name), damage=known, skill=asked, kinds=["layer"])
    assert list(found.changed_layers) == truth["changed_layers"]
    assert list(found.corrupted_layers) == truth["corrupted_layers"]
    if truth["skill_layers"] is not None:
        assert list(found.skill_layers) == truth["skill_layers"]
    elif truth["family"] != "damaged":
        pytest.fail(f"{name} plants no skill layers and is not a damaged pair")


@pytest.mark.slow
@pytest.mark.parametrize("name", OPEN)
def test_an_open_pair_is_reported_with_intervals_around_every_effect(organism, tasks_of, name):
    known, asked = tasks_of(name)
    found = revert(organism(name), damage=known, skill=asked, kinds=["layer"], control_draws=1)
    assert list(found.changed_layers) == organisms.resolve(name).truth["changed_layers"]
    for effect in ("revert", "graft"):
        value, low, high = (getattr(found, effect + end) for end in ("", "_low", "_high"))
        assert bool(((low <= value) & (value <= high)).all())
    assert any(role != "none" for role in found.role)
