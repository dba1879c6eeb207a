"""Candidates evaluated on held-out problems, beside rate-matched features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.features._positions import features_of_like_rate, n_active_of
from elicit.features._reading import check_sae, name_of, rows_of, sae_arguments
from elicit.features._two_sample import two_sample
from elicit.features.contrast import values_at
from elicit.features.errors import FeatureError
from elicit.features.sae import Sae
from elicit.features.texts import PromptContrast
from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.runs import Execution
from elicit.stats import Inference, holm, problem_mean


@dataclass(frozen=True, eq=False, kw_only=True)
class HeldOut(Result):
    """Separation of reasoning and direct-answer prompts by candidates on held-out problems."""

    sae: str
    """Name of the SAE."""
    site: str
    """Site that was read, at the last token of every prompt."""
    model: str
    """Model that was read."""
    n_problems: int
    """Held-out problems, each with both prompts: the unit of every interval."""
    level: float
    """Coverage of every interval, each alone."""
    feature: Int[Tensor, " feature"]
    """Index of each candidate."""
    found_by: tuple[str, ...]
    """Scores that selected each, on other problems."""
    difference: Annotated[Estimate, " feature"]
    """Mean activation before reasoning minus before a direct answer, paired by problem."""
    auroc: Float[Tensor, " feature"]
    """AUROC of reasoning against direct-answer prompts, ties counting half."""
    p: Float[Tensor, " feature"]
    """Two-sided Mann-Whitney p-value, Holm-adjusted over candidates."""
    matched: tuple[str, ...]
    """Each candidate's control: features active on about as many tokens."""
    control_difference: Annotated[Estimate, " feature"]
    """Control: mean difference of the matched features."""
    control_auroc: Float[Tensor, " feature"]
    """Control: mean AUROC of the matched features."""
    gap: Float[Tensor, "feature problem"] | None = None
    """The difference of each problem; None in runs of earlier versions."""

    def holds(self, feature: int) -> bool:
        """Whether a candidate is clearly more active before reasoning, more so than its control.

        Raises:
            FeatureError: It is not a candidate.
        """
        known = self.feature.tolist()
        if feature not in known:
            raise FeatureError(
                f"feature {feature} was not evaluated, only {known} were. Evaluate it with them."
            )
        i = known.index(feature)
        return bool(
            self.difference.low[i] > 0
            and self.p[i] < 1 - self.level
            # An unavailable control does not reject.
            and not self.auroc[i] <= self.control_auroc[i]
        )


def held_out(
    pair: ModelPair,
    sae: Sae,
    features: Sequence[int] | Mapping[int, str],
    prompts: PromptContrast,
    *,
    model: str,
    n_matched: int = 8,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> HeldOut:
    """Evaluate candidates on problems other than those they were selected on.

    Args:
        pair: Base and post.
        sae: SAE of the features.
        features: Candidates; a mapping gives the scores that selected each.
        prompts: Prompts of the held-out problems, read at their last token.
        model: Which model is read, `base` or `post`.
        n_matched: Number of rate-matched features, whose mean is the control.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE has another width, site or model, or a feature is out of range.
    """
    side = check_sae(pair, sae, model)
    subset = [int(i) for i in features]
    found_by = list(features.values()) if isinstance(features, Mapping) else [""] * len(subset)
    sae.check_features(tuple(subset))
    tokens, n = rows_of(pair, prompts.rows), len(prompts)
    last = tokens.first + torch.tensor([len(row) - 1 for row in tokens.rows])
    read = torch.zeros(len(tokens), dtype=torch.bool)
    read[last] = True
    acts = values_at(side, sae, tokens, read, execution=execution)
    values = torch.stack([acts[i] for i in last.tolist()]).double()
    cot, direct = values[:n], values[n:]
    rates = n_active_of(side, sae, tokens, execution=Execution(max_tokens=execution.max_tokens))
    matched = features_of_like_rate(rates, subset, n_matched)
    tested, gap = two_sample(cot, direct), (cot - direct).numpy()
    differences = [gap[:, f] for f in subset]
    controls = [gap[:, list(some)].mean(1) if some else np.full(n, np.nan) for some in matched]
    return HeldOut(
        sae=sae.name,
        site=str(sae.site),
        model=name_of(pair, model),
        n_problems=n,
        level=inference.level,
        feature=torch.tensor(subset),
        found_by=tuple(found_by),
        difference=Estimate.of_intervals(problem_mean(v, inference=inference) for v in differences),
        auroc=tested.auroc[subset],
        p=torch.from_numpy(holm(tested.p[subset].numpy())),
        matched=tuple(" ".join(map(str, some)) for some in matched),
        control_difference=Estimate.of_intervals(
            problem_mean(v, inference=inference) for v in controls
        ),
        control_auroc=torch.tensor(
            # The mean over no feature is NaN: no control.
            [float(tested.auroc[list(some)].double().mean()) for some in matched],
            dtype=torch.float64,
        ),
        gap=torch.from_numpy(gap[:, subset].T.copy()),
        provenance=pair.provenance(
            seed=inference.seed,
            arguments={
                **sae_arguments(sae),
                **prompts.arguments,
                "model": model,
                "features": subset,
                "found_by": found_by,
                "n_matched": n_matched,
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
        ),
    )
