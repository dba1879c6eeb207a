"""Per-problem outcomes of texts: accuracy, markers, coherence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation.coherence import Reference, coherent
from elicit.elicitation.goal import Goal
from elicit.rollouts import Rollouts
from elicit.tasks import Marker


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcomes:
    """Outcomes of a model's texts on one task, by strength or direction.

    Each value is the mean over a problem's samples.
    """

    score: Float[Tensor, "problem metric cell"]
    """Share of texts that are right, then of those that show each marker."""
    log_prob: Float[Tensor, "problem cell"]
    """Mean log-probability of a token under the model left unsteered, nats."""
    coherent: Float[Tensor, "problem cell"]
    """Share of coherent texts."""


def outcomes(
    texts: Rollouts, references: Sequence[Reference], goal: Goal, *, n_cells: int = 1
) -> Outcomes:
    """Per-problem outcomes of texts.

    `texts`: rows by cell, then problem, then sample. `references`: the models left unsteered, the
    steered one first.
    """
    n = len(texts.problem)
    whole = coherent(texts, references, max_loss=goal.max_loss)
    return Outcomes(
        score=scores(texts, goal.markers, n_cells=n_cells),
        log_prob=by_problem(references[0].log_probs(texts), n_cells, n),
        coherent=by_problem(whole, n_cells, n),
    )


def scores(
    texts: Rollouts, markers: Mapping[str, Marker], *, n_cells: int = 1
) -> Float[Tensor, "problem metric cell"]:
    """Share of each problem's texts that are correct, or show each marker.

    `texts`: rows by cell, then problem, then sample.
    """
    shown = [torch.tensor([bool(sees(text)) for text in texts.text]) for sees in markers.values()]
    n = len(texts.problem)
    columns = [by_problem(values, n_cells, n) for values in (texts.correct, *shown)]
    return torch.stack(columns, dim=1)


def by_problem(values: Tensor, n_cells: int, n_problems: int) -> Float[Tensor, "problem cell"]:
    """Mean over the samples of each problem; rows go by cell, then problem, then sample."""
    return values.double().view(n_cells, n_problems, -1).mean(-1).T
