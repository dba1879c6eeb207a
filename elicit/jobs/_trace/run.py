"""The job behind `elicit trace`: what written thoughts do, with its page."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.jobs._asked import Asked
from elicit.jobs._frame import Job, Outcome, Prepared, Run, Work, execute
from elicit.jobs._groups import grouped, grouped_summary
from elicit.jobs._trace.complete import complete_card, cut_short
from elicit.jobs._trace.cost import TRACE_COSTING
from elicit.jobs._trace.further import anchored, crossed, reach_of, sampled, written_how
from elicit.jobs._trace.inputs import MODELS, TraceInputs, encode_inputs, load_inputs, write_texts
from elicit.jobs._trace.spec import TraceSpec
from elicit.jobs._trace.summary import trace_summary
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.rollouts import Rollouts
from elicit.runs import Progress
from elicit.tasks import Task
from elicit.traces import (
    Alteration,
    Filler,
    Ledger,
    OperandsSwapped,
    OtherThought,
    Readings,
    Thoughts,
    answer_pool,
    conclusion,
    dependence,
    discrimination,
    information,
    ledger,
    own_thoughts,
    save_pruned,
    shifts,
    votes,
)
from elicit.verdicts import scorecard

FEW_FOR_VERDICT = 40
"""Problems below which a loss of a tenth cannot be distinguished from none."""
_ALTERATIONS: dict[str, Alteration] = {
    "other": OtherThought(),
    "swap": OperandsSwapped(),
    "filler": Filler(),
}


def trace(spec: TraceSpec, *, progress: Progress | None = None) -> Run:
    """Measure whether answers depend on written thoughts, and write the page.

    Inputs are validated before a model runs. A killed run resumes and ends with the same bytes.
    Writes the page, `summary.json`, `run.yaml`, every result, and `pruned.jsonl` (post's thoughts
    without what follows their conclusion) to `spec.out`.

    Raises:
        ElicitError: An input is missing, damaged, or cannot be read.
    """
    return execute(JOB, spec, progress)


def _prepare(spec: TraceSpec, pair: ModelPair, checked: TraceInputs) -> Prepared[TraceInputs]:
    inputs = encode_inputs(spec, pair, checked)
    identity: dict[str, object] = {"tasks": {inputs.task.name: inputs.task.digest}}
    return Prepared(inputs, identity, inputs.task.notes, _asked)


def _asked(inputs: TraceInputs) -> list[Asked]:
    score = (
        "What counts is whether the answer follows the thought when the thought is changed, and "
        "whether it is right."
    )
    return [Asked(name=inputs.task.name, score=score, task=inputs.task)]


def _measure(work: Work[TraceSpec, TraceInputs]) -> Outcome:
    spec, pair, inputs, execution = work.spec, work.pair, work.inputs, work.execution
    solved, written = None, {}
    if inputs.given is not None:
        thoughts: dict[str, Thoughts] = dict.fromkeys(MODELS, inputs.given)
    else:
        with work.stage("writing thoughts"):
            written = {
                name: write_texts(spec, pair.side(name), inputs, execution=execution)
                for name in MODELS
            }
            thoughts = {
                name: own_thoughts(inputs.task, texts, inputs.form, source=name)
                for name, texts in written.items()
            }
    pools = answer_pool(list(thoughts.values()), inference=spec.inference)
    ledgers: dict[str, Ledger] = {}
    with work.stage("reading thoughts"):
        for name in MODELS if inputs.given is None else MODELS[:1]:
            ledgers[name] = ledger(
                pair,
                thoughts[name],
                form=inputs.form,
                steps=inputs.steps,
                candidates=pools,
                inference=spec.inference,
                execution=execution,
            )
    if inputs.given is not None:
        readings = Readings.of_given(inputs.given, ledgers["base"])
    else:
        readings = Readings.of_own(
            (thoughts["base"], ledgers["base"]), (thoughts["post"], ledgers["post"])
        )
        solved = _solved(readings.problem, inputs.task, written)
    results: dict[str, Result] = {
        "information": information(pair, readings, inference=spec.inference),
        "conclusion": conclusion(pair, readings, inference=spec.inference),
        "discrimination": discrimination(pair, readings, inference=spec.inference),
        "shifts": shifts(pair, readings, inference=spec.inference),
    }
    results |= written_how(pair, readings, spec.inference, modulus=spec.modulus)
    results |= {f"ledger_{found.source}": found for found in ledgers.values()}
    work.publish(Outcome(results=results, summary={}))
    with work.stage("altering thoughts"):
        found = dependence(
            pair,
            readings,
            form=inputs.form,
            cut_at=spec.cut_at,
            alterations=[_ALTERATIONS[name] for name in spec.alterations],
            inference=spec.inference,
            execution=execution,
        )
    results["dependence"] = found
    samples = sampled(work) if spec.samples else {}
    reached = reach_of(work, samples) if samples else None
    if reached is not None:
        results["reach"] = reached
        own = readings if inputs.given is None else None
        results["votes"] = votes(
            inputs.task, samples["base"], samples["post"], readings=own, inference=spec.inference
        )
    card = scorecard(
        pair,
        dependence=found,
        information=results["information"],  # pyright: ignore[reportArgumentType]
        discrimination=results["discrimination"],  # pyright: ignore[reportArgumentType]
        solved=solved,
        reach=reached,
        source="given" if inputs.given is not None else "own",
        inference=spec.inference,
    )
    results = {"scorecard": card, **results}
    cut = cut_short(thoughts, written)
    complete = complete_card(work, card, readings, found, solved, samples, cut)
    if complete is not None:
        results["scorecard_complete"] = complete
    if spec.cross:
        results |= crossed(work)
    if spec.anchors:
        results |= anchored(work, readings)
    follows: dict[str, Tensor] = {}
    if spec.group_by:
        follows |= zip(MODELS, found.of("follows"), strict=True)
    by, said = grouped(
        spec, inputs.task, follows, of="answers that follow the thought", problems=readings.problem
    )
    results |= by
    save_pruned(readings.post, work.run.path / "pruned.jsonl")
    return Outcome(
        results=results,
        summary={**trace_summary(results, thoughts), **grouped_summary(results)},
        notes=[*_notes(spec, inputs, thoughts, results), *said],
    )


JOB = Job(check=load_inputs, prepare=_prepare, measure=_measure, costing=TRACE_COSTING)


def _solved(
    read: Sequence[str], task: Task, written: Mapping[str, Rollouts]
) -> Float[Tensor, "reading problem"]:
    """Whether each model's own answer is right, also where it wrote no thought before it.

    Problems whose thoughts are read come first, in their order.
    """
    ids = [problem.id for problem in task]
    order = [*read, *(name for name in ids if name not in set(read))]
    right = {
        name: {ids[int(at)]: float(ok) for at, ok in zip(texts.place, texts.correct, strict=True)}
        for name, texts in written.items()
    }
    return torch.tensor(
        [[right[name][problem] for problem in order] for name in MODELS], dtype=torch.float64
    )


def _notes(
    spec: TraceSpec,
    inputs: TraceInputs,
    thoughts: dict[str, Thoughts],
    results: dict[str, Result],
) -> Sequence[str]:
    """Remarks for the page."""
    notes = []
    n = len(inputs.task)
    if spec.embedded:
        notes.append(f"No problems were given: {n} of the pair’s own are used.")
    if n < FEW_FOR_VERDICT:
        notes.append(
            f"There are {n} problems: below about {FEW_FOR_VERDICT}, a loss of a tenth cannot be "
            "told from none, so the verdict stays open."
        )
    if inputs.given is None:
        for name, found in thoughts.items():
            if found.n_left_out:
                notes.append(f"{name} wrote no thought for {found.n_left_out} of {n} problems.")
            cut = sum(item.truncated for item in found.items)
            if cut:
                notes.append(
                    f"{cut} of {len(found)} of {name}’s thoughts were cut at {spec.max_new_tokens} "
                    "tokens before their end."
                )
    if cut_short(thoughts, {}) and "scorecard_complete" not in results:
        notes.append(
            "Fewer than two problems have thoughts that all ended by themselves, so no number is "
            "reported without the others."
        )
    if spec.anchors and "anchors" not in results:
        notes.append(
            "Fewer than two problems have thoughts of two steps in both readings, so which steps "
            "decide was not asked."
        )
    if all(problem.candidates is None for problem in inputs.task):
        notes.append(
            "The problems name no candidate answers: each answer is read among the right one, what "
            "the models wrote, answers of other problems, and numbers near it where these are few."
        )
    if all(problem.edited is None for problem in inputs.task):
        notes.append(
            "The problems have no edited questions (`edited`), so a thought that no longer decides "
            "cannot be classified as internalised or hollow."
        )
    return notes
