"""Logit rules: the next token is drawn from logits that several models make together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.pair import Side
from elicit.rollouts.errors import RolloutError

Vocab = Literal["exact", "shared"]


@dataclass(frozen=True, eq=False, kw_only=True)
class RuleModel:
    """A model that a rule reads beside the one whose texts are written."""

    side: Side
    """The model."""
    templated: bool | None = None
    """Whether it reads prompts through its own chat template; None: as the texts' model does."""


@runtime_checkable
class LogitRule(Protocol):
    """How the logits of several models become those that a token is drawn from."""

    @property
    def name(self) -> str:
        """The rule with its numbers: with the models' weights, all that it depends on."""
        ...

    @property
    def models(self) -> tuple[RuleModel, ...]:
        """Models that are read beside the one whose texts are written; may be none."""
        ...

    @property
    def vocab(self) -> Vocab:
        """`exact`: every id must be the same token for all models; `shared`: others are ruled out.

        Ids beyond the smallest vocabulary are cut off in either case: they are padding.
        """
        ...

    def combine(
        self, logits: Sequence[Float[Tensor, "row d_vocab"]]
    ) -> Float[Tensor, "row d_vocab"]:
        """Logits to draw from.

        Args:
            logits: Of the model whose texts are written, then of each of `models`; the same ids.
        """
        ...


def weighted(
    logits: Sequence[Float[Tensor, "row d_vocab"]], weights: Sequence[float]
) -> Float[Tensor, "row d_vocab"]:
    """Weighted sum of logits, in their order, in single precision or better.

    A weight of 0 leaves its model out and a weight of 1 changes nothing, so that one model with
    weight 1 among others with 0 comes out bit for bit. A token that a model in the sum rules out
    (-inf) is ruled out.

    Args:
        logits: Of each model.
        weights: One for each.
    """
    total: Tensor | None = None
    ruled_out: Tensor | None = None
    for each, weight in zip(logits, weights, strict=True):
        if weight == 0:
            continue
        wide = each.to(torch.promote_types(each.dtype, torch.float32))
        never = torch.isneginf(wide)
        ruled_out = never if ruled_out is None else ruled_out | never
        term = wide if weight == 1 else weight * wide
        total = term if total is None else total + term
    if total is None or ruled_out is None:
        raise RolloutError(
            f"the weights of the models are {list(weights)}, so nothing would decide a token. Give "
            "one model a weight that is not 0."
        )
    return total.masked_fill(ruled_out, -torch.inf)


@dataclass(frozen=True, eq=False, kw_only=True)
class Dial:
    """Logits between two models: (1 - a) of the texts' own model and a of another.

    At a = 0 the texts are those of the first and at a = 1 those of the second, bit for bit; beyond
    1 the difference between them is exaggerated.

    Raises:
        RolloutError: `a` is not finite.
    """

    towards: Side
    """The other model."""
    a: float
    """How far to go: 0 stays, 1 arrives."""
    vocab: Vocab = "exact"
    """See `LogitRule.vocab`."""

    def __post_init__(self) -> None:
        """Refuse a dial that points nowhere."""
        _check_finite("a", self.a)

    @property
    def name(self) -> str:
        """The rule with its number."""
        return f"dial(a={self.a!r})"

    @property
    def models(self) -> tuple[RuleModel, ...]:
        """The other model, unless nothing of it is used."""
        return (RuleModel(side=self.towards),) if self.a else ()

    def combine(
        self, logits: Sequence[Float[Tensor, "row d_vocab"]]
    ) -> Float[Tensor, "row d_vocab"]:
        """(1 - a)·b + a·p; see `LogitRule`."""
        return weighted(logits, [1 - self.a, self.a][: len(logits)])


