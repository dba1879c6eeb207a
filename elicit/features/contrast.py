"""Which features separate two sets of positions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.features._reading import Rows, blocks, check_sae, name_of, rows_of, sae_arguments
from elicit.features._two_sample import two_sample
from elicit.features.errors import FeatureError
from elicit.features.sae import Sae
from elicit.features.texts import PromptContrast
from elicit.pair import ModelPair, Side
from elicit.results import Result, digest_json
from elicit.runs import Execution
from elicit.stats import benjamini_hochberg, holm

Position = tuple[int, int]
"""A row and a position in it; negative counts from its end."""
_FEATURES = 4096
"""Features ranked at once."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ContrastScores(Result):
    """How well each feature separates two sets of positions; no evidence of a cause."""

    sae: str
    """Name of the SAE."""
    site: str
    """Site that was read."""
    model: str
    """Model that was read."""
    unit: str
    """Independent unit: `row`, the mean over its positions, or `position`."""
    what: str = "labelled positions"
    """Description of the comparison."""
    n_positive: int
    """Number of independent values of the first set."""
    n_negative: int
    """Number of independent values of the second set."""
    feature: Int[Tensor, " feature"]
    """Index of each feature."""
    mean_positive: Float[Tensor, " feature"]
    """Mean activation on the first set."""
    mean_negative: Float[Tensor, " feature"]
    """Mean activation on the second set."""
    difference: Float[Tensor, " feature"]
    """First minus second."""
    auroc: Float[Tensor, " feature"]
    """Probability that the feature is more active on the first set, ties counting half."""
    d: Float[Tensor, " feature"]
    """Cohen's d with the pooled standard deviation; infinite where neither set varies."""
    p: Float[Tensor, " feature"]
    """Two-sided Mann-Whitney p-value."""
    p_holm: Float[Tensor, " feature"]
    """Holm-adjusted p-value over all features (family-wise error)."""
    p_bh: Float[Tensor, " feature"]
    """Benjamini-Hochberg-adjusted p-value over all features (false discovery rate)."""

    def top(self, n: int, *, by: Literal["auroc", "d", "difference"] = "auroc") -> tuple[int, ...]:
        """Features most specific to the first set, best first.

        Args:
            n: How many.
            by: Ranking criterion; ties by the difference of means.

        Raises:
            FeatureError: `by` is unknown.
        """
        if by not in ("auroc", "d", "difference"):
            raise FeatureError(
                f"by is {by!r}, which is not a ranking. Pass 'auroc', 'd' or 'difference'."
            )
        value = getattr(self, by)
        ranked = sorted(
            range(len(value)), key=lambda i: (-float(value[i]), -float(self.difference[i]), i)
        )
        return tuple(ranked[:n])


def contrast_scores(
    pair: ModelPair,
    sae: Sae,
    rows: Sequence[Sequence[int]],
    *,
    positive: Sequence[Position],
    negative: Sequence[Position],
    model: str,
    unit: Literal["row", "position"] = "row",
    execution: Execution = Execution(),
) -> ContrastScores:
    """How well each feature separates two sets of labelled positions, in one pass.

    Args:
        pair: Base and post.
        sae: SAE of the features.
        rows: Token ids of each row; rows without a labelled position are not run.
        positive: Row and position of each token of the first set; negative positions count from
            the end.
        negative: The same for the second set.
        model: Which model is read, `base` or `post`.
        unit: Independent unit; positions of one row are not independent.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE is of another width, site or model, a set has fewer than two
            independent values, the sets share a position, or a position is outside its row.
    """
    side, tokens = check_sae(pair, sae, model), rows_of(pair, rows)
    if unit not in ("row", "position"):
        raise FeatureError(
            f"unit is {unit!r}, which is not an independent unit. Pass 'row' or 'position'."
        )
    sets = {
        name: _numbers(tokens, name, given, unit)
        for name, given in (("positive", positive), ("negative", negative))
    }
    shared = sets["positive"] & sets["negative"]
    if bool(shared.any()):
        at = int(shared.nonzero()[0])
        raise FeatureError(
            f"position {int(tokens.pos[at])} of row {int(tokens.row[at])} is in both sets, so they "
            "cannot be separated there. Label each position once."
        )
    labelled = sets["positive"] | sets["negative"]
    acts = values_at(side, sae, tokens, labelled, execution=execution)
    first, second = (_units(acts, tokens, sets[name], unit) for name in sets)
    parts = [
        two_sample(first[:, i : i + _FEATURES], second[:, i : i + _FEATURES])
        for i in range(0, sae.d_sae, _FEATURES)
    ]
    p = torch.cat([part.p for part in parts])
    mean = {"first": first.double().mean(0), "second": second.double().mean(0)}
    return ContrastScores(
        sae=sae.name,
        site=str(sae.site),
        model=name_of(pair, model),
        unit=unit,
        n_positive=len(first),
        n_negative=len(second),
        feature=torch.arange(sae.d_sae),
        mean_positive=mean["first"],
        mean_negative=mean["second"],
        difference=mean["first"] - mean["second"],
        auroc=torch.cat([part.auroc for part in parts]),
        d=torch.cat([part.d for part in parts]),
        p=p,
        p_holm=torch.from_numpy(holm(p.numpy())),
        p_bh=torch.from_numpy(benjamini_hochberg(p.numpy())),
        provenance=pair.provenance(
            arguments={
                **sae_arguments(sae),
                "model": model,
                "unit": unit,
                "rows": digest_json(tokens.rows),
                "positive": digest_json([list(at) for at in positive]),
                "negative": digest_json([list(at) for at in negative]),
            }
        ),
    )


