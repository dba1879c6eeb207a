"""Means of groups are those of their problems, and their intervals hold for all at once."""

import pytest
import torch

from elicit.stats import GroupError, Inference, by_group, problem_mean

FEW = Inference(n_resamples=200)


def values(n=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    base = (torch.rand(n, generator=generator) < 0.3).double()
    post = (torch.rand(n, generator=generator) < 0.8).double()
    return {"base": base, "post": post}


def test_each_group_has_the_mean_of_its_problems_and_a_wider_interval_than_alone():
    given, groups = values(), ["sums" if i % 3 else "words" for i in range(60)]
    found = by_group(given, groups, by="subject", minus=("post", "base"), inference=FEW)
    assert found.group == ("sums", "words") and found.n.tolist() == [40, 20]
    assert found.measure == ("base", "post", "post minus base")
    for g, name in enumerate(found.group):
        own = torch.tensor([group == name for group in groups])
        for m, measure in enumerate(("base", "post")):
            value, low, high = found.mean[m, g].ends
            alone = problem_mean(given[measure][own], inference=FEW, proportion=True)
            assert value == pytest.approx(given[measure][own].mean().item())
            assert low < alone.low < alone.high < high
            rest = given[measure][~own].mean().item()
            assert found.apart[m, g].value.item() == pytest.approx(value - rest)
        difference = (given["post"] - given["base"])[own].mean().item()
        assert found.mean[2, g].value.item() == pytest.approx(difference)
    assert set(found.to_frame().columns) >= {"measure", "group", "mean", "mean_low", "n"}


def test_a_group_that_differs_is_told_from_the_rest_and_others_are_not():
    n = 120
    groups = [i % 4 for i in range(n)]
    right = torch.tensor([0.0 if group == 2 else 1.0 for group in groups], dtype=torch.float64)
    found = by_group({"post": right}, groups, by="level", inference=FEW)
    assert found.group == ("0", "1", "2", "3")
    assert bool(found.apart.clear[0, 2]) and found.apart.value[0, 2] == -1
    alike = by_group({"post": torch.ones(n, dtype=torch.float64)}, groups, by="level",
                     inference=FEW)  # fmt: skip
    assert not alike.apart.clear.any()
    assert (alike.mean.low < 1).all() and (alike.mean.high == 1).all()


@pytest.mark.slow
def test_all_intervals_hold_together_about_as_often_as_they_say():
    generator = torch.Generator().manual_seed(1)
    groups, hit, runs = [i % 5 for i in range(200)], 0, 200
    for _ in range(runs):
        right = (torch.rand(200, generator=generator) < 0.4).double()
        found = by_group({"post": right}, groups, by="x", inference=Inference(n_resamples=100))
        hit += bool(((found.mean.low <= 0.4) & (found.mean.high >= 0.4)).all())
    assert hit / runs >= 0.92


def test_groups_that_cannot_be_compared_are_refused():
    one = torch.ones(4, dtype=torch.float64)
    for given, groups, says in (
        ({"a": one}, ["x"] * 4, "1 groups of 4"),
        ({"a": one}, ["x", "y"], "2 groups and 2, 4 values"),
        ({}, ["x", "y"], "cannot be matched"),
        ({"a": torch.ones(40, dtype=torch.float64)}, list(range(40)), "40 groups"),
    ):
        with pytest.raises(GroupError, match=says):
            by_group(given, groups, by="k", inference=FEW)


def test_a_group_of_one_problem_has_no_interval():
    one = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)
    found = by_group({"a": one}, ["x", "y", "y"], by="k", inference=FEW)
    assert found.mean.low[0, 0].isnan() and found.mean.value[0].tolist() == [0.0, 1.0]
    found.figure()
