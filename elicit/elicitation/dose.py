"""Dose curve of an arm: what it does, how much is too much, what its controls do."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation.arms import Arm
from elicit.elicitation.asking import TARGET, UNSTEERED, Asking, worded
from elicit.elicitation.dose_result import DoseCurve
from elicit.elicitation.dose_values import (
    Behaviour,
    by_strength,
    coherence,
    effects_of,
    gaps_of,
    rates_of,
    scores_of,
    shares_of,
)
from elicit.pair import Side, hugging_face_model, weights_digest
from elicit.results import Provenance
from elicit.rollouts import Generation, edits_digest
from elicit.runs import Execution
from elicit.stats import Inference, gap_share, simultaneous_intervals
from elicit.tasks import Task


def dose_curve(
    side: Side,
    task: Task,
    arms: Sequence[Arm],
    *,
    strengths: Sequence[float],
    target: Side | None = None,
    need_gap: bool = True,
    behaviours: Mapping[str, Behaviour] | None = None,
    wordings: Mapping[str, Task] | None = None,
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> DoseCurve:
    """Rates of a model under a push of several strengths, beside controls that push as hard.

    All texts of a problem use the same random streams, so that what differs along a curve, and
    between curves, is the edit.

    Args:
        side: The model that is steered.
        task: Problems that the direction or feature was not found on.
        arms: What is done to it, then its controls: `direction_arms` or `feature_arms`.
        strengths: How strongly, each once; 0 is the model left alone.
        target: Model whose rates are the goal, often the post-trained one; None asks for no share
            of a gap.
        need_gap: Whether to refuse, before anything is steered, a target whose accuracy cannot be
            told from the model's. If not, rates are told without shares.
        behaviours: What else is looked for in each text, by name.
        wordings: The same problems in other words, by name: what a prompt alone brings about.
        generation: How texts are generated.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        ElicitationError: There are fewer than 2 problems, arms cannot be held against each other, a
            behaviour is called `accuracy`, or a wording is of other problems.
        NoGapError: Model and target do not differ in accuracy, and `need_gap`.
        RolloutError: Strengths are missing, not finite or there twice, or see `rollouts`.
        EditError: An edit does not fit the model, or its tokens the prompts.
        TaskError: A prompt leaves no room for a text.
    """
    watched = dict(behaviours or {})
    ask = Asking(
        side=side,
        generation=generation,
        seed=inference.seed,
        execution=execution,
    )
    ask.check(task, arms, strengths, watched)
    reworded = worded(wordings or {}, task)
    plain = ask.plain(task)
    base = scores_of(plain, watched, 1)[:, :, 0]
    alone = {UNSTEERED: base}
    if target is not None:
        post = alone[TARGET] = scores_of(ask.plain(task, target), watched, 1)[:, :, 0]
        if need_gap:
            # Refused before any steering: no share could be told of it.
            gap_share(
                base[:, 0].numpy(), base[:, 0].numpy(), post[:, 0].numpy(), level=inference.level
            )
    else:
        post = torch.full_like(base, torch.nan)
    for name, other in reworded.items():
        alone[name] = scores_of(ask.plain(other), watched, 1)[:, :, 0]
    found = [ask.steered(task, arm, strengths) for arm in arms]
    n = len(strengths)
    scores = torch.stack([scores_of(one, watched, n) for one in found], dim=2)
    own = coherence(side, plain, 1)[:, 0]
    told = torch.stack([coherence(side, one, n) for one in found], dim=1)
    joint = simultaneous_intervals(
        told.flatten(1).numpy(),
        level=inference.level,
        n_resamples=inference.n_resamples,
        seed=inference.seed,
    )
    cell = (len(arms), n)
    options = {
        "level": inference.level,
        "n_resamples": inference.n_resamples,
        "seed": inference.seed,
    }
    return DoseCurve(
        provenance=_provenance(target, arms, task, reworded, ask, strengths, options),
        metric=("accuracy", *watched),
        arm=tuple(arm.name for arm in arms),
        kind=tuple(arm.kind for arm in arms),
        strength=torch.tensor([float(strength) for strength in strengths], dtype=torch.float64),
        reference=tuple(alone),
        site=arms[0].site,
        where=arms[0].where,
        model=_name(side),
        target="" if target is None else _name(target),
        norm=arms[0].norm,
        resid_norm=arms[0].resid_norm,
        n_problems=len(task),
        n_samples=generation.n_samples,
        n_choose=0,
        chosen_by="",
        raised=True,
        level=inference.level,
        log_prob=torch.from_numpy(joint.value).view(cell),
        log_prob_low=torch.from_numpy(joint.low).view(cell),
        log_prob_high=torch.from_numpy(joint.high).view(cell),
        unsteered_log_prob=own.mean().item(),
        truncated=torch.stack([by_strength(one.truncated, n).mean((1, 2)) for one in found]),
        n_tokens=torch.stack([by_strength(one.n_tokens, n).mean((1, 2)) for one in found]),
        **rates_of(scores, generation.n_samples, inference),
        **effects_of(scores - base[:, :, None, None], inference),
        **shares_of(scores, base, post, inference),
        **gaps_of(base, post, inference),
        **_references(torch.stack([*alone.values()], dim=2), base, post, ask, options),
    )


def _references(
    scores: Float[Tensor, "problem metric reference"],
    base: Float[Tensor, "problem metric"],
    post: Float[Tensor, "problem metric"],
    ask: Asking,
    options: dict[str, float],
) -> dict[str, Float[Tensor, "metric reference"]]:
    """Rates and shares of what is not steered."""
    level = options["level"]
    found = {
        **rates_of(
            scores[..., None],
            ask.generation.n_samples,
            Inference(level=level, n_resamples=int(options["n_resamples"]), seed=ask.seed),
        ),
        **shares_of(scores[..., None], base, post, Inference(level=level)),
    }
    return {f"reference_{name}": values[..., 0] for name, values in found.items()}


def _name(side: Side) -> str:
    """What a model is called."""
    return str(getattr(hugging_face_model(side.bridge).config, "name_or_path", ""))


def _provenance(
    target: Side | None,
    arms: Sequence[Arm],
    task: Task,
    wordings: Mapping[str, Task],
    ask: Asking,
    strengths: Sequence[float],
    options: Mapping[str, object],
) -> Provenance:
    """Origin of a curve."""
    parameter = next(ask.side.bridge.parameters())
    return Provenance(
        seed=ask.seed,
        dtype=str(parameter.dtype).removeprefix("torch."),
        device=str(parameter.device),
        arguments={
            "question": "dose_curve",
            "model": _name(ask.side),
            "model_digest": weights_digest(ask.side.bridge),
            "target": None if target is None else _name(target),
            "target_digest": None if target is None else weights_digest(target.bridge),
            "arms": {arm.name: edits_digest(arm.edits()) for arm in arms},
            "site": arms[0].site,
            "where": arms[0].where,
            "strengths": [float(strength) for strength in strengths],
            **ask.told(),
            **options,
        },
        task_digests={one.name: one.digest for one in (task, *wordings.values())},
    )