def cot_minus_direct(
    pair: ModelPair,
    sae: Sae,
    prompts: PromptContrast,
    *,
    model: str,
    execution: Execution = Execution(),
) -> ContrastScores:
    """Features more active at the end of reasoning prompts than of direct-answer prompts.

    Rank with `top(n, by="difference")`.

    Args:
        pair: Base and post.
        sae: SAE of the features.
        prompts: Prompts of both kinds for every problem.
        model: Which model is read, `base` or `post`.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: See `contrast_scores`.

    Source: He et al. 2026, arXiv:2601.08058, at the last token of the prompt.
    """
    n = len(prompts)
    scores = contrast_scores(
        pair,
        sae,
        prompts.rows,
        positive=[(i, -1) for i in range(n)],
        negative=[(n + i, -1) for i in range(n)],
        model=model,
        execution=execution,
    )
    return replace(scores, what="ends of reasoning prompts against those of direct-answer prompts")


def values_at(
    side: Side,
    sae: Sae,
    tokens: Rows,
    subset: Bool[Tensor, " token"],
    *,
    execution: Execution = Execution(),
) -> dict[int, Float[Tensor, " feature"]]:
    """Feature activations of the requested tokens, by token index."""
    result: dict[int, Tensor] = {}
    for block in blocks(side, sae, tokens, counted=subset, execution=execution):
        result.update(zip(block.index.tolist(), block.acts.float().cpu(), strict=True))
    return result


def _numbers(
    tokens: Rows, name: str, given: Sequence[Position], unit: str
) -> Bool[Tensor, " token"]:
    """Token indices of a set of positions."""
    result = torch.zeros(len(tokens), dtype=torch.bool)
    for row, place in given:
        if not 0 <= row < len(tokens.rows):
            raise FeatureError(
                f"{name} names row {row}, and there are rows 0 to {len(tokens.rows) - 1}, so "
                "it does not exist. Pass one of these."
            )
        length = len(tokens.rows[row])
        if not -length <= place < length:
            raise FeatureError(
                f"{name} names position {place} of row {row}, which has {length} tokens. "
                f"Pass {-length} to {length - 1}."
            )
        result[int(tokens.first[row]) + place % length] = True
    n = len(set(tokens.row[result].tolist())) if unit == "row" else int(result.sum())
    if n < 2:
        raise FeatureError(
            f"the {name} positions are {n} independent value{'s' * (n != 1)} (unit: {unit}), so "
            "there is no spread to compare a difference with. Label positions of at least two "
            "rows."
        )
    return result


def _units(
    acts: dict[int, Tensor], tokens: Rows, wanted: Tensor, unit: str
) -> Float[Tensor, "unit feature"]:
    """Independent values of a set: one per position, or the mean of each row."""
    numbers = wanted.nonzero()[:, 0].tolist()
    values = torch.stack([acts[i] for i in numbers])
    if unit == "position":
        return values
    rows, index = tokens.row[wanted].unique(return_inverse=True)
    sums = torch.zeros(len(rows), values.shape[1], dtype=torch.float64)
    sums.index_add_(0, index, values.double())
    return sums / index.bincount()[:, None]
