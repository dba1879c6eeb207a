"""Outcomes of made arms, for the rule and for its result."""

import math
from collections.abc import Sequence

import torch

from elicit.elicitation import Mechanism, Sees, Tried
from elicit.results import Estimate
from elicit.verdicts import ArmOutcomes, Outcomes


def ones(n: int, share: float) -> torch.Tensor:
    """Zeros and ones, the first of them ones."""
    return (torch.arange(n) < round(share * n)).double()


def arm(name: str = "prompt", share: float = 1.0, n: int = 60, **options) -> ArmOutcomes:
    """An arm that closes a share of a gap from 0 to 1."""
    plain = {
        "sees": "nothing",
        "control": False,
        "bits": 8.0,
        "chosen": share,
        "n_choose": n,
        "right": ones(n, share),
        "shown": torch.ones(n).double(),
        "verified": torch.full((n,), math.nan).double(),
    }
    return ArmOutcomes(name=name, **(plain | options))


def outcomes(arms: Sequence[ArmOutcomes], n: int = 60, **options) -> Outcomes:
    """A base that is never right, a post that always is, and a control that passed."""
    plain = {
        "base": torch.zeros(n).double(),
        "post": torch.ones(n).double(),
        "post_shown": torch.ones(n).double(),
        "post_verified": torch.full((n,), math.nan).double(),
        "worked": tuple(one.name for one in arms),
    }
    return Outcomes(arms=tuple(arms), **(plain | options))


def tried(share: float, n: int = 40, shown: float = 1.0) -> Tried:
    """What texts reach of which a share is right."""
    return Tried(
        right=ones(n, share),
        sampled=ones(n, share),
        shown=ones(n, shown),
        lenient=ones(n, share),
        verified=torch.full((n,), math.nan).double(),
        n_tokens=n,
        texts=("",) * n,
    )


def mechanism(
    name: str,
    share: float,
    *,
    sees: Sees = "nothing",
    n: int = 40,
    seeds: int = 1,
    bits: float = 8.0,
    control: bool = False,
) -> Mechanism:
    """A result whose every number follows from the share of problems that are right."""
    one = tried(share, n)
    number = Estimate.of(torch.tensor([share, share - 0.1, share + 0.1]).double())
    return Mechanism(
        name=name,
        sees=sees,
        control=control,
        problem=tuple(f"p{i}" for i in range(n)),
        seed=tuple(range(seeds)),
        right=one.right[:, None].repeat(1, seeds),
        base=torch.zeros(n).double(),
        post=torch.ones(n).double(),
        right_sampled=one.right,
        base_sampled=torch.zeros(n).double(),
        post_sampled=torch.ones(n).double(),
        share=number,
        share_by_seed=Estimate.stack([number] * seeds),
        share_sampled=number,
        no_share="",
        shown=one.shown,
        verified=one.verified,
        lenient=one.lenient,
        chosen=one.right,
        bits=bits,
        n_trained=0,
        n_tokens=100,
        flops=1e6,
        setting="as made",
        rejected=(),
        text=one.texts,
    )
