"""Contrasts for tiny models, and a pair whose two models are almost the same."""

from collections.abc import Callable, Iterator

import pytest
import torch

from elicit.pair import ModelPair, load_pair
from elicit.patching.contrast import Contrast

CLEAN = ["the dog is red and the cat is", "a cat was blue and a bird was", "a bird is two and it"]
CORRUPTED = ["the cat is two and the cat is", "a dog was ten and a bird was", "a dog is red and it"]


@pytest.fixture(scope="session")
def contrast() -> Callable[..., Contrast]:
    """Three problems, two of one length and one shorter, for any pair of checkpoints."""

    def make(pair: ModelPair, *, long_answers: bool = False) -> Contrast:
        more = " and one" if long_answers else ""
        return Contrast.from_texts(
            pair.alignment,
            clean=CLEAN,
            corrupted=CORRUPTED,
            answer=[f"{word}{more}" for word in ("red", "blue", "green")],
            wrong=["blue", "green", "red"],
        )

    return make


@pytest.fixture(scope="session")
def close_pair(written) -> Callable[[str], ModelPair]:
    """Two models in float64 so alike that effects are linear in their difference."""
    made: dict[str, ModelPair] = {}

    def nudge(model: torch.nn.Module) -> None:
        generator = torch.Generator().manual_seed(5)
        for parameter in model.parameters():
            parameter.mul_(1 + 2e-4 * torch.randn(parameter.shape, generator=generator))

    def pair(architecture: str) -> ModelPair:
        if architecture not in made:
            made[architecture] = load_pair(
                written(architecture, seed=1),
                written(architecture, seed=1, edit=nudge),
                dtype=torch.float64,
                check_parity=False,  # it stumbles over float64 and rotary angles
            )
        return made[architecture]

    return pair


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Types are not checked at run time, as for a user."""
    from jaxtyping import config

    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
