"""Which candidates stay after everything that could have rejected them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from elicit.features.candidates import HeldOut
from elicit.features.falsifying import TokenInjection
from elicit.features.regenerating import Regeneration
from elicit.features.sae import Sae
from elicit.pair import ModelPair
from elicit.results import Result

TOKENS_DO_NOT = ("context-dependent", "weak")
"""Verdicts of a falsification that let a candidate stay."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Conclusion(Result):
    """Which candidate features stay, after everything that could have rejected them."""

    sae: str
    """Name of the SAE."""
    site: str
    """Where it was read."""
    model: str
    """Model whose features were searched."""
    failed: tuple[str, ...]
    """Gates that the SAE fails, in words; empty where it passes all."""
    n_choose: int
    """Problems on which everything was chosen."""
    n_test: int
    """Problems on which everything is told."""
    feature: Int[Tensor, " feature"]
    """Number of each candidate, those that stay first, by the size of what holds."""
    found_by: tuple[str, ...]
    """By which scores each was found."""
    holds: Bool[Tensor, " feature"]
    """Whether it tells prompts for reasoning from prompts for an answer on other problems too."""
    tokens: tuple[str, ...]
    """What its tokens do where nobody reasons: `token-driven`, …; empty where not tried."""
    again: tuple[str, ...]
    """Whether it comes back where its texts are written again."""
    kept: Bool[Tensor, " feature"]
    """Whether it stays: it holds, tokens alone do not drive it, and it is stable."""

    @property
    def stays(self) -> tuple[int, ...]:
        """Candidates that nothing rejected, the clearest first."""
        return tuple(self.feature[self.kept].tolist())


def conclude(
    pair: ModelPair,
    sae: Sae,
    *,
    model: str,
    failed: Sequence[str],
    n_choose: int,
    n_test: int,
    held: HeldOut | None = None,
    injection: TokenInjection | None = None,
    again: Regeneration | None = None,
) -> Conclusion:
    """Put together what became of each candidate.

    Args:
        pair: Base and post.
        sae: Whose features.
        model: Name of the model that was searched.
        failed: Gates that the SAE fails, in words.
        n_choose: Problems on which everything was chosen.
        n_test: Problems on which everything is told.
        held: Candidates on other problems; None where none was named.
        injection: What their tokens do; candidates that it leaves out are not kept.
        again: Whether they come back.
    """
    driven = (
        {}
        if injection is None
        else dict(zip(injection.feature.tolist(), injection.verdict, strict=True))
    )
    back = {} if again is None else dict(zip(again.feature.tolist(), again.verdict, strict=True))
    told: list[tuple[int, str, bool, str, str, bool, float]] = []
    for i, feature in enumerate([] if held is None else held.feature.tolist()):
        assert held is not None
        holds, tokens = held.holds(feature), driven.get(feature, "")
        kept = holds and tokens in TOKENS_DO_NOT and back.get(feature) == "stable"
        told.append(
            (
                feature,
                held.found_by[i],
                holds,
                tokens,
                back.get(feature, ""),
                kept,
                float(held.difference[i]),
            )
        )
    told.sort(key=lambda one: (not one[5], -one[6], one[0]))
    return Conclusion(
        sae=sae.name,
        site=str(sae.site),
        model=model,
        failed=tuple(failed),
        n_choose=n_choose,
        n_test=n_test,
        feature=torch.tensor([one[0] for one in told], dtype=torch.long),
        found_by=tuple(one[1] for one in told),
        holds=torch.tensor([one[2] for one in told], dtype=torch.bool),
        tokens=tuple(one[3] for one in told),
        again=tuple(one[4] for one in told),
        kept=torch.tensor([one[5] for one in told], dtype=torch.bool),
        provenance=pair.provenance(arguments={"sae": sae.name, "sae_digest": sae.digest}),
    )
