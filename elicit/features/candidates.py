"""Candidates told on problems on which nothing was chosen, beside features of like rate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.features.contrasting import values_at
from elicit.features.errors import FeatureError
from elicit.features.places import like, n_active_of
from elicit.features.ratios import ends
from elicit.features.reading import On, checked, rows_of, told_of
from elicit.features.sae import Sae
from elicit.features.twosample import two_sample
from elicit.pair import ModelPair
from elicit.results import Result, digest_json
from elicit.runs import Execution
from elicit.stats import Inference, holm


@dataclass(frozen=True, eq=False, kw_only=True)
class HeldOut(Result):
    """How well chosen features tell prompts for reasoning from prompts for an answer elsewhere."""

    sae: str
    """Name of the SAE."""
    site: str
    """Where it was read, at the last token of every prompt."""
    model: str
    """Model that was read."""
    n_problems: int
    """Problems, each with both prompts: the unit of every interval."""
    level: float
    """Coverage of every interval, each alone."""
    feature: Int[Tensor, " feature"]
    """Number of each candidate."""
    found_by: tuple[str, ...]
    """By which scores each was found, on other problems."""
    difference: Float[Tensor, " feature"]
    """Mean activation before a trace minus before an answer, paired by problem."""
    difference_low: Float[Tensor, " feature"]
    """Lower end."""
    difference_high: Float[Tensor, " feature"]
    """Upper end."""
    auroc: Float[Tensor, " feature"]
    """Chance that it is more active before a trace than before an answer, ties counting half."""
    p: Float[Tensor, " feature"]
    """Two-sided Mann-Whitney p-value, Holm-adjusted over candidates."""
    matched: tuple[str, ...]
    """Of each, the control's features: others that are active on about as many tokens."""
    control_difference: Float[Tensor, " feature"]
    """Control: mean difference of the matched features."""
    control_difference_low: Float[Tensor, " feature"]
    """Lower end."""
    control_difference_high: Float[Tensor, " feature"]
    """Upper end."""
    control_auroc: Float[Tensor, " feature"]
    """Control: mean AUROC of the matched features."""

    def holds(self, feature: int) -> bool:
        """Whether a candidate is clearly more active before a trace, and more than its control.

        Args:
            feature: Its number.

        Raises:
            FeatureError: It is no candidate.
        """
        known = self.feature.tolist()
        if feature not in known:
            raise FeatureError(
                f"feature {feature} is no candidate, and {known} are. Tell it as one of them."
            )
        i = known.index(feature)
        return bool(
            self.difference_low[i] > 0
            and self.p[i] < 1 - self.level
            # A control that could not be had does not stand in the way.
            and not self.auroc[i] <= self.control_auroc[i]
        )


def held_out(
    pair: ModelPair,
    sae: Sae,
    features: Sequence[int],
    *,
    cot: Sequence[Sequence[int]],
    direct: Sequence[Sequence[int]],
    on: On,
    found_by: Sequence[str] | None = None,
    n_matched: int = 8,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> HeldOut:
    """Tell candidates on other problems than those they were found on, at the prompt's last token.

    Args:
        pair: Base and post.
        sae: Whose features.
        features: Candidates.
        cot: Token ids of each problem's prompt for a trace, up to its last token.
        direct: Token ids of the same problem's prompt for an answer at once.
        on: Which model is read.
        found_by: In words, what each was found by; None: nothing is said.
        n_matched: Other features of about the same rate, whose mean is the control.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE is of another width, site or model, a feature is out of range, prompts
            do not pair up, or all pairs are equal.
    """
    model = checked(pair, sae, on)
    wanted = tuple(int(i) for i in features)
    sae.check_features(wanted)
    check_contrast(cot, direct)
    if found_by is not None and len(found_by) != len(wanted):
        raise FeatureError(
            f"{len(found_by)} origins are told for {len(wanted)} features, so it is not clear "
            "whose each is. Pass one for each."
        )
    tokens, n = rows_of(pair, [*cot, *direct]), len(cot)
    last = tokens.first + torch.tensor([len(row) - 1 for row in tokens.rows])
    chosen = torch.zeros(len(tokens), dtype=torch.bool)
    chosen[last] = True
    acts = values_at(model, sae, tokens, chosen, pair, execution)
    values = torch.stack([acts[i] for i in last.tolist()]).double()
    first, second = values[:n], values[n:]
    matched = like(n_active_of(model, sae, tokens, pair, execution.max_tokens), wanted, n_matched)
    tested = two_sample(first, second)
    gap = (first - second).numpy()
    own = [gap[:, f] for f in wanted]
    others = [gap[:, list(some)].mean(1) if some else np.full(n, np.nan) for some in matched]

    def told(parts: Sequence[np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
        found = [(float(part.mean()), *ends(part, inference=inference)) for part in parts]
        value, low, high = torch.tensor(found, dtype=torch.float64).T
        return value, low, high

    difference, control = told(own), told(others)
    return HeldOut(
        sae=sae.name,
        site=str(sae.site),
        model=pair.base_name if on == "base" else pair.post_name,
        n_problems=n,
        level=inference.level,
        feature=torch.tensor(wanted),
        found_by=tuple(found_by or [""] * len(wanted)),
        difference=difference[0],
        difference_low=difference[1],
        difference_high=difference[2],
        auroc=tested.auroc[list(wanted)],
        p=torch.from_numpy(holm(tested.p[list(wanted)].numpy())),
        matched=tuple(" ".join(map(str, some)) for some in matched),
        control_difference=control[0],
        control_difference_low=control[1],
        control_difference_high=control[2],
        control_auroc=torch.tensor(
            # The mean of none is NaN, which is what no control is.
            [float(tested.auroc[list(some)].double().mean()) for some in matched],
            dtype=torch.float64,
        ),
        provenance=pair.provenance(
            seed=inference.seed,
            arguments={
                **told_of(sae),
                "on": on,
                "features": list(wanted),
                "found_by": None if found_by is None else list(found_by),
                "cot": digest_json([list(map(int, row)) for row in cot]),
                "direct": digest_json([list(map(int, row)) for row in direct]),
                "n_matched": n_matched,
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
        ),
    )


def check_contrast(cot: Sequence[Sequence[int]], direct: Sequence[Sequence[int]]) -> None:
    """Refuse prompts between which no feature could differ.

    Args:
        cot: Token ids of each problem's prompt for a trace.
        direct: Token ids of the same problem's prompt for an answer at once.

    Raises:
        FeatureError: They do not pair up, there are fewer than two, or all pairs are equal.
    """
    if len(cot) != len(direct) or len(cot) < 2:
        raise FeatureError(
            f"there are {len(cot)} prompts for a trace and {len(direct)} for an answer, and two "
            "problems or more with one of each are needed. Pass both of every problem."
        )
    if all(list(one) == list(other) for one, other in zip(cot, direct, strict=True)):
        raise FeatureError(
            f"all {len(cot)} prompts for a trace are the prompts for an answer, token by token, so "
            "no feature could tell them apart. Pass prompts that differ."
        )
