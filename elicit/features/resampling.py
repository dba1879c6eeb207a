"""Does a feature recur when its text is resampled, or was it bound to the tokens sampled?"""

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
    """How often features are active again when their texts are cut before them and resampled."""

    sae: str
    """Name of the SAE."""
    site: str
    """Where it was read."""
    model: str
    """Model that continues the texts and is read."""
    n_samples: int
    """Continuations of each position."""
    window: int
    """Tokens of each continuation, at most."""
    temperature: float
    """Sampling temperature."""
    least: float
    """Rate that a stable feature must clearly exceed."""
    level: float
    """Coverage of every interval, each alone, over problems."""
    feature: Int[Tensor, " feature"]
    """Index of each candidate."""
    verdict: tuple[str, ...]
    """Of each: `stable`, `unstable`, `unclear`, or `never active`."""
    threshold: Float[Tensor, " feature"]
    """Activation from which it counts as active."""
    n_problems: Int[Tensor, " feature"]
    """Problems in whose texts it was active; each gives one position, its largest activation."""
    matched: tuple[str, ...]
    """Of each, the control's features: others that are active on about as many tokens."""
    arm: tuple[str, ...]
    """What is counted: the feature after a cut at its own positions; the same after as many cuts
    at random positions of the same texts; features of like rate after cuts at its own positions."""
    rate: Annotated[Estimate, "feature arm"]
    """Share of continuations with an activation above the threshold."""
    excess: Annotated[Estimate, "feature arm"]
    """Rate at its own positions minus that of this arm, paired by problem."""
    token_rate: Float[Tensor, "feature arm"]
    """Share of continuations that contain the token which was cut off; NaN of matched features."""
    shown_rate: Float[Tensor, "feature arm"]
    """Share of continuations that show the behaviour; NaN of matched features, or if not
    counted."""
    of: Int[Tensor, " position"]
    """Candidate of each position."""
    row: Int[Tensor, " position"]
    """Row of the text."""
    pos: Int[Tensor, " position"]
    """Token before which it was cut."""
    position_rate: Float[Tensor, " position"]
    """Share of its continuations in which the feature was active."""

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
    """Filter candidates by whether the model gets there again: cut before them, and resample.

    A feature that stands for a state recurs, because what came before fixes it; one that stands for
    a token that happened to be sampled does not.

    Args:
        pair: Base and post.
        sae: Whose features.
        features: Candidates.
        texts: Token ids of texts, ideally sampled from the model itself; where they begin and
            which problem they answer, if that is known.
        model: Which model continues them and is read, `base` or `post`.
        resampling: Positions, continuations, and what counts as active.
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
    """Let only those tokens count that may be cut off and resampled."""
    if begins is None:
        return
    tokens.counted &= tokens.pos >= torch.tensor([int(i) for i in begins])[tokens.row]
    if not bool(tokens.counted.any()):
        raise FeatureError(
            "no token of any row stands at or after the position where it begins, so there is "
            "nothing to resample. Pass rows that include text after what the model was given."
        )
