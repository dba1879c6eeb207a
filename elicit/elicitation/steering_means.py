"""Steering as a mechanism: a difference of means or an SAE feature, and its controls."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from elicit.directions import PromptPairs, diff_mean, matched_controls
from elicit.edits import Where, last, shape_of
from elicit.elicitation._pushing import plain_texts, prompt_bits, pushed, worded
from elicit.elicitation._unsteered import unsteered
from elicit.elicitation.arms import Arm
from elicit.elicitation.bench import Attempt, Bench, Sees
from elicit.elicitation.errors import ElicitationError
from elicit.elicitation.feature_arms import FeatureControls, feature_arms
from elicit.elicitation.feature_push import How
from elicit.elicitation.goal import Goal
from elicit.elicitation.sweep import Sweep
from elicit.features import Sae, fidelity
from elicit.results import Result
from elicit.rollouts import dose_rollouts
from elicit.sites import Site, resid_post
from elicit.tasks import NEGATIVE, POSITIVE

DEPTHS = (0.3, 0.5, 0.65, 0.8)
"""Depths of the residual streams that are tried, as shares of the layers."""


@dataclass(frozen=True, kw_only=True)
class DiffMeanSteering:
    """Base steered by the mean difference of its own states under two prompts.

    Nothing of post or of the answers is read to find the direction. Layer and strength are chosen
    on problems of their own; as a control, so are those of directions of the same norm.
    """

    control: bool = False
    """Whether random and shuffled directions of the same norms take its place."""
    sites: tuple[Site, ...] = ()
    """Residual streams to choose from; none takes four between a third and four fifths of the
    layers."""
    strengths: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """Multiples of the direction to choose from."""
    where: Where = last()
    """For which tokens: where the direction was read."""

    @property
    def name(self) -> str:
        """What figures and tables call it."""
        return "diff-mean, random directions" if self.control else "diff-mean"

    @property
    def sees(self) -> Sees:
        """Prompts alone."""
        return "nothing"

    def attempt(self, bench: Bench) -> Attempt:
        """Read base under both prompts, choose layer and strength, and write.

        Raises:
            DirectionError: The two kinds of prompts do not differ for base, or end in different
                tokens.
            ElicitationError: No strength but 0 is given.
        """
        sites = self.sites or _sites(bench)
        asked = bench.behaviour.asked(bench.fit)
        pairs = PromptPairs(
            positive=asked[POSITIVE],
            negative=asked[NEGATIVE],
            templated=bench.generation.templated,
        )
        found = diff_mean(
            bench.base, pairs, sites=sites, inference=bench.inference, execution=bench.execution
        )
        directions = [found.at(site) for site in sites]
        if self.control:
            directions = [
                other
                for one in directions
                for other in matched_controls(one, n_random=1, seed=bench.inference.seed)
            ]
        arms = [
            Arm(
                name=f"{one.how} at {one.site}",
                kind="control" if self.control else "steered",
                edit=lambda strength, one=one: [one.to_edit(strength, self.where)],
                norm=one.vector.double().norm().item(),
                resid_norm=one.resid_norm,
            )
            for one in directions
        ]
        sides = pairs.encode(bench.pair.alignment)
        return steered_attempt(
            bench,
            arms,
            strengths=self.strengths,
            bits=0.0 if self.control else prompt_bits(bench),
            n_read=sum(map(len, (*sides.positive, *sides.negative))),
            details={"directions": found},
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureSteering:
    """Base steered by one feature of an SAE.

    An SAE that was trained on base tells nothing of post but which feature was picked; one that was
    trained on post carries what post knows.
    """

    sae: Sae
    """The SAE; its site is where it writes."""
    feature: int
    """Index of the feature."""
    trained_on: Literal["base", "post"] = "base"
    """Model on whose activations the SAE was trained."""
    control: bool = False
    """Whether features that fire as often, random directions and shuffled rows take its place."""
    how: How = "add"
    """The edit."""
    strengths: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    """Multiples of the edit to choose from; 1 is twice the feature's largest activation."""
    where: Where = last()
    """For which tokens."""
    controls: FeatureControls = FeatureControls(n_live=2, n_random=1)
    """What controls there are."""

    @property
    def name(self) -> str:
        """What figures and tables call it."""
        return "feature, controls" if self.control else "feature"

    @property
    def sees(self) -> Sees:
        """What the SAE was trained on."""
        return "nothing" if self.trained_on == "base" else "post weights"

    def attempt(self, bench: Bench) -> Attempt:
        """Measure the feature on base's own texts, choose a strength, and write.

        Raises:
            FeatureError: The SAE is of another width, or lacks the feature.
            ElicitationError: The feature never fires on base's texts, or too few others fire as
                often.
        """
        rows = [
            [*texts.prompt_ids(row), *texts.ids(row)]
            for task in worded(bench, bench.fit)
            for texts in [plain_texts(bench, task)]
            for row in range(len(texts))
        ]
        measured = fidelity(bench.pair, self.sae, rows, model="base", execution=bench.execution)
        controls = replace(self.controls, seed=bench.inference.seed)
        arms = feature_arms(
            self.sae,
            self.feature,
            where=self.where,
            measured=measured,
            how=self.how,
            controls=controls,
        )
        bits = math.log2(self.sae.d_sae)
        if self.trained_on == "post":
            bits += 16.0 * self.sae.directions.shape[1]
        return steered_attempt(
            bench,
            arms[1:] if self.control else arms[:1],
            strengths=self.strengths,
            bits=0.0 if self.control else bits,
            n_read=2 * sum(map(len, rows)),
            details={"fidelity": measured},
        )


