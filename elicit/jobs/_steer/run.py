"""The job behind `elicit steer`: chooses a strength, tests it on held-out problems."""

from collections.abc import Sequence
from dataclasses import replace

from elicit import elicitation
from elicit.directions import Direction, DirectionError, lm_eval_bytes
from elicit.elicitation import (
    Arm,
    Choice,
    DoseCurve,
    Goal,
    Steered,
    SteeredTexts,
    choose_arms,
    steered_texts,
)
from elicit.exports import lm_eval_command
from elicit.features import check_sae
from elicit.jobs._asked import GRADED, Asked
from elicit.jobs._baselines import texts_of
from elicit.jobs._cued import task_of
from elicit.jobs._frame import Job, Outcome, Prepared, Run, Work, execute
from elicit.jobs._groups import grouped, grouped_summary
from elicit.jobs._steer.cost import STEER_COSTING
from elicit.jobs._steer.finding import find_source
from elicit.jobs._steer.inputs import SteerInputs
from elicit.jobs._steer.source import Looked, Source, load_source, looked_for, model_of
from elicit.jobs._steer.spec import SteerSpec
from elicit.jobs._steer.summary import steer_summary
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.rollouts import Generation, dose_rollouts
from elicit.runs import Execution, Progress, RunDirectory
from elicit.tasks import Split

FAINT = 0.2
"""Ratio of added norm to activation norm below which a null effect is uninformative."""


def steer(spec: SteerSpec, *, progress: Progress | None = None) -> Run:
    """Steer one model of a pair, compare it with controls, and write the page about it.

    Invalid input is refused before a model runs. A killed run resumes and ends with the same bytes.
    The page, `summary.json`, `run.yaml` and every result are left in `spec.out`.

    Raises:
        ElicitError: An input is missing, damaged, or unsuitable for steering.
    """
    return execute(JOB, spec, progress)


def _check(spec: SteerSpec) -> SteerInputs:
    task, loaded = task_of(spec), load_source(spec)
    return SteerInputs(task, loaded, looked_for(spec, task))


def _prepare(spec: SteerSpec, pair: ModelPair, checked: SteerInputs) -> Prepared[SteerInputs]:
    if checked.loaded.sae is not None:
        # Refuse another model's SAE before creating the run directory.
        check_sae(pair, checked.loaded.sae, spec.on)
    return Prepared(
        checked,
        {
            "tasks": {checked.task.name: checked.task.digest},
            "baselines": dict(texts_of(spec.baselines)),
            **checked.loaded.digests,
        },
        checked.task.notes,
        lambda inputs: [Asked(name=inputs.task.name, score=GRADED, task=inputs.task)],
    )


def _measure(work: Work[SteerSpec, SteerInputs]) -> Outcome:
    spec, pair = work.spec, work.pair
    loaded, looked = work.inputs.loaded, work.inputs.looked
    split = Split.of(work.inputs.task, spec.choose_share, seed=spec.seed)
    with work.stage("finding the direction"):
        source = find_source(spec, pair, loaded, looked, split.choose, progress=work.progress)
    sets = tuple(name for name in source.results if name == "directions")
    work.publish(Outcome(results={name: source.results[name] for name in sets}, summary={}))
    execution = work.execution.scoped("texts")
    with work.stage("texts"):
        place, found, texts = _steered(spec, pair, source, looked, split, execution)
        by, said = _by_group(work, source.candidates[place], found, split, execution)
    direction = source.directions[place]
    found = replace(found, curve=_of(pair, found.curve), test=_of(pair, found.test))
    return Outcome(
        results={
            **source.results,
            "vector": direction,
            "dose": found.curve,
            "test": found.test,
            "samples": texts,
            **by,
        },
        shown=("test", "samples", *by, "dose", *sets),
        summary={**steer_summary(spec, source, looked, found), **grouped_summary(by)},
        notes=[
            *source.notes,
            *_remarks(found),
            *_export(spec, pair, direction, found.choice, work.run),
            *said,
        ],
    )


JOB = Job(check=_check, prepare=_prepare, measure=_measure, costing=STEER_COSTING)


def _steered(
    spec: SteerSpec,
    pair: ModelPair,
    source: Source,
    looked: Looked,
    split: Split,
    execution: Execution,
) -> tuple[int, Steered, SteeredTexts]:
    """The best site, its dose curve, its held-out test and sample texts."""
    side, goal, generation = pair.side(spec.on), _goal(spec, pair, looked), _generation(spec)
    how = {
        "strengths": spec.strengths,
        "goal": goal,
        "generation": generation,
        "inference": spec.inference,
        "execution": execution,
    }
    place = choose_arms(side, split.choose, source.candidates, **how)
    arms = source.candidates[place]
    found = elicitation.steer(side, split, arms, **how)
    control = found.test.strongest_control
    texts = steered_texts(
        side,
        split.test,
        [arms[0], replace(arms[control], dose=found.test.dose(control))],
        strength=found.choice.strength,
        target=goal.target,
        generation=generation,
        seed=spec.seed,
        execution=execution,
    )
    return place, found, texts


