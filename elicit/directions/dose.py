"""Dose curve of a direction: what adding it does, how much is too much, what controls do."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from elicit.directions.controls import matched_controls
from elicit.directions.dose_result import DoseCurve
from elicit.directions.dose_values import (
    Behaviour,
    by_strength,
    coherence,
    effects_of,
    rates_of,
    scores_of,
    shares_of,
)
from elicit.directions.errors import DirectionError
from elicit.directions.values import Direction
from elicit.edits import Edited, Where
from elicit.pair import Alignment, hugging_face_model, weights_digest
from elicit.results import Cells, Progress, Provenance
from elicit.rollouts import Rollouts, check_prompts, dose_rollouts, rollouts
from elicit.rollouts.dosing import check_strengths
from elicit.stats import gap_share, simultaneous_intervals
from elicit.tasks import Extractor, Task, default_extractor

_NORM_TOLERANCE = 1e-3
"""Relative difference of a control's norm that is rounding."""


@dataclass(frozen=True, kw_only=True)
class _Ask:
    """How every text of a curve is written."""

    alignment: Alignment
    task: Task
    stop_ids: tuple[int, ...]
    n_samples: int
    temperature: float
    max_new_tokens: int
    batch_size: int
    seed: int
    extractor: Extractor
    templated: bool
    cells: Cells | None
    progress: Progress | None

    def plain(self, model: nn.Module) -> Rollouts:
        """Texts of a model as it is."""
        return rollouts(model, **vars(self))

    def steered(
        self, model: nn.Module, direction: Direction, where: Where, strengths: Sequence[float]
    ) -> Rollouts:
        """Texts under a direction of each strength."""
        return dose_rollouts(
            model,
            edit=lambda scale: [direction.to_edit(scale, where)],
            strengths=strengths,
            **vars(self),
        )


def dose_curve(
    model: nn.Module,
    alignment: Alignment,
    task: Task,
    direction: Direction,
    *,
    strengths: Sequence[float],
    where: Where,
    stop_ids: Sequence[int],
    target: nn.Module | None = None,
    behaviours: Mapping[str, Behaviour] | None = None,
    controls: Sequence[Direction] | None = None,
    n_samples: int = 1,
    temperature: float = 0.0,
    max_new_tokens: int = 256,
    batch_size: int = 64,
    extractor: Extractor = default_extractor,
    templated: bool = False,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
    cells: Cells | None = None,
    progress: Progress | None = None,
) -> DoseCurve:
    """Rates of a model under a direction of several strengths, beside controls of the same norm.

    All texts of a problem use the same random streams, so that what differs along a curve, and
    between curves, is the edit.

    Args:
        model: A bridge in raw mode: the one that is steered.
        alignment: How prompts become ids.
        task: Problems that the direction was not found on.
        direction: What is added, at its own site.
        strengths: Factors of the vector, each once.
        where: For which tokens.
        stop_ids: Tokens that end a text.
        target: Model whose accuracy is the goal, often the post-trained one; None asks for no
            share of a gap.
        behaviours: What else is looked for in each text, by name.
        controls: Directions of the same norm that should do nothing; None takes
            `matched_controls`.
        n_samples: Texts a problem and strength.
        temperature: 0 is greedy.
        max_new_tokens: Longest text.
        batch_size: Rows a batch.
        extractor: Finds the answer in a text.
        templated: Whether prompts go through the chat template.
        level: Coverage of the intervals, in (0, 1).
        n_resamples: Bootstrap resamples of problems, at least 100.
        seed: Of texts, controls and resampling.
        cells: Where finished batches are kept.
        progress: Told how far each curve is.

    Raises:
        DirectionError: There are fewer than 2 problems, a control has another norm, or a behaviour
            is called `accuracy`.
        NoGapError: Model and target do not differ in accuracy.
        RolloutError: Strengths are missing, not finite or there twice, or see `rollouts`.
        EditError: The direction does not fit the model, or `where` the prompts.
        TaskError: A prompt leaves no room for a text.
    """
    watched = dict(behaviours or {})
    if controls is None:
        controls = matched_controls(direction, seed=seed)
    _check(model, alignment, task, direction, controls, strengths, where, watched, templated)
    ask = _Ask(
        alignment=alignment,
        task=task,
        stop_ids=tuple(stop_ids),
        n_samples=n_samples,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        seed=seed,
        extractor=extractor,
        templated=templated,
        cells=cells,
        progress=progress,
    )
    plain = ask.plain(model)
    base = scores_of(plain, watched, 1)[:, :, 0]
    post = torch.full_like(base, torch.nan)
    if target is not None:
        post = scores_of(ask.plain(target), watched, 1)[:, :, 0]
        # Refused before any steering: no share could be told of it.
        gap_share(base[:, 0].numpy(), base[:, 0].numpy(), post[:, 0].numpy(), level=level)
    every = (direction, *controls)
    found = [ask.steered(model, one, where, strengths) for one in every]
    n = len(strengths)
    scores = torch.stack([scores_of(one, watched, n) for one in found], dim=2)
    own = coherence(model, alignment, plain, 1)[:, 0]
    told = torch.stack([coherence(model, alignment, one, n) for one in found], dim=1)
    joint = simultaneous_intervals(
        told.flatten(1).numpy(), level=level, n_resamples=n_resamples, seed=seed
    )
    cell = (len(every), n)
    options = {"level": level, "n_resamples": n_resamples, "seed": seed}
    return DoseCurve(
        provenance=_provenance(model, target, direction, task, ask, where, strengths, options),
        metric=("accuracy", *watched),
        curve=("direction", *(control.how for control in controls)),
        strength=torch.tensor([float(strength) for strength in strengths], dtype=torch.float64),
        site=str(direction.site),
        where=str(where),
        model=_name(model),
        target="" if target is None else _name(target),
        norm=direction.vector.norm().item(),
        resid_norm=direction.resid_norm,
        n_problems=len(task),
        n_samples=n_samples,
        level=level,
        unsteered=base.mean(0),
        goal=post.mean(0),
        log_prob=torch.from_numpy(joint.value).view(cell),
        log_prob_low=torch.from_numpy(joint.low).view(cell),
        log_prob_high=torch.from_numpy(joint.high).view(cell),
        unsteered_log_prob=own.mean().item(),
        truncated=torch.stack([by_strength(one.truncated, n).mean((1, 2)) for one in found]),
        n_tokens=torch.stack([by_strength(one.n_tokens, n).mean((1, 2)) for one in found]),
        **rates_of(scores, n_samples, level, n_resamples, seed),
        **effects_of(scores - base[:, :, None, None], level, n_resamples, seed),
        **shares_of(scores, base, post, level),
    )