def steered_attempt(
    bench: Bench,
    arms: Sequence[Arm],
    *,
    strengths: Sequence[float],
    bits: float,
    n_read: int,
    details: dict[str, Result],
) -> Attempt:
    """The best of several pushes at the best of several strengths, and what it reaches on the test.

    Only coherent texts count where there are any, and of pushes that do nearly as much the weakest
    is taken.

    Args:
        bench: Problems, models and limits.
        arms: Pushes to choose from, such as one direction for each layer.
        strengths: How strongly each may push.
        bits: What finding them was told; that of choosing among them is added.
        n_read: Tokens that were read to find them.
        details: Results that the page shows beside it.

    Raises:
        ElicitationError: There is no push, or 0 is the only strength.
    """
    if not arms or not any(strengths):
        raise ElicitationError(
            f"there are {len(arms)} pushes and the strengths are {list(strengths)}, so nothing "
            "would be steered. Pass one push and one strength other than 0 at least."
        )
    how = {"generation": bench.generation, "seed": bench.inference.seed}
    alone = unsteered(bench.base, bench.choose, goal=Goal(), execution=bench.execution, **how)
    texts = [
        dose_rollouts(
            bench.base,
            bench.choose,
            arm.edit,
            strengths=strengths,
            execution=bench.execution,
            **how,
        )
        for arm in arms
    ]
    each = [alone.outcomes(one, n_cells=len(strengths)) for one in texts]
    swept = Sweep(
        unsteered=alone,
        strength=torch.tensor([float(strength) for strength in strengths]).double(),
        score=torch.stack([one.score for one in each], dim=2),
        coherent=torch.stack([one.coherent for one in each], dim=1),
    )
    at, dose = swept.best(0, raised=True)
    rates = swept.score[:, 0].mean(0)
    named = [
        (i, k, f"{arm.name}, strength {strength:g}")
        for i, arm in enumerate(arms)
        for k, strength in enumerate(strengths)
    ]
    n_tokens = n_read + sum(int(one.n_tokens.sum()) for one in (alone.texts, *texts))
    return Attempt(
        chosen=swept.score[:, 0, at, dose],
        tests=(bench.tried(pushed(bench, arms[at], strengths[dose]), bench.test, sampled=True),),
        bits=bits + math.log2(len(named)),
        n_tokens=n_tokens,
        flops=bench.flops(n_tokens),
        setting=next(text for i, k, text in named if (i, k) == (at, dose)),
        rejected=tuple(
            f"{text}: {rates[i, k].item():.2f}" for i, k, text in named if (i, k) != (at, dose)
        ),
        details=details,
    )


def _sites(bench: Bench) -> tuple[Site, ...]:
    n = shape_of(bench.base.bridge).n_layers
    return tuple(dict.fromkeys(resid_post(min(n - 1, int(depth * n))) for depth in DEPTHS))
