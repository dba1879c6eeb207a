"""Inputs of a patching job: problems, sweeps and metric, validated."""

from collections.abc import Mapping
from dataclasses import dataclass

from elicit import organisms
from elicit.jobs._patch.spec import OWN_PROBLEMS, SITES, PatchSpec
from elicit.jobs._spec import SpecError
from elicit.jobs._tasks import refuse_missing, refuse_own_map
from elicit.pair import ModelPair
from elicit.patching import (
    Contrast,
    FactorialMetric,
    Plan,
    Texts,
    across,
    prepare,
    read_lines,
    within,
)
from elicit.runs import Execution
from elicit.tasks import load_task


@dataclass(frozen=True, eq=False, kw_only=True)
class PatchInputs:
    """Inputs of a patching job."""

    contrast: Contrast
    """Prompts and answers."""
    plans: Mapping[str, Plan]
    """Sweeps by direction."""
    factorial: FactorialMetric | None
    """Metric of the factorial; None skips it."""
    notes: tuple[str, ...]
    """Remarks for the page."""


def problems_of(spec: PatchSpec) -> Texts | None:
    """Problems of a file, validated before a model is loaded.

    Returns:
        None: The embedded pair's own problems are used.

    Raises:
        ElicitError: The file is missing or invalid, or lacks a field that the sweep needs.
    """
    if spec.problems is None:
        organisms.resolve(str(spec.pair))
        refuse_own_map(spec)
        return None
    refuse_missing(spec.problems, "problems")
    texts = read_lines(spec.problems, map=",".join(spec.map), task_format=spec.task_format)
    if len(texts.id) < 2:
        raise SpecError(
            f"{spec.problems} holds 1 problem, and an interval needs at least 2 (a useful one 50 "
            "or more). Add problems."
        )
    if spec.question == "within" and texts.corrupted is None:
        raise SpecError(
            f"direction is {spec.direction} and the lines of {spec.problems} have no 'corrupted' "
            "prompt, so clean and corrupted runs would be the same. Add one to every line, or "
            "patch across the two models."
        )
    if "logit_diff" in spec.metrics and texts.wrong is None:
        raise SpecError(
            f"logit_diff is the answer's logit minus that of a wrong one, and the lines of "
            f"{spec.problems} have no 'wrong' answer and no candidates to take one from. Add "
            "'wrong' to every line, or choose metrics='log_prob'."
        )
    return texts


def patch_inputs(spec: PatchSpec, pair: ModelPair, texts: Texts | None) -> PatchInputs:
    """Validated inputs of a run.

    Raises:
        ElicitError: Models, problems and options do not fit together.
    """
    if spec.question == "across" and pair.identical:
        raise SpecError(
            f"{pair.base_name} and {pair.post_name} have the same weights, so every effect across "
            "them would be exactly 0 and look like a finding. Give a model and its post-trained "
            "sibling, or patch within one (direction='denoise')."
        )
    notes: list[str] = []
    contrast = _contrast(spec, pair, texts, notes)
    metrics: tuple[str, ...] = spec.metrics or _metric(contrast, notes)
    named = {
        "sites": spec.sites or SITES[spec.question],
        "positions": spec.positions,
        "metrics": metrics,
    }
    plans = {
        direction: prepare(
            pair,
            contrast,
            across(direction, **named)  # pyright: ignore[reportArgumentType]
            if spec.question == "across"
            else within(direction, model=spec.model, **named),  # pyright: ignore[reportArgumentType]
            widths=spec.widths,
            controls=spec.controls,
            inference=spec.inference,
            execution=Execution(max_tokens=spec.max_tokens),
            engine=spec.engine,
        )
        for direction in spec.directions
    }
    divisible = next((metric for metric in metrics if metric != "kl"), None)
    divided = spec.question == "across" if spec.factorial is None else spec.factorial
    if len({len(row) for row in contrast.clean}) > 1 and spec.positions == "each":
        notes.append(
            "Prompts differ in length, so positions are counted from the end, up to the length of "
            "the shortest prompt."
        )
    return PatchInputs(
        contrast=contrast,
        plans=plans,
        factorial=divisible if divided else None,  # pyright: ignore[reportArgumentType]
        notes=tuple(notes),
    )


def _contrast(spec: PatchSpec, pair: ModelPair, texts: Texts | None, notes: list[str]) -> Contrast:
    """Contrast of a file's problems, or an embedded pair's decision to reason."""
    if texts is not None:
        contrast = Contrast.encoded(pair.alignment, texts, templated=spec.templated)
        if spec.limit is not None and len(contrast) > spec.limit:
            contrast = contrast.subset(spec.limit, spec.seed)
        return contrast
    task = load_task(organisms.resolve(str(spec.pair)).problems)
    n = min(spec.limit or OWN_PROBLEMS, len(task))
    decisions = organisms.decision(task.subset(n, spec.seed))
    contrast = Contrast.from_pairs(pair.alignment, decisions)
    notes.append(
        f"No problems were given: the contrast is the decision to reason, “so” (a trace begins) "
        f"against “answer” (none does), after {n} of the pair’s own {len(task)} problems."
    )
    return contrast


def _metric(contrast: Contrast, notes: list[str]) -> tuple[str]:
    """Default metric: logit_diff where possible, else log_prob."""
    if contrast.wrong is None:
        why = "not every problem has a wrong answer"
    elif any(len(row) != 1 for row in (*contrast.answer, *contrast.wrong)):
        why = "some answer or wrong answer is more than one token"
    else:
        return ("logit_diff",)
    notes.append(f"Effects are on the log-probability of the whole answer (log_prob), for {why}.")
    return ("log_prob",)
