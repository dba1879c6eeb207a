"""Whether what was trained moves activations as post does: shown, and no part of the verdict."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from elicit.elicitation import Bench
from elicit.representations import ShiftAgreement, shift_agreement
from elicit.rollouts import rollouts
from elicit.texts import TextError, TokenRows

LEAST = 4
"""Problems with a text below which halves say nothing."""


def rows_of_post(bench: Bench) -> TokenRows | None:
    """Post's greedy texts on the test problems; None where too few have a token.

    Args:
        bench: Problems and models.
    """
    texts = rollouts(
        bench.post,
        bench.test,
        generation=bench.generation,
        seed=bench.inference.seed,
        execution=bench.scoped(bench.post.name).execution,  # they were written there before
    )
    try:
        rows = TokenRows.of_rollouts(texts, source="post")
    except TextError:  # no text has a token
        return None
    return rows if len({rows.problem[i] for i in rows.index[0].tolist()}) >= LEAST else None


def agreement_of(
    bench: Bench, states: Mapping[str, Float[Tensor, "layer problem d_model"]]
) -> ShiftAgreement | None:
    """Agreement of the shifts from base, post's among them; None where nothing was trained.

    Args:
        bench: Problems and models, with the texts that were read.
        states: States under what was trained, by name.
    """
    base, post = bench.states(bench.base), bench.states(bench.post)
    if not states or base is None or post is None:
        return None
    shifts = {"post": post - base} | {name: one - base for name, one in states.items()}
    return shift_agreement(
        shifts,
        where="Residual stream along post’s greedy texts, mean over their tokens",
        inference=bench.inference,
    )
