"""Does a feature recur when its text is resampled, or did it depend on the sampled tokens?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.features._positions import Resampling, find_positions
from elicit.features._reading import Rows, check_sae, name_of, rows_of, sae_arguments
from elicit.features._recurrence import candidate, recurrence
from elicit.features.errors import FeatureError
from elicit.features.sae import Sae
from elicit.features.texts import TextRows, text_rows
from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.runs import Execution
from elicit.stats import Inference

ARMS = ("own positions", "random positions", "matched features")


@dataclass(frozen=True, eq=False, kw_only=True)
class ResamplingStability(Result):
    """Recurrence rates of features when texts are cut before them and resampled."""

    sae: str
    """Name of the SAE."""
    site: str
    """Site that was read."""
    model: str
    """Model that continues the texts and is read."""
    n_samples: int
    """Continuations per position."""
    window: int
    """Largest length of a continuation, tokens."""
    temperature: float
    """Sampling temperature."""
    least: float
    """Rate that a stable feature clearly exceeds."""
    level: float
    """Coverage of every interval, each alone, over problems."""
    feature: Int[Tensor, " feature"]
    """Index of each candidate."""
    verdict: tuple[str, ...]
    """Verdict: `stable`, `unstable`, `unclear`, or `never active`."""
    threshold: Float[Tensor, " feature"]
    """Activation above which it counts as active."""
    n_problems: Int[Tensor, " feature"]
    """Problems in whose texts it was active, each with one position: its largest activation."""
    matched: tuple[str, ...]
    """Each candidate's control: features active on about as many tokens."""
    arm: tuple[str, ...]
    """Arms: the feature after a cut at its positions; the same after as many cuts at random
    positions of the same texts; rate-matched features after cuts at its positions."""
    rate: Annotated[Estimate, "feature arm"]
    """Share of continuations with an activation above the threshold."""
    excess: Annotated[Estimate, "feature arm"]
    """Rate at its positions minus that of this arm, paired by problem."""
    token_rate: Float[Tensor, "feature arm"]
    """Share of continuations that contain the cut token; NaN for matched features."""
    shown_rate: Float[Tensor, "feature arm"]
    """Share of continuations that show the behaviour; NaN for matched features, or if not
    counted."""
    of: Int[Tensor, " position"]
    """Candidate of each position."""
    row: Int[Tensor, " position"]
    """Row of the text."""
    pos: Int[Tensor, " position"]
    """Position of the cut."""
    position_rate: Float[Tensor, " position"]
    """Share of continuations in which the feature was active."""

    @property
    def stable(self) -> tuple[int, ...]:
        """Candidates that recur."""
        return tuple(self.feature[[v == "stable" for v in self.verdict]].tolist())


def resampling_stability(
    pair: ModelPair,
    sae: Sae,
    features: Sequence[int],
    texts: TextRows | Sequence[Sequence[int]],
    *,
    model: str,
    resampling: Resampling = Resampling(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> ResamplingStability:
    """Filter candidates by recurrence: cut texts before their activations, and resample.

    A feature of a state recurs, because the preceding text determines it; a feature of a token that
    happened to be sampled does not.

    Args:
        pair: Base and post.
        sae: SAE of the features.
        features: Candidates.
        texts: Token ids of texts, ideally sampled from the model itself, with their beginnings
            and problems if known.
        model: Which model continues them and is read, `base` or `post`.
        resampling: Positions, continuations and activation threshold.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE has another width, site or model, a feature is out of range, or no
            position may be cut.

    Source: resampling each prefix, as arXiv:2604.02113 does for behaviours located by keywords, of
        which most do not reproduce; here for features, with controls.
    """
    side, texts = check_sae(pair, sae, model), text_rows(texts)
    tokens, generation = rows_of(pair, texts.rows), resampling.generation
    subset = tuple(int(i) for i in features)
    sae.check_features(subset)
    _restrict(tokens, texts.begins)
    positions = find_positions(
        side,
        sae,
        tokens,
        subset,
        texts.numbers,
        resampling=resampling,
        seed=inference.seed,
        execution=execution,
    )
    counted = recurrence(
        pair,
        side,
        sae,
        tokens,
        positions,
        resampling=resampling,
        seed=inference.seed,
        execution=execution,
    )
    results = [
        candidate(counted, i, least=resampling.least, inference=inference)
        for i in range(len(subset))
    ]
    flat = [(f, *cut) for f, cuts in zip(subset, positions.peaks, strict=True) for cut in cuts]
    of, row, pos = torch.tensor(flat, dtype=torch.long).reshape(-1, 3).T.contiguous()
    return ResamplingStability(
        sae=sae.name,
        site=str(sae.site),
        model=name_of(pair, model),
        n_samples=generation.n_samples,
        window=generation.max_new_tokens,
        temperature=generation.temperature,
        least=resampling.least,
        level=inference.level,
        feature=torch.tensor(subset),
        verdict=tuple(one.verdict for one in results),
        threshold=positions.threshold[: len(subset)],
        n_problems=torch.tensor([len(cuts) for cuts in positions.peaks]),
        matched=tuple(" ".join(map(str, some)) for some in positions.matched),
        arm=ARMS,
        rate=Estimate.stack(one.rate for one in results),
        excess=Estimate.stack(one.excess for one in results),
        token_rate=torch.stack([one.token for one in results]),
        shown_rate=torch.stack([one.shown for one in results]),
        of=of,
        row=row,
        pos=pos,
        position_rate=torch.tensor([r for one in results for r in one.rates], dtype=torch.float64),
        provenance=pair.provenance(
            seed=inference.seed,
            arguments={
                **sae_arguments(sae),
                **texts.arguments,
                "model": model,
                "features": list(subset),
                "stop_ids": list(generation.stops(side)),
                "n_samples": generation.n_samples,
                "window": generation.max_new_tokens,
                "temperature": generation.temperature,
                "top_p": generation.top_p,
                "n_positions": resampling.n_positions,
                "share": resampling.share,
                "least": resampling.least,
                "n_matched": resampling.n_matched,
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
        ),
    )


def _restrict(tokens: Rows, begins: Sequence[int] | None) -> None:
    """Count only tokens that may be resampled."""
    if begins is None:
        return
    tokens.counted &= tokens.pos >= torch.tensor([int(i) for i in begins])[tokens.row]
    if not bool(tokens.counted.any()):
        raise FeatureError(
            "no row has a token at or after its position in begins, so there is nothing to "
            "resample. Pass rows that include text after the prompt."
        )
