"""What a mechanism brings out of base: its share of the gap, and what it was told for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation._shares import share_or_reason
from elicit.elicitation.bench import SEES, Attempt, Bench, Means, Sees, Tried
from elicit.elicitation.errors import ElicitationError
from elicit.results import Estimate, Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Mechanism(Result):
    """What one mechanism brings out of base, on problems it was not chosen on.

    Shares are of the gap from base to post in greedy accuracy on the same problems: 0 none of it, 1
    all, never clipped. Greedy accuracy is a threshold: what reads 1 may be right in two of three
    sampled texts, so both are there.
    """

    name: str
    """What figures and tables call it."""
    sees: Sees
    """What it was told."""
    control: bool
    """Whether it is a control."""
    problem: tuple[str, ...]
    """Ids of the test problems."""
    seed: tuple[int, ...]
    """Seed of each trained run; one where nothing is trained."""
    right: Float[Tensor, "problem seed"]
    """Whether its greedy text is right."""
    base: Float[Tensor, " problem"]
    """Whether base's is."""
    post: Float[Tensor, " problem"]
    """Whether post's is."""
    right_sampled: Float[Tensor, " problem"]
    """Share of its texts at temperature 1 that are right, mean over seeds."""
    base_sampled: Float[Tensor, " problem"]
    """Base's."""
    post_sampled: Float[Tensor, " problem"]
    """Post's."""
    share: Annotated[Estimate, ""]
    """Share of the gap, mean over seeds; NaN where `no_share` says why."""
    share_by_seed: Annotated[Estimate, "seed"]
    """The same for each seed alone."""
    share_sampled: Annotated[Estimate, ""]
    """Share of the gap in accuracy at temperature 1; NaN where that gap is not clear."""
    no_share: str
    """Why there is no share; empty where there is one."""
    shown: Float[Tensor, " problem"]
    """Share of seeds whose greedy text shows the behaviour."""
    verified: Float[Tensor, " problem"]
    """Share of seeds whose text is right with steps that hold; NaN without a checker."""
    lenient: Float[Tensor, " problem"]
    """Share of seeds in which the last candidate or number of the text is right."""
    chosen: Float[Tensor, " choose_problem"]
    """Whether it is right on the problems that its setting was chosen on, mean over seeds."""
    bits: float
    """Upper bound on what it was told about the task, bits."""
    n_trained: int
    """Parameters that were trained."""
    n_tokens: int
    """Tokens written or read to fit and to choose."""
    flops: float
    """Floating-point operations of the same: 2 a parameter and token, 6 where it is trained."""
    setting: str
    """The chosen setting."""
    rejected: tuple[str, ...]
    """What else was tried, with its accuracy on the problems to choose on."""
    text: tuple[str, ...]
    """Its greedy texts on the test problems, first seed. Text of a model: never trusted."""

    @property
    def place(self) -> tuple[int, float]:
        """By what was told: kind of information first, then bits."""
        return SEES.index(self.sees), self.bits


def try_mechanism(means: Means, bench: Bench, *, base: Tried, post: Tried) -> Mechanism:
    """Try one mechanism, and hold what it reaches against base and post.

    Args:
        means: The mechanism.
        bench: Problems, models and limits.
        base: What base reaches on the test problems.
        post: What post does.

    Raises:
        ElicitationError: The attempt is not about the problems of the bench, or see the mechanism.
    """
    return held_against(means, means.attempt(bench.scoped(means.name)), bench, base, post)


def held_against(
    means: Means, attempt: Attempt, bench: Bench, base: Tried, post: Tried
) -> Mechanism:
    """The result of an attempt; see `try_mechanism`.

    Args:
        means: The mechanism.
        attempt: What it reached.
        bench: Problems, models and limits.
        base: What base reaches on the test problems.
        post: What post does.
    """
    n = len(bench.test)
    lengths = {len(attempt.chosen): len(bench.choose), len(base.right): n, len(post.right): n}
    lengths |= {len(one.right): n for one in attempt.tests}
    if not attempt.tests or any(got != wanted for got, wanted in lengths.items()):
        raise ElicitationError(
            f"{means.name} has texts for {[len(one.right) for one in attempt.tests]} problems by "
            f"seed, and there are {n}, so it cannot be held against base and post. Return one try "
            "for each seed, on the problems of the bench."
        )
    right = torch.stack([one.right for one in attempt.tests], dim=1)
    sampled = torch.stack([one.sampled for one in attempt.tests]).mean(0)
    seeds = bench.seeds[: len(attempt.tests)]
    share, why = share_or_reason(right.mean(1), base.right, post.right, bench.inference)
    by_seed = [
        share_or_reason(one, base.right, post.right, bench.inference)[0] for one in right.unbind(1)
    ]
    return Mechanism(
        name=means.name,
        sees=means.sees,
        control=means.control,
        problem=tuple(problem.id for problem in bench.test),
        seed=seeds,
        right=right,
        base=base.right,
        post=post.right,
        right_sampled=sampled,
        base_sampled=base.sampled,
        post_sampled=post.sampled,
        share=share,
        share_by_seed=Estimate.stack(by_seed),
        share_sampled=share_or_reason(sampled, base.sampled, post.sampled, bench.inference)[0],
        no_share=why,
        shown=_mean([one.shown for one in attempt.tests]),
        verified=_mean([one.verified for one in attempt.tests]),
        lenient=_mean([one.lenient for one in attempt.tests]),
        chosen=attempt.chosen,
        bits=attempt.bits,
        n_trained=attempt.n_trained,
        n_tokens=attempt.n_tokens,
        flops=attempt.flops,
        setting=attempt.setting,
        rejected=attempt.rejected,
        text=attempt.tests[0].texts,
    )


def _mean(values: Sequence[Float[Tensor, " problem"]]) -> Float[Tensor, " problem"]:
    return torch.stack(list(values)).mean(0)