def _check(
    model: nn.Module,
    alignment: Alignment,
    task: Task,
    direction: Direction,
    controls: Sequence[Direction],
    strengths: Sequence[float],
    where: Where,
    behaviours: Mapping[str, Behaviour],
    templated: bool,
) -> None:
    """Refuse what would fail, or say nothing, only after long work."""
    check_strengths(strengths)
    if len(task) < 2:
        raise DirectionError(
            f"the task has {len(task)} problem, and intervals are over problems, so nothing could "
            "be said about others. Pass at least 2."
        )
    if "accuracy" in behaviours:
        raise DirectionError(
            "a behaviour is called 'accuracy', and so is the share of right answers, so the two "
            "could not be told apart. Call it by another name."
        )
    size = direction.vector.norm()
    for control in controls:
        length = control.vector.norm()
        if not math.isclose(length, size, rel_tol=_NORM_TOLERANCE):
            raise DirectionError(
                f"the control {control.how!r} has norm {length:.4g} and the direction {size:.4g}, "
                "so what differs between them may be the size of the push. Make controls with "
                "matched_controls."
            )
    for one in (direction, *controls):
        Edited(model, [one.to_edit(1.0, where)], None)
    prompts, _ = check_prompts(model, alignment, task, templated=templated)
    if where.form in ("at", "last"):
        for ids in sorted(prompts, key=len):
            length = len(ids)
            where.check(torch.arange(length)[None], torch.tensor([length]), (0,))


def _name(model: nn.Module) -> str:
    """What a model is called."""
    return str(getattr(hugging_face_model(model).config, "name_or_path", ""))


def _provenance(
    model: nn.Module,
    target: nn.Module | None,
    direction: Direction,
    task: Task,
    ask: _Ask,
    where: Where,
    strengths: Sequence[float],
    options: Mapping[str, object],
) -> Provenance:
    """Origin of a curve."""
    parameter = next(model.parameters())
    return Provenance(
        seed=ask.seed,
        dtype=str(parameter.dtype).removeprefix("torch."),
        device=str(parameter.device),
        arguments={
            "question": "dose_curve",
            "model": _name(model),
            "model_digest": weights_digest(model),
            "target": None if target is None else _name(target),
            "target_digest": None if target is None else weights_digest(target),
            "direction": direction.how,
            "direction_model_digest": direction.model_digest,
            "site": str(direction.site),
            "where": str(where),
            "strengths": [float(strength) for strength in strengths],
            "stop_ids": list(ask.stop_ids),
            "n_samples": ask.n_samples,
            "temperature": ask.temperature,
            "max_new_tokens": ask.max_new_tokens,
            "templated": ask.templated,
            **options,
        },
        task_digests={task.name: task.digest},
    )
