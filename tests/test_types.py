"""The suite checks shapes and types as `pyproject.toml` asks: `typechecked.py` says how."""

from dataclasses import dataclass

import jaxtyping
import pytest
import torch
from beartype import beartype
from jaxtyping import Float
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import canonical_json
from elicit.stats import bootstrap_mean
from tests import typechecked

ASKED_ALL = pytest.mark.skipif("config.getoption('full')", reason="--full checks every call")
# Made by hand, as the import hook does it for the package.
hook = typechecked.jaxtyped(typechecker=beartype)


def test_a_wrong_type_is_caught_at_the_call():
    with pytest.raises(jaxtyping.TypeCheckError, match="seed"):
        bootstrap_mean([0.0, 1.0, 1.0], seed="zero")  # pyright: ignore[reportArgumentType]


@hook
def double(x: Float[Tensor, " a"], y: Float[Tensor, " a"], keep: bool) -> Float[Tensor, " a"]:
    return x if keep else torch.cat([x, y])


@hook
def forward(x: "OnlyForCheckers") -> "Float[Tensor, '2 a']":  # noqa: F821  # pyright: ignore
    return double(x, x, True).expand(2, -1)


@hook
@dataclass(frozen=True)
class Row:
    values: Float[Tensor, " a"]
    weights: Float[Tensor, " a"]


def test_an_axis_has_one_size_in_arguments_and_result_and_names_are_each_calls_own():
    two, three = torch.zeros(2), torch.zeros(3)
    assert double(two, two, True) is two
    assert double(three, three, True) is three
    assert forward(three).shape == (2, 3)
    for wrong in ((two, three, True), (two, two, False), (two, two.int(), True)):
        with pytest.raises(jaxtyping.TypeCheckError):
            double(*wrong)
    with pytest.raises(jaxtyping.TypeCheckError):
        Row(values=two, weights=three)
    assert Row(values=three, weights=three).values is three


@ASKED_ALL
def test_rooms_that_are_imported_before_options_are_read_are_checked_in_one_pass_too():
    for function in (canonical_json, ModelPair.__init__, bootstrap_mean):
        assert function.__code__.co_filename == typechecked.__file__


@ASKED_ALL
def test_the_first_calls_of_every_test_are_checked():
    two, three = torch.zeros(2), torch.zeros(3)
    for _ in range(typechecked.FIRST):
        double(two, two, True)
    assert double(two, three, True) is two
    typechecked.next_test()
    with pytest.raises(jaxtyping.TypeCheckError):
        double(two, three, True)
