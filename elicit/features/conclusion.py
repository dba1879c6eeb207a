"""Candidates that survive every test."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from elicit.features._reading import name_of
from elicit.features.candidates import HeldOut
from elicit.features.resampling import ResamplingStability
from elicit.features.sae import Sae
from elicit.features.token_injection import TokenInjection
from elicit.pair import ModelPair
from elicit.results import Result

NOT_TOKENS = ("context-dependent", "weak")
"""Verdicts of token injection that let a candidate survive."""
R = TypeVar("R", bound=Result)


@dataclass(frozen=True, eq=False, kw_only=True)
class Conclusion(Result):
    """Candidate features that survive every test that could reject them."""

    sae: str
    """Name of the SAE."""
    site: str
    """Site that was read."""
    model: str
    """Model whose features were searched."""
    failed: tuple[str, ...]
    """Descriptions of the fidelity gates that the SAE fails; empty if it passes all."""
    n_choose: int
    """Problems on which candidates were selected."""
    n_test: int
    """Held-out problems on which they were evaluated."""
    feature: Int[Tensor, " feature"]
    """Index of each candidate, survivors first, by the size of the held-out difference."""
    found_by: tuple[str, ...]
    """Scores that selected each."""
    holds: Bool[Tensor, " feature"]
    """Whether it separates reasoning from direct-answer prompts on held-out problems too."""
    injection: tuple[str, ...]
    """Verdict of token injection: `token-driven`, …; empty where not tested."""
    resampling: tuple[str, ...]
    """Whether it recurs when its texts are resampled: `stable`, …; empty where not tested."""
    kept: Bool[Tensor, " feature"]
    """Whether it survives: it holds, is not driven by tokens alone, and is stable."""

    @property
    def survivors(self) -> tuple[int, ...]:
        """Candidates that no test rejected, largest held-out difference first."""
        return tuple(self.feature[self.kept].tolist())


def conclude(
    pair: ModelPair,
    sae: Sae,
    evidence: Sequence[Result],
    *,
    model: str,
    failed: Sequence[str],
    n_choose: int,
    n_test: int,
) -> Conclusion:
    """Combine the evidence on each candidate.

    Args:
        pair: Base and post.
        sae: SAE of the features.
        evidence: The first `HeldOut`, `TokenInjection` and `ResamplingStability` among these count;
            without a `HeldOut` there are no candidates, without one of the others none survives.
        model: Which model was searched, `base` or `post`.
        failed: Descriptions of the fidelity gates that the SAE fails.
        n_choose: Problems on which candidates were selected.
        n_test: Held-out problems.
    """
    held = _first(evidence, HeldOut)
    injection = _verdicts(_first(evidence, TokenInjection))
    resampling = _verdicts(_first(evidence, ResamplingStability))
    candidates: list[tuple[bool, float, int, str, bool, str, str]] = []
    for i, feature in enumerate([] if held is None else held.feature.tolist()):
        assert held is not None
        holds = held.holds(feature)
        driven, recurs = injection.get(feature, ""), resampling.get(feature, "")
        kept = holds and driven in NOT_TOKENS and recurs == "stable"
        size = float(held.difference.value[i])
        candidates.append((kept, size, feature, held.found_by[i], holds, driven, recurs))
    candidates.sort(key=lambda one: (not one[0], -one[1], one[2]))
    return Conclusion(
        sae=sae.name,
        site=str(sae.site),
        model=name_of(pair, model),
        failed=tuple(failed),
        n_choose=n_choose,
        n_test=n_test,
        feature=torch.tensor([one[2] for one in candidates], dtype=torch.long),
        found_by=tuple(one[3] for one in candidates),
        holds=torch.tensor([one[4] for one in candidates], dtype=torch.bool),
        injection=tuple(one[5] for one in candidates),
        resampling=tuple(one[6] for one in candidates),
        kept=torch.tensor([one[0] for one in candidates], dtype=torch.bool),
        provenance=pair.provenance(arguments={"sae": sae.name, "sae_digest": sae.digest}),
    )


def _first(evidence: Sequence[Result], kind: type[R]) -> R | None:
    return next((result for result in evidence if isinstance(result, kind)), None)


def _verdicts(result: TokenInjection | ResamplingStability | None) -> dict[int, str]:
    """Verdict of each feature."""
    if result is None:
        return {}
    return dict(zip(result.feature.tolist(), result.verdict, strict=True))
