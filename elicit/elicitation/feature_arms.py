"""Arms of one SAE feature: its edit, beside controls of equal norm."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from elicit import features
from elicit.directions import Direction
from elicit.edits import Shift, Where
from elicit.elicitation.arms import Arm, Kind
from elicit.elicitation.errors import ElicitationError
from elicit.elicitation.feature_push import FeaturePush, How
from elicit.features import FeatureTable, Fidelity, Sae
from elicit.rollouts import EditsAt

TIMES = 2.0
"""A feature is pushed to so many times its largest activation if nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class FeatureControls:
    """Control directions of a feature, which should have no effect.

    Raises:
        ElicitationError: There would be no control, or no feature could be drawn.
    """

    n_live: int = 4
    """Random other features that fire about as often."""
    factor: float = 2.0
    """Their firing rates are within this factor of the feature's."""
    max_cosine: float = 0.3
    """Their decoder rows are no nearer to the feature's: a second reader of the same thing would
    do the same, and be no control."""
    n_random: int = 4
    """Random directions."""
    shuffled: bool = True
    """Whether the feature's decoder row in another order is one of them."""
    seed: int = 0
    """Of drawing and shuffling."""

    def __post_init__(self) -> None:
        """Refuse options that give no control."""
        if self.n_live < 0 or not self.factor >= 1 or not 0 < self.max_cosine <= 1:
            raise ElicitationError(
                f"n_live is {self.n_live}, factor {self.factor} and max_cosine {self.max_cosine}, "
                "by which none could be drawn. Pass n_live of 0 or more, a factor of 1 or more and "
                "a cosine in (0, 1]."
            )
        if self.n_random < 0 or not (self.n_live or self.n_random or self.shuffled):
            raise ElicitationError(
                f"n_random is {self.n_random}, n_live {self.n_live} and shuffled {self.shuffled}, "
                "so there would be no control. Ask for at least one."
            )


def feature_arms(
    sae: Sae,
    feature: int,
    *,
    where: Where,
    measured: Fidelity | FeatureTable,
    how: How = "add",
    amount: float | None = None,
    controls: FeatureControls = FeatureControls(),
    baselines: Sequence[Direction] = (),
) -> tuple[Arm, ...]:
    """A feature added, clamped or projected out, and its controls.

    Every control adds a vector of the same norm as the feature's edit at the same token, along
    another direction: random features of like firing rate, the feature's decoder row with shuffled
    entries, and random directions. So does every baseline, which is not a control: it may well have
    the same effect, and shows what the feature adds over a simpler method.

    Args:
        sae: SAE of the feature.
        feature: Its number.
        where: Positions of the edit.
        measured: Firing rates and maximum activations of this SAE on the steered model.
        how: The edit; `project_out` removes the component along its direction.
        amount: Activation added or set; None takes `TIMES` its maximum activation. Not used by
            `project_out`.
        controls: Control directions.
        baselines: Directions found by simpler methods at the same site, such as a difference of
            means, scaled to the same norm.

    Raises:
        ElicitationError: What was measured is of another SAE or lacks the feature, there are too
            few live features, an amount is missing or not wanted, or another direction is of
            another site or width.
        FeatureError: The SAE has no such feature, or it cannot be written with.

    Source: clamp to twice the largest activation, Galichin et al. 2025, arXiv:2503.18878; random
        features as controls, He et al. 2026, arXiv:2601.08058; difference of means beside SAEs,
        Wu et al. 2025, arXiv:2501.17148 (AxBench). Equal rates, the shuffled row and pushing by
        the same amount at every token are ours.
    """
    sae.check_features((feature,))
    if how not in ("add", "clamp", "project_out"):
        raise ElicitationError(
            f"how is {how!r}, so nothing would be done with the feature. Pass 'add', 'clamp' or "
            "'project_out'."
        )
    place = _place(sae, feature, measured)
    amount = _amount(feature, how, amount, float(measured.max_act[place]))
    own = sae.directions[feature].detach().cpu().double()
    generator = np.random.default_rng(controls.seed)
    named: list[tuple[str, Kind, Tensor]] = [
        (f"live feature {number}", "control", sae.directions[number].detach().cpu().double())
        for number in _live(sae, feature, measured, place, controls, generator)
    ]
    if controls.shuffled:
        order = torch.from_numpy(generator.permutation(len(own)))
        named.append(("shuffled decoder row", "control", own[order]))
    for number in range(controls.n_random):
        drawn = torch.from_numpy(generator.standard_normal(len(own)))
        named.append((f"random {number}", "control", drawn))
    for other in baselines:
        if other.site != sae.site or len(other.vector) != len(own):
            raise ElicitationError(
                f"the direction {other.how!r} is at {other.site} with {len(other.vector)} entries, "
                f"and {sae.name} writes {len(own)} at {sae.site}, so it cannot be added there. "
                "Pass one of that site."
            )
        named.append((other.how, "baseline", other.vector.detach().cpu().double()))
    fixed = how == "add" and sae.normalises == "none"
    norm = abs(amount) * own.norm().item() if fixed else float("nan")

    def arm(name: str, kind: Kind, edit: EditsAt) -> Arm:
        return Arm(name=name, kind=kind, edit=edit, norm=norm)

    told = {"add": f"{amount:g} added", "clamp": f"set to {amount:g}", "project_out": "taken out"}
    return (
        arm(f"feature {feature}, {told[how]}", "steered", _own(sae, feature, how, amount, where)),
        *(
            arm(name, kind, _pushed(sae, feature, how, amount, vector, where))
            for name, kind, vector in named
        ),
    )


