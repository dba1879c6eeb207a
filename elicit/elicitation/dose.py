"""Dose curve of an arm: its effect and coherence by strength, beside its controls."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation._unsteered import unsteered
from elicit.elicitation.arms import Arm
from elicit.elicitation.checks import check_request
from elicit.elicitation.dose_result import DoseCurve
from elicit.elicitation.estimates import effects_of, means_of, rates_of, shares_of
from elicit.elicitation.goal import TARGET, UNSTEERED, Goal
from elicit.elicitation.outcomes import scores
from elicit.pair import Side, hugging_face_model, weights_digest
from elicit.results import Provenance
from elicit.rollouts import Generation, Rollouts, dose_rollouts, edits_digest, rollouts
from elicit.runs import Execution
from elicit.stats import Inference, gap_share
from elicit.tasks import Task


def dose_curve(
    side: Side,
    task: Task,
    arms: Sequence[Arm],
    *,
    strengths: Sequence[float],
    goal: Goal = Goal(),
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> DoseCurve:
    """Rates of a steered model by strength, beside controls of equal norm.

    All texts of a problem use the same random streams, so that what differs along a curve, and
    between curves, is the edit.

    Args:
        side: The steered model.
        task: Problems that were not used to find the direction or feature.
        arms: The arm under test, then its controls: `direction_arms` or `feature_arms`.
        strengths: Distinct strengths; 0 is the unsteered model.
        goal: Target model and metrics.
        generation: Generation options.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Checkpoint and progress.

    Raises:
        ElicitationError: There are fewer than 2 problems, arms are not comparable, or a wording is
            of other problems.
        NoGapError: Model and target do not differ in accuracy, and `goal.need_gap`.
        RolloutError: Strengths are missing, not finite or repeated, or see `rollouts`.
        EditError: An edit does not fit the model, or its tokens the prompts.
        TaskError: A prompt fills the context window.
    """
    check_request(side, task, arms, strengths, generation)
    how = {"generation": generation, "seed": inference.seed, "execution": execution}
    reworded = goal.reworded(task)
    alone = unsteered(side, task, goal=goal, **how)
    base, post = alone.base, alone.post
    if goal.target is not None and goal.need_gap:
        # Refused before any steering: no share of it could be reported.
        gap_share(base[:, 0].numpy(), base[:, 0].numpy(), post[:, 0].numpy(), level=inference.level)
    rows = {UNSTEERED: base} if goal.target is None else {UNSTEERED: base, TARGET: post}
    for name, other in reworded.items():
        rows[name] = scores(rollouts(side, other, **how), goal.markers)[:, :, 0]
    texts = [dose_rollouts(side, task, arm.edit, strengths=strengths, **how) for arm in arms]
    n = len(strengths)
    each = [alone.outcomes(one, n_cells=n) for one in texts]
    score = torch.stack([one.score for one in each], dim=2)
    coherent = torch.stack([one.coherent for one in each], dim=1)[:, None]
    others = torch.stack([*rows.values()], dim=2)[..., None]
    rates = {"proportion": generation.n_samples == 1, "inference": inference}
    return DoseCurve(
        provenance=_provenance(side, goal, arms, task, reworded, strengths, generation, inference),
        metric=goal.metrics,
        arm=tuple(arm.name for arm in arms),
        kind=tuple(arm.kind for arm in arms),
        strength=torch.tensor([float(strength) for strength in strengths], dtype=torch.float64),
        reference=tuple(rows),
        site=arms[0].site,
        where=arms[0].where,
        model=_name(side),
        target="" if goal.target is None else _name(goal.target),
        norm=arms[0].norm,
        resid_norm=arms[0].resid_norm,
        n_problems=len(task),
        n_samples=generation.n_samples,
        level=inference.level,
        gap=alone.gap(inference),
        reference_rate=rates_of(others, **rates)[..., 0],
        reference_share=shares_of(others, base, post, inference)[..., 0],
        rate=rates_of(score, **rates),
        effect=effects_of(score - base[:, :, None, None], inference),
        share=shares_of(score, base, post, inference),
        log_prob=means_of(torch.stack([one.log_prob for one in each], dim=1), inference),
        unsteered_log_prob=alone.own.log_prob.mean().item(),
        coherent=rates_of(coherent, **rates)[0],
        unsteered_coherent=alone.own.coherent.mean().item(),
        truncated=_by_strength(texts, "truncated", n),
        n_tokens=_by_strength(texts, "n_tokens", n),
    )


def _by_strength(
    texts: Sequence[Rollouts], field: str, n_strengths: int
) -> Float[Tensor, "arm strength"]:
    """Mean of a field over the texts of each arm and strength."""
    return torch.stack(
        [getattr(one, field).double().view(n_strengths, -1).mean(1) for one in texts]
    )


def _name(side: Side) -> str:
    """Name of a model."""
    return str(getattr(hugging_face_model(side.bridge).config, "name_or_path", ""))


def _provenance(
    side: Side,
    goal: Goal,
    arms: Sequence[Arm],
    task: Task,
    wordings: Mapping[str, Task],
    strengths: Sequence[float],
    generation: Generation,
    inference: Inference,
) -> Provenance:
    """Origin of a curve."""
    parameter = next(side.bridge.parameters())
    return Provenance(
        seed=inference.seed,
        dtype=str(parameter.dtype).removeprefix("torch."),
        device=str(parameter.device),
        arguments={
            "question": "dose_curve",
            "model": _name(side),
            "model_digest": weights_digest(side.bridge),
            "target": None if goal.target is None else _name(goal.target),
            "target_digest": None if goal.target is None else weights_digest(goal.target.bridge),
            "arms": {arm.name: edits_digest(arm.edits()) for arm in arms},
            "site": arms[0].site,
            "where": arms[0].where,
            "strengths": [float(strength) for strength in strengths],
            "max_loss": goal.max_loss,
            "stop_ids": list(generation.stops(side)),
            "n_samples": generation.n_samples,
            "temperature": generation.temperature,
            "max_new_tokens": generation.max_new_tokens,
            "templated": generation.templated,
            "level": inference.level,
            "n_resamples": inference.n_resamples,
        },
        task_digests={one.name: one.digest for one in (task, *wordings.values())},
    )
