"""ReasonScore: specificity of features to reasoning words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.features._reading import blocks, check_sae, name_of, rows_of, sae_arguments, wide
from elicit.features.errors import FeatureError
from elicit.features.sae import Sae
from elicit.features.token_groups import TokenGroups
from elicit.pair import ModelPair
from elicit.results import Result, digest_json
from elicit.runs import Execution


@dataclass(frozen=True, eq=False, kw_only=True)
class ReasonScores(Result):
    """Specificity of each feature to reasoning words; lexical by construction, so falsify it."""

    sae: str
    """Name of the SAE."""
    site: str
    """Site that was read."""
    model: str
    """Model that was read."""
    alpha: float
    """Exponent of the entropy."""
    left: int
    """Tokens before a word that count as near it."""
    right: int
    """Tokens after it."""
    n_inside: int
    """Number of tokens near some word."""
    n_outside: int
    """Number of other counted tokens."""
    feature: Int[Tensor, " feature"]
    """Index of each feature."""
    score: Float[Tensor, " feature"]
    """inside share × entropy^α - outside share, the paper's ReasonScore."""
    entropy: Float[Tensor, " feature"]
    """Normalised entropy over groups: 0 one group only, 1 uniform."""
    inside: Float[Tensor, " feature"]
    """Mean activation near some word, μ⁺."""
    outside: Float[Tensor, " feature"]
    """Mean activation elsewhere, μ⁻."""
    group: tuple[str, ...]
    """Name of each group."""
    n_group: Int[Tensor, " group"]
    """Number of tokens near a word of each group."""
    mean: Float[Tensor, "feature group"]
    """Mean activation near the words of each group."""

    def top(self, n: int) -> tuple[int, ...]:
        """Features with the largest scores, best first."""
        return tuple(self.feature[self.score.argsort(descending=True, stable=True)[:n]].tolist())


def reason_scores(
    pair: ModelPair,
    sae: Sae,
    rows: Sequence[Sequence[int]],
    groups: TokenGroups,
    *,
    model: str,
    alpha: float = 0.7,
    around: tuple[int, int] = (1, 2),
    execution: Execution = Execution(),
) -> ReasonScores:
    """ReasonScore of every feature, from one pass over the rows.

    A token near words of two groups counts in both, and once in the mean over all words.

    Args:
        pair: Base and post.
        sae: SAE of the features.
        rows: Token ids of texts with reasoning in them.
        groups: Reasoning words, see `token_groups`.
        model: Which model is read, `base` or `post`.
        alpha: Exponent of the entropy.
        around: Tokens before and after a word that count as near it.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE has another width, site or model or signed activations, a group
            occurs nowhere, or every token is near a word.

    Source: Galichin et al. 2025, arXiv:2503.18878, and its `compute_score.py`, which runs the model
        once per few features; as there, the first token of a row is left out.
    """
    side, tokens = check_sae(pair, sae, model), rows_of(pair, rows)
    left, right = around
    if sae.architecture == "abstopk":
        raise FeatureError(
            f"{sae.name} has activations of both signs, so shares of their sum are meaningless. "
            "Pass an SAE with non-negative activations."
        )
    near = groups.windows(tokens, left=left, right=right)
    inside = near.any(0)
    member = torch.cat([near, inside[None], (tokens.counted & ~inside)[None]])
    counts = member.sum(1)
    if not int(counts[-1]):
        raise FeatureError(
            "every token that counts is near a word of some group, so there is nothing to "
            "compare with. Pass a smaller window, fewer groups or other texts."
        )
    requested = member.double()
    sums = torch.zeros(len(member), sae.d_sae, dtype=torch.float64)
    for block in blocks(side, sae, tokens, execution=execution):
        # All groups in one product, at a cost independent of the number of active features.
        acts = wide(block.acts)
        sums = sums.to(acts.device).addmm_(requested[:, block.index].to(acts.device), acts)
    sums = sums.cpu()
    mean = sums / counts[:, None]
    of_groups = mean[:-2].T.contiguous()
    return ReasonScores(
        sae=sae.name,
        site=str(sae.site),
        model=name_of(pair, model),
        alpha=alpha,
        left=left,
        right=right,
        n_inside=int(counts[-2]),
        n_outside=int(counts[-1]),
        feature=torch.arange(sae.d_sae),
        score=reason_score(of_groups, mean[-2], mean[-1], alpha=alpha),
        entropy=spread_over_groups(of_groups),
        inside=mean[-2],
        outside=mean[-1],
        group=groups.group,
        n_group=counts[:-2],
        mean=of_groups,
        provenance=pair.provenance(
            arguments={
                **sae_arguments(sae),
                "model": model,
                "rows": digest_json(tokens.rows),
                "groups": dict(zip(groups.group, groups.sequences, strict=True)),
                "alpha": alpha,
                "left": left,
                "right": right,
            }
        ),
    )


def spread_over_groups(mean: Float[Tensor, "feature group"]) -> Float[Tensor, " feature"]:
    """Normalised entropy of each feature's mean activations over groups, in [0, 1].

    Args:
        mean: Near the words of each group, not negative.

    Returns:
        0 for a single group and for a feature active near no word, 1 for uniform.
    """
    total = mean.sum(1, keepdim=True)
    share = torch.where(total > 0, mean / total, 0.0)
    return (torch.special.entr(share).sum(1) / math.log(mean.shape[1])).clamp(0, 1)


def reason_score(
    mean: Float[Tensor, "feature group"],
    inside: Float[Tensor, " feature"],
    outside: Float[Tensor, " feature"],
    *,
    alpha: float = 0.7,
) -> Float[Tensor, " feature"]:
    """ReasonScore of features from their mean activations.

    Args:
        mean: Near the words of each group, not negative.
        inside: Near some word.
        outside: Elsewhere.
        alpha: Exponent of the entropy.

    Source: Galichin et al. 2025, arXiv:2503.18878: s = μ⁺/Σμ⁺ · H^α - μ⁻/Σμ⁻.
    """
    return _share(inside) * spread_over_groups(mean) ** alpha - _share(outside)


def _share(part: Float[Tensor, " feature"]) -> Float[Tensor, " feature"]:
    """Each feature's share of the sum over features; 0 where nothing is active."""
    total = part.sum()
    return torch.where(total > 0, part / total, 0.0)
