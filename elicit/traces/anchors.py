"""Which steps of a written thought decide its answer, seen in three ways that differ.

Written on from before a step: would the answer have come out another way (forks)? Cut at a step:
does the forced answer change (steps that carry the state)? With attention to a step removed: which
later steps lose something (what reads what)?
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Estimate
from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.surroundings import guarded
from elicit.texts import AnswerForm
from elicit.traces._encoded import encoded
from elicit.traces._resampled import resampled_answers
from elicit.traces._steps import Importance, Steps, importance_of
from elicit.traces._suppressed import suppressed
from elicit.traces.errors import TraceError
from elicit.traces.measures import Measures, Metric, measured
from elicit.traces.reading import Reading, Readings
from elicit.traces.step_filter import StepFilter

_METRICS = (
    Metric(
        name="resampling importance",
        unit="share",
        meaning="with the step kept, answers of texts written on from there differ that much from "
        "those written on from before it (total variation), averaged over steps",
    ),
    Metric(
        name="resampling floor",
        unit="share",
        meaning="two samples of that size differ that much where the step changes nothing",
    ),
    Metric(
        name="resampling importance of the first step",
        unit="share",
        meaning="the first step alone decides that much of the answer",
    ),
    Metric(
        name="resampling importance of later steps",
        unit="share",
        meaning="all other steps decide that much, on average",
    ),
    Metric(
        name="headroom",
        unit="nats",
        meaning="answers are that undecided before a step: no step can decide what is decided",
    ),
    Metric(
        name="forced importance",
        unit="share",
        meaning="the step changes the answer forced at its end by that much (total variation over "
        "the candidates)",
    ),
    Metric(
        name="suppression of the step before",
        unit="nats",
        meaning="without attention to a step, predictions in the next one change by that much, KL "
        "a token",
    ),
    Metric(
        name="suppression of earlier steps",
        unit="nats",
        meaning="predictions in all steps after the next one change by that much",
    ),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Anchors(Measures):
    """How much each step of written thoughts decides, by model.

    The three importances answer different questions and can be opposed: a step that any other
    continuation would contain as well decides nothing when resampled, however needed it is.
    """

    step_reading: tuple[str, ...]
    """Model of each step."""
    step_problem: tuple[str, ...]
    """Its problem."""
    step_number: Int[Tensor, " step"]
    """Its number in the thought, from 0."""
    step_text: tuple[str, ...]
    """Its text. Text of a model or of a file: never trusted."""
    resampling: Float[Tensor, " step"]
    """Total variation between answers written on from before and from after it."""
    resampling_floor: Float[Tensor, " step"]
    """The same between two samples of these answers taken together."""
    entropy_before: Float[Tensor, " step"]
    """Entropy of the answers written on from before it, nats."""
    no_answer: Float[Tensor, " step"]
    """Share of the texts written on from after it in which no answer is found."""
    differing: Float[Tensor, " step"]
    """Share of the texts written on from before it whose own step there means something else, which
    alone count; NaN where all count."""
    forced: Float[Tensor, " step"]
    """Total variation between the forced answers before and after it."""
    suppression: Float[Tensor, " step"]
    """Change of predictions in the next step without attention to it, KL in nats a token; NaN for
    the last step."""
    effect_reading: tuple[str, ...]
    """Model of each pair of steps."""
    effect_problem: tuple[str, ...]
    """Its problem."""
    effect_of: Int[Tensor, " effect"]
    """Number of the step that is not attended to."""
    effect_on: Int[Tensor, " effect"]
    """Number of the later step."""
    effect: Float[Tensor, " effect"]
    """KL of its predictions, nats a token."""
    pairing: tuple[str, ...]
    """Which two measures are compared."""
    correlation: Annotated[Estimate, "pairing reading"]
    """Rank correlation over all steps; intervals by resampling problems. NaN where one of the two
    does not vary."""
    n_samples: int
    """Texts written on from each cut."""


@guarded
def anchors(
    pair: ModelPair,
    readings: Readings,
    *,
    form: AnswerForm,
    generation: Generation = Generation(temperature=1.0, n_samples=16),
    differs: StepFilter | None = None,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Anchors:
    """Importance of every step: resampled, forced, and by attention taken away.

    One sweep over all cuts gives all resampled importances; its cost is that of writing a text
    times cuts and samples, so choose some twenty problems with `Thoughts.only`.

    Args:
        pair: The two models.
        readings: Base's reading and post's; each model writes on and is suppressed on the texts
            that it reads.
        form: How the answer is asked for, as in the ledgers.
        generation: Texts written on from each cut, their length, temperature and extractor.
        differs: Which texts count as written without a step: those whose own step there means
            something else; None counts all.
        inference: Coverage and resamples; its seed draws texts and floors.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        TraceError: One text a cut is asked for, or greedy ones, which have no distribution.
        EditError: A step holds all that a later token could attend to.

    Source: Bogdan et al. 2025 (arXiv:2506.19143), resampling, with their similarity filter as
        `differs`, and with total variation in place of an unsmoothed KL; the floor and the headroom
        stand beside because both decide what that distance can be.
    """
    if generation.temperature <= 0 or generation.n_samples < 2:
        raise TraceError(
            f"{generation.n_samples} texts at temperature {generation.temperature:g} would be "
            "written on from each cut, and answers have a distribution only among several sampled "
            "ones. Pass a temperature above 0 and n_samples of 8 or more."
        )
    steps = Steps()
    values: dict[str, dict[str, list[float]]] = {m.name: defaultdict(list) for m in _METRICS}
    for reading in readings.both:
        for of_thought in _read(pair, reading, form, generation, differs, inference, execution):
            for name, value in of_thought.summary().items():
                values[name][reading.model].append(value)
            steps.add(reading, of_thought)
    fields = measured(
        _METRICS,
        readings.tabled(values),
        problem=readings.problem,
        inference=inference,
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "anchors",
                "temperature": generation.temperature,
                "n_samples": generation.n_samples,
                "max_new_tokens": generation.max_new_tokens,
                "lead_in": form.lead_in,
                "border": None if differs is None else differs.border,
                "level": inference.level,
            },
            task_digests={r.model: r.thoughts.digest for r in readings.both},
        ),
    )
    return Anchors(
        **fields,  # pyright: ignore[reportArgumentType]
        **steps.fields(inference),
        n_samples=generation.n_samples,
    )


def _read(
    pair: ModelPair,
    reading: Reading,
    form: AnswerForm,
    generation: Generation,
    differs: StepFilter | None,
    inference: Inference,
    execution: Execution,
) -> list[Importance]:
    """Importances along every thought of one reading."""
    side, curves = pair.side(reading.model), list(reading.curves())  # pyright: ignore[reportArgumentType]
    problems = [item.problem for item in reading.thoughts.items]
    rows = encoded(side, reading, form)
    scoped = execution.scoped(f"anchors/{reading.model}")
    answers = resampled_answers(
        side,
        problems,
        rows,
        generation=generation,
        seed=inference.seed,
        execution=scoped,
        differs=differs,
    )
    effects = suppressed(side, rows, key="suppressed", execution=scoped)
    return [
        importance_of(
            curve, found, matrix, np.random.default_rng([inference.seed, curve.thought, 13])
        )
        for curve, found, matrix in zip(curves, answers, effects, strict=True)
    ]