@dataclass(frozen=True, eq=False, kw_only=True)
class Proxy:
    """Proxy-tuning: what training changed in one model's logits is added to another's.

    The logits are b + a·(expert - anti-expert). The difference is that of one training only where
    the anti-expert is what the expert was trained from, so other pairs are refused by default.

    Raises:
        RolloutError: `a` is not finite, or the anti-expert is not the expert's base.

    Source: Liu et al. 2024, arXiv:2401.08565, eq. 1; a = 1 there.
    """

    expert: Side
    """The trained model: `pair.side("post")` of a pair of its own."""
    antiexpert: Side
    """What it was trained from: `pair.side("base")` of the same pair."""
    a: float = 1.0
    """How much of the difference is added; 0 is the texts' own model, bit for bit."""
    unpaired: bool = False
    """Accept an anti-expert that the expert was not trained from."""
    expert_templated: bool | None = None
    """Whether the expert reads prompts in its own chat template; None: as the texts' model does.
    The paper's experts do, its anti-experts do not."""
    vocab: Vocab = "exact"
    """See `LogitRule.vocab`."""

    def __post_init__(self) -> None:
        """Refuse a difference that is not that of one training."""
        _check_finite("a", self.a)
        one_pair = self.expert.alignment is self.antiexpert.alignment
        ends = (self.antiexpert.name, self.expert.name)
        if self.unpaired or (one_pair and ends == ("base", "post")):
            return
        what = (
            f"the expert is the {ends[1]} and the anti-expert the {ends[0]} of one pair"
            if one_pair
            else "expert and anti-expert are not of one pair"
        )
        raise RolloutError(
            f"{what}, so their difference is not what training added: two models also differ in "
            "scale and vocabulary, and no longer cancel. Pass pair.side('post') and "
            "pair.side('base') of the expert's own pair (a < 0 takes the difference away), or "
            "unpaired=True to add it all the same."
        )

    @property
    def name(self) -> str:
        """The rule with its numbers."""
        return f"proxy(a={self.a!r})"

    @property
    def models(self) -> tuple[RuleModel, ...]:
        """Expert and anti-expert, unless nothing of them is used."""
        if not self.a:
            return ()
        expert = RuleModel(side=self.expert, templated=self.expert_templated)
        return (expert, RuleModel(side=self.antiexpert))

    def combine(
        self, logits: Sequence[Float[Tensor, "row d_vocab"]]
    ) -> Float[Tensor, "row d_vocab"]:
        """B + a·(e - n), in this order; see `LogitRule`."""
        if len(logits) == 1:
            return logits[0]
        base, expert, anti = logits
        added = weighted([expert, anti], [1.0, -1.0])
        return weighted([base, added], [1.0, self.a])


@dataclass(frozen=True, eq=False, kw_only=True)
class Contrast:
    """Contrastive decoding: tokens that the model prefers more than an amateur does.

    The logits are (1 + beta)·expert - beta·amateur among the tokens that the texts' own model, the
    expert, finds plausible, and no other token is written. A baseline for every mechanism that
    needs a second model: nothing says that the amateur is what the expert was trained from.

    Raises:
        RolloutError: `beta` is negative or not finite, or `plausible` is not in (0, 1].

    Source: O'Brien & Lewis 2023, arXiv:2309.09117, with the plausibility mask of Li et al. 2023,
        arXiv:2210.15097.
    """

    amateur: Side
    """The weaker model."""
    beta: float = 0.5
    """Weight of the contrast; 0 keeps the expert's logits among plausible tokens."""
    plausible: float = 0.1
    """Least probability of a token under the expert, as a share of its most probable one."""
    vocab: Vocab = "exact"
    """See `LogitRule.vocab`."""

    def __post_init__(self) -> None:
        """Refuse options under which nothing would be contrasted or written."""
        _check_finite("beta", self.beta)
        if self.beta < 0 or not 0 < self.plausible <= 1:
            raise RolloutError(
                f"beta is {self.beta} and plausible {self.plausible}, but the amateur is taken "
                "away, and the expert's most probable token must stay. Pass beta of 0 or more and "
                "plausible in (0, 1]."
            )

    @property
    def name(self) -> str:
        """The rule with its numbers."""
        return f"contrast(beta={self.beta!r}, plausible={self.plausible!r})"

    @property
    def models(self) -> tuple[RuleModel, ...]:
        """The amateur, unless nothing of it is used."""
        return (RuleModel(side=self.amateur),) if self.beta else ()

    def combine(
        self, logits: Sequence[Float[Tensor, "row d_vocab"]]
    ) -> Float[Tensor, "row d_vocab"]:
        """(1 + beta)·e - beta·n among the expert's plausible tokens; see `LogitRule`."""
        expert = logits[0]
        least = expert.amax(-1, keepdim=True) + math.log(self.plausible)
        both = weighted(logits, [1 + self.beta, -self.beta][: len(logits)])
        return both.masked_fill(expert < least, -torch.inf)


def _check_finite(name: str, value: float) -> None:
    """Refuse a number that logits cannot be multiplied by."""
    if not math.isfinite(value):
        raise RolloutError(
            f"{name} is {value}, and logits are multiplied by it, so it must be finite. Pass a "
            "number."
        )
