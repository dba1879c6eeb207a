"""On pairs whose truth was planted, the tool names the plant and nothing else."""

import pytest

from elicit import organisms
from elicit.grafting import localise, sweep_intervals

PLANTED = [
    name
    for name in organisms.names()
    if organisms.resolve(name).truth["corrupted_layers"] is not None
]
THOUGHT = [
    name for name in organisms.names() if organisms.resolve(name).truth["family"] == "thought"
]
"""What these plant is in their traces: no fact is lost and no ability need be gained."""
OPEN = [name for name in organisms.names() if name not in PLANTED + THOUGHT]


def test_every_family_is_there():
    cards = [organisms.resolve(name).truth for name in organisms.names()]
    families = {"elicited", "damaged", "hollowed", "created", "null", "geometric", "thought"}
    assert {card["family"] for card in cards} == families
    assert {"shuffled-l1", "shuffled-l3", "shuffled-l1-l4", "b-shuffled-l2-l5"} <= set(PLANTED)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_the_planted_layers_are_found_and_no_others(organism, tasks_of, name):
    truth = organisms.resolve(name).truth
    known, asked = tasks_of(name, hardest=4)
    found = localise(organism(name), damage=known, skill=asked, kinds=["layer"], controls=0)
    assert list(found.changed_layers) == truth["changed_layers"]
    assert list(found.corrupted_layers) == truth["corrupted_layers"]
    if truth["skill_layers"] is not None:
        assert list(found.skill_layers) == truth["skill_layers"]
    elif truth["family"] != "damaged":
        pytest.fail(f"{name} plants no skill layers and is not a damaged pair")


@pytest.mark.slow
@pytest.mark.parametrize("name", OPEN)
def test_an_open_pair_is_reported_with_intervals_around_every_effect(organism, tasks_of, name):
    known, asked = tasks_of(name, 50, 20, hardest=4)
    found = localise(organism(name), damage=known, skill=asked, kinds=["layer"], controls=0)
    assert list(found.changed_layers) == organisms.resolve(name).truth["changed_layers"]
    for effect in ("revert", "graft"):
        found_effect = getattr(found, effect)
        assert bool((found_effect.low <= found_effect.value).all())
        assert bool((found_effect.value <= found_effect.high).all())
    assert any(role != "none" for role in found.role)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layer"), [("shuffled-l3", 3), ("b-shuffled-l2-l5", 5)])
def test_the_same_difference_in_shuffled_places_does_not_do_what_the_plant_does(
    organism, tasks_of, name, layer
):
    known, _ = tasks_of(name)
    found = localise(organism(name), damage=known, kinds=["layer"], controls=2)
    assert found.control_revert.value[0, layer] < found.revert.value[0, layer] / 2
    assert found.control_graft.value[0, layer] > found.graft.value[0, layer] / 2
    untouched = [i for i in range(len(found.part)) if not found.changed[i]]
    assert not found.control_revert.value[0, untouched].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shuffled-l1-l4", "b-shuffled-l2-l5"])
def test_two_planted_layers_heal_fully_only_together(organism, tasks_of, name):
    known, _ = tasks_of(name)
    pair = organism(name)
    first, last = organisms.resolve(name).truth["corrupted_layers"]
    found = sweep_intervals(pair, [known])
    single = localise(pair, damage=known, kinds=["layer"], controls=0)
    gap = -single.gap.value[0]
    assert found.revert.value[0, first, last] == pytest.approx(gap.item(), abs=1e-6)
    for layer in (first, last):
        alone = found.revert.value[0, layer, layer]
        assert 0.05 * gap < alone < 0.9 * gap
        # The stitched layers of the interval sweep and the swapped pointers are one and the same.
        assert single.revert.value[0, layer] == pytest.approx(alone.item(), abs=1e-6)
    assert not found.revert.value[0, first + 1, last - 1].any()
