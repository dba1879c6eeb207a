"""What `elicit trace` measures on request: samples, crossed texts, and steps that decide."""

from collections.abc import Collection, Mapping

from elicit.jobs._frame import Work
from elicit.jobs._trace.inputs import MODELS, TraceInputs, write_texts
from elicit.jobs._trace.spec import ANCHORED, TraceSpec
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.rollouts import Generation, Rollouts
from elicit.stats import Inference
from elicit.traces import (
    EquationsHold,
    Ledger,
    Reach,
    Readings,
    anchors,
    calibration,
    cross_sampled,
    epistemic,
    length_against,
    process,
    reach,
    receivers,
    reflection,
)

BUDGETS = (1, 3)
"""Most tokens of the other model a crossed text; with none it is the writer's own."""
_STEPS = 2
"""Fewest steps of a thought whose steps are compared."""


def written_how(
    pair: ModelPair, readings: Readings, inference: Inference, *, modulus: int | None
) -> dict[str, Result]:
    """What is arithmetic on the reads: calibration, corrections, markers, validity, and length.

    Length only where problems say how much work they need.
    """
    found: dict[str, Result] = {
        "calibration": calibration(pair, readings, inference=inference),
        "reflection": reflection(pair, readings, inference=inference),
        "epistemic": epistemic(pair, readings, inference=inference),
        "process": process(
            pair, readings, checker=EquationsHold(modulus=modulus), inference=inference
        ),
    }
    works = [item.problem.difficulty for each in readings.both for item in each.thoughts.items]
    if all(isinstance(work, int | float) for work in works) and len(set(works)) > 1:
        found["lengths"] = length_against(pair, readings, inference=inference)
    return found


def sampled(work: Work[TraceSpec, TraceInputs]) -> dict[str, Rollouts]:
    """Several samples of each model on each problem."""
    spec, inputs = work.spec, work.inputs
    with work.stage("sampling answers"):
        return {
            name: write_texts(
                spec,
                work.pair.side(name),
                inputs,
                execution=work.execution,
                n_samples=spec.samples,
            )
            for name in MODELS
        }


def reach_of(
    work: Work[TraceSpec, TraceInputs],
    texts: Mapping[str, Rollouts],
    *,
    without: Collection[str] = (),
) -> Reach:
    """What both models reach with several samples; embedded pairs count modulo ten."""
    return reach(
        work.inputs.task,
        texts["base"],
        texts["post"],
        checker=EquationsHold(modulus=work.spec.modulus),
        without=without,
        inference=work.spec.inference,
    )


def crossed(work: Work[TraceSpec, TraceInputs]) -> dict[str, Result]:
    """Both directions: base writes with tokens of post, and post with tokens of base."""
    spec = work.spec
    generation = Generation(
        max_new_tokens=spec.max_new_tokens, extractor=spec.extractor, templated=spec.templated
    )
    with work.stage("crossing texts"):
        return {
            f"crossing_{host}": cross_sampled(
                work.pair,
                work.inputs.task,
                host=host,
                budgets=BUDGETS,
                generation=generation,
                inference=spec.inference,
                execution=work.execution,
            )
            for host in MODELS
        }


def anchored(
    work: Work[TraceSpec, TraceInputs],
    readings: Readings,
) -> dict[str, Result]:
    """Which steps decide, on a few problems; empty where too few thoughts have two steps."""
    spec, inputs, execution = work.spec, work.inputs, work.execution
    with work.stage("resampling steps"):
        ids = stepped(readings, _STEPS)
        if len(ids) < 2:
            return {}
        few = readings.only(ids)
        found: dict[str, Result] = {
            "anchors": anchors(
                work.pair,
                few,
                form=inputs.form,
                generation=Generation(
                    temperature=spec.temperature,
                    n_samples=spec.anchors,
                    max_new_tokens=spec.max_new_tokens,
                    extractor=spec.extractor,
                    templated=spec.templated,
                ),
                inference=spec.inference,
                execution=execution,
            )
        }
        # Only this implementation of attention shows its pattern.
        shown = spec.attn_implementation in (None, "eager")
        if shown and len(stepped(few, _STEPS + 1)) >= 2:
            found["receivers"] = receivers(
                work.pair, few, form=inputs.form, inference=spec.inference, execution=execution
            )
    return found


def stepped(readings: Readings, least: int) -> list[str]:
    """Problems whose thoughts have several steps in both readings, spread over the task.

    Args:
        readings: Base's reading and post's.
        least: Fewest steps.
    """
    kept = [
        {
            problem
            for thought, problem in enumerate(reading.ledger.problem)
            if _n_steps(reading.ledger, thought) >= least
        }
        for reading in readings.both
    ]
    ids = [problem for problem in readings.problem if all(problem in each for each in kept)]
    n = min(ANCHORED, len(ids))
    return [ids[i * len(ids) // n] for i in range(n)]


def _n_steps(found: Ledger, thought: int) -> int:
    lanes = found.lanes_of(thought)
    return lanes.stop - lanes.start - 1
