"""A run as `elicit steer` leaves it, in small: a vector, texts, an SAE and a summary."""

import json
from pathlib import Path

import pytest
import torch

from elicit.directions import Direction
from elicit.elicitation import SteeredTexts
from elicit.sites import Site
from tests.checkpoints import D_MODEL
from tests.features import made as saes

STRENGTH = 1.5


def direction(site: Site, model: str = "m") -> Direction:
    vector = torch.randn(D_MODEL, generator=torch.Generator().manual_seed(0))
    return Direction(
        vector=vector, site=site, model=model, model_digest="d" * 64, how="difference of means",
        position="last", norm=vector.norm().item(), resid_norm=2.0, n=8,
    )  # fmt: skip


def texts() -> SteeredTexts:
    return SteeredTexts(
        strength=STRENGTH,
        writer=("unsteered", "difference of means"),
        problem=("p1", "p2"),
        prompt=("2 + 3 =", "4 + 4 ="),
        answer=("5", "8"),
        text=(("6", "8"), ("5, as <b>2</b> + 3", "so 8")),
        correct=torch.tensor([[False, True], [True, True]]),
    )


@pytest.fixture
def run(tmp_path) -> Path:
    folder = tmp_path / "run"
    direction(Site("resid_post", 1)).save(folder / "vector")
    texts().save(folder / "texts")
    saes.saved(folder / "sae", "jumprelu")
    summary = {
        "sentence": "Steering closes the gap.",
        "chosen": {"strength": STRENGTH},
        "steered": {"where": "last()"},
        "notes": ["Only 2 problems."],
        "pair": {"base": "org/base", "post": "org/post", "base_digest": "b" * 64},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "run.yaml").write_text("out: /secret/place\n")
    return folder