def _own(sae: Sae, feature: int, how: How, amount: float, where: Where) -> EditsAt:
    """The edit of the feature itself."""

    def edit(strength: Float[Tensor, " row"]) -> Sequence[Any]:
        if how == "project_out":
            return [features.project_out(sae, feature, where=where, scale=strength)]
        write = features.add if how == "add" else features.clamp
        return [write(sae, feature, amount, where=where, scale=strength)]

    edit(torch.ones(1))  # refused here, not when the first text is written
    return edit


def _pushed(
    sae: Sae, feature: int, how: How, amount: float, vector: Tensor, where: Where
) -> EditsAt:
    """The same edit along another direction, scaled to the norm of the feature's own."""
    own = sae.directions[feature]
    along = (vector * (own.detach().cpu().double().norm() / vector.norm())).to(own)
    push = FeaturePush(sae, feature, how, amount, along)
    return lambda strength: [Shift(sae.site, push, where=where, scale=strength, width=sae.d_in)]


def _place(sae: Sae, feature: int, measured: Fidelity | FeatureTable) -> int:
    """Index of the feature among those measured."""
    if (measured.sae, measured.site) != (sae.name, str(sae.site)):
        raise ElicitationError(
            f"firing rates are of {measured.sae} at {measured.site}, and the feature is one of "
            f"{sae.name} at {sae.site}, so they say nothing of it. Measure this SAE with "
            "features.fidelity."
        )
    known = measured.feature.tolist()
    if feature not in known:
        raise ElicitationError(
            f"feature {feature} is not among the {len(known)} whose firing rates were measured, so "
            "no feature could be found that fires as often. Measure all with features.fidelity."
        )
    return known.index(feature)


def _amount(feature: int, how: How, amount: float | None, largest: float) -> float:
    """Activation of the feature that is added or set."""
    if how == "project_out":
        if amount is not None:
            raise ElicitationError(
                f"amount is {amount:g}, and of a feature that is projected out all is taken away, "
                "so it would be ignored. Leave it out, or clamp the feature to it."
            )
        return 0.0
    if amount is not None:
        return amount
    if not largest > 0:
        raise ElicitationError(
            f"feature {feature} was active on none of the texts that were measured, so its largest "
            "activation gives no unit to push it by. Pass amount, or measure texts that it fires "
            "on."
        )
    return TIMES * largest


def _live(
    sae: Sae,
    feature: int,
    measured: Fidelity | FeatureTable,
    place: int,
    controls: FeatureControls,
    generator: np.random.Generator,
) -> list[int]:
    """Random features of like firing rate and low cosine similarity."""
    if not controls.n_live:
        return []
    rate = float(measured.density[place])
    if not rate > 0:
        raise ElicitationError(
            f"feature {feature} was active on none of the texts that were measured, so no live "
            "feature fires as often. Measure texts that it fires on, or pass n_live=0."
        )
    rows = sae.directions[measured.feature.to(sae.directions.device)].detach().cpu().double()
    cosine = torch.cosine_similarity(rows, rows[[place]], dim=1)
    fits = (
        (measured.density >= rate / controls.factor)
        & (measured.density <= rate * controls.factor)
        & (cosine.abs() <= controls.max_cosine)
    )
    fits[place] = False
    found = cast("list[int]", measured.feature[fits].tolist())
    if len(found) < controls.n_live:
        raise ElicitationError(
            f"feature {feature} is active at {rate:.3g} of the tokens, and {len(found)} other "
            f"features that point elsewhere are within a factor of {controls.factor:g} of that; "
            f"{controls.n_live} were to be drawn, so chance could not be estimated from them. "
            "Pass a "
            "smaller n_live or a larger factor."
        )
    drawn = generator.choice(len(found), size=controls.n_live, replace=False)
    return sorted(found[int(i)] for i in drawn)
