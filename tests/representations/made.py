"""Examples of the organisms' language with labels that are known."""

import numpy as np
import torch

from elicit.organisms.language import draw_chain
from elicit.pair import ModelPair
from elicit.representations import Labelled


def headed(pair: ModelPair, *, n: int = 60, seed: int = 0) -> Labelled:
    """The last token `A` of problems under `notes` and `quiz`, labelled by the header."""
    rng = np.random.default_rng(seed)
    return Labelled.from_examples(
        [
            (pair.alignment.plain(f"{header} {chain.question}"), -1, header, number)
            for number, chain in enumerate(draw_chain(rng) for _ in range(n))
            for header in ("notes", "quiz")
        ]
    )


def traces(
    pair: ModelPair, *, n: int, seed: int = 0, n_steps: int | None = None
) -> list[list[int]]:
    """Problems with their written solutions."""
    rng = np.random.default_rng(seed)
    chains = [draw_chain(rng, n_steps=n_steps) for _ in range(n)]
    return [pair.alignment.plain(f"notes {one.question} {one.trace}") for one in chains]


def synthetic(labels: torch.Tensor, *, per_problem: int = 1) -> Labelled:
    """Examples of which only the labels matter."""
    n = len(labels)
    return Labelled(
        rows=tuple((1, i + 2) for i in range(n)),
        position=(-1,) * n,
        label=tuple(f"l{int(label)}" for label in labels),
        problem=tuple(f"p{i // per_problem:04}" for i in range(n)),
    )