def _goal(spec: SteerSpec, pair: ModelPair, looked: Looked) -> Goal:
    """What steering is to bring about."""
    return Goal(
        target=pair.side("post" if spec.on == "base" else "base"),
        markers={looked.name: looked.shown},
        wordings=looked.wordings,
        metric={"accuracy": "accuracy", "shown": looked.name, None: None}[spec.choose_by],
        max_loss=spec.max_loss,
        need_gap=False,
    )


def _generation(spec: SteerSpec) -> Generation:
    """How texts are written."""
    return Generation(
        max_new_tokens=spec.max_new_tokens, extractor=spec.extractor, templated=spec.templated
    )


def _by_group(
    work: Work[SteerSpec, SteerInputs],
    arms: Sequence[Arm],
    found: Steered,
    split: Split,
    execution: Execution,
) -> tuple[dict[str, Result], list[str]]:
    """Held-out rates by group, from the texts of the test; nothing where no key is named."""
    spec, pair, looked = work.spec, work.pair, work.inputs.looked
    if spec.group_by is None:
        return {}, []
    side, test, generation = pair.side(spec.on), found.test, _generation(spec)
    how = {"generation": generation, "seed": spec.seed, "execution": execution}
    alone = elicitation.unsteered(side, split.test, goal=_goal(spec, pair, looked), **how)
    control, row = test.strongest_control, test.metric_row(test.chosen_by or None)
    values = {"unsteered": alone.base[:, row]}
    for name, arm in (("steered", 0), (f"control: {test.arm[control]}", control)):
        texts = dose_rollouts(side, split.test, arms[arm].edit, strengths=[test.dose(arm)], **how)
        values[name] = alone.outcomes(texts).score[:, row, 0]
    values["target"] = alone.post[:, row]
    what = "right answers" if test.metric[row] == "accuracy" else test.metric[row]
    ids, ways = [problem.id for problem in split.test], ("steered", "unsteered")
    return grouped(spec, work.inputs.task, values, of=what, problems=ids, minus=ways)


def _remarks(found: Steered) -> list[str]:
    """Caveats about the chosen strength."""
    notes = []
    if not found.choice.coherent:
        notes.append(
            "At no strength are steered texts coherent as often as the model’s own; the strength "
            "with the most coherent texts was tested. Try smaller strengths."
        )
    elif not found.choice.moved:
        notes.append(
            "No strength had an effect on the selection problems; the largest one with coherent "
            "texts was tested."
        )
    pushed = abs(found.choice.strength) * found.test.norm / found.test.resid_norm
    if not found.choice.moved and pushed < FAINT:
        notes.append(
            f"At the tested strength the added vector is {100 * pushed:.2g} % of the activation "
            "norm, so a null effect may be due to too small a push. Try larger --strengths."
        )
    return notes


def _export(
    spec: SteerSpec, pair: ModelPair, direction: Direction, choice: Choice, run: RunDirectory
) -> list[str]:
    """Write the vector for lm-evaluation-harness; a note says why where that is impossible."""
    if spec.source == "feature" and spec.how != "add":
        return [
            f"steered.pt was not written: the feature is {_PAST[spec.how]}, which adds a different "
            "amount at every token, whereas lm-evaluation-harness adds one vector."
        ]
    try:
        data = lm_eval_bytes(direction, model_of(spec, pair), scale=choice.strength)
    except DirectionError as error:
        return [f"steered.pt was not written for lm-evaluation-harness: {error}"]
    run.write_bytes("steered.pt", data)
    name = pair.base_name if spec.on == "base" else pair.post_name
    used = f"In this run’s directory: {lm_eval_command(name, 'steered.pt')}"
    if spec.where == "all":
        return [used]
    return [
        used,
        "lm-evaluation-harness adds the vector of steered.pt at every token; here it was evaluated "
        f"only at {_WHERE[spec.where]}. Evaluate it with --where all before relying on it.",
    ]


_PAST = {"clamp": "set to a value", "project-out": "projected out"}
_WHERE = {
    "last": "the prompt’s last token",
    "first": "the first generated token",
    "generated": "generated tokens",
}


def _of(pair: ModelPair, curve: DoseCurve) -> DoseCurve:
    """A dose curve labelled with its pair."""
    assert curve.provenance is not None
    told = pair.provenance()
    return replace(curve, provenance=replace(curve.provenance, base=told.base, post=told.post))
