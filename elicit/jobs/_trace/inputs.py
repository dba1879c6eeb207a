"""Inputs of a job on written thoughts, validated."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from elicit import organisms
from elicit.jobs._given_texts import read_given
from elicit.jobs._spec import SpecError
from elicit.jobs._tasks import read_task
from elicit.jobs._trace.spec import TraceSpec
from elicit.pair import ModelPair, Side
from elicit.rollouts import Generation, Rollouts, check_prompts, rollouts
from elicit.runs import Execution
from elicit.tasks import Fault, Task, TaskError, extractor, shown, ungradable
from elicit.texts import AnswerForm, CutText, StepRule, encode_cuts
from elicit.traces import (
    Thought,
    Thoughts,
    answer_pool,
    cut_texts,
    given_thoughts,
    told_apart,
)

OWN_PROBLEMS = 100
"""Default number of problems of an embedded pair."""
MODELS = ("base", "post")


@dataclass(frozen=True, kw_only=True)
class TraceInputs:
    """Inputs known before any text is generated."""

    task: Task
    """The problems."""
    form: AnswerForm
    """How the answer is asked for."""
    steps: StepRule
    """Where thoughts are cut."""
    given: Thoughts | None = None
    """Thoughts that both models read; None where each reads its own."""
    prefixes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Tokens that begin each model's own texts, by problem."""


def load_inputs(spec: TraceSpec) -> TraceInputs:
    """Problems and given thoughts, validated before a model is loaded.

    Raises:
        ElicitError: A file is missing or invalid, or its problems lack the requested thoughts.
    """
    path = organisms.resolve(str(spec.pair)).problems if spec.problems is None else spec.problems
    task = read_task(spec, path)
    n = spec.limit or (OWN_PROBLEMS if spec.embedded else len(task))
    if n < len(task):
        task = task.subset(n, spec.seed)
    if len(task) < 2:
        raise SpecError(
            f"{path} holds 1 problem, and an interval needs at least 2 (a verdict 40 or more). Add "
            "problems."
        )
    # Without candidates one answer's digits may begin another's, which only an end tells apart.
    closed = all(problem.candidates is not None for problem in task)
    end = spec.end if spec.end is not None else "" if closed else "\n"
    form = AnswerForm(lead_in=spec.lead, end=end, templated=spec.templated)
    kind = spec.traces
    if kind not in (None, "given", "own"):
        task, kind = _with_traces(task, str(kind)), "given"
    lacking = [problem.id for problem in task if problem.trace is None]
    if kind is None:
        kind = "own" if lacking else "given"
    steps = StepRule.parse(spec.unit)
    if kind == "given" and spec.opener is not None and not spec.writes:
        raise SpecError(
            f"opener is {shown(spec.opener)} and both models read given thoughts, so none begins "
            "one of its own. Leave opener out, or pass --traces own."
        )
    given = given_thoughts(task, form) if kind == "given" else None
    lost = ungradable(task, extractor(spec.extractor)) if given is None or spec.writes else []
    if lost:
        raise SpecError(
            f"the extractor {spec.extractor!r} misses the right answer of {len(lost)} of "
            f"{len(task)} problems ({lost[0]} first) even in a text that consists of it, so all "
            "would count as wrong. Give candidates, or choose another extractor."
        )
    return TraceInputs(task=task, form=form, steps=steps, given=given)


def encode_inputs(spec: TraceSpec, pair: ModelPair, inputs: TraceInputs) -> TraceInputs:
    """The inputs, with every given text tokenised once to see that it can be read.

    Raises:
        ElicitError: A text does not fit the models, or no answer can be asked for after it.
    """
    for name in MODELS:
        check_prompts(pair.side(name), inputs.task, templated=spec.templated)
    _refuse_alike(pair, inputs)
    if inputs.given is not None:
        limits = [side.n_positions for side in map(pair.side, MODELS) if side.n_positions]
        pools = answer_pool([inputs.given], inference=spec.inference)
        texts = cut_texts(inputs.given, inputs.steps, pools, pair.alignment)
        encode_cuts(pair.alignment, texts, inputs.form, n_positions=min(limits, default=None))
        _refuse_unknown(pair, inputs)
        return inputs
    if not spec.begins:
        return inputs
    prefixes = {}
    for problem in inputs.task:
        begun = pair.alignment.continued(problem.turns, spec.begins, templated=spec.templated)
        prompt = pair.alignment.prompt(problem.turns, templated=spec.templated)
        if list(begun.prompt) != list(prompt):
            raise SpecError(
                f"opener is {spec.begins!r} and merges with the last token of the prompt of "
                f"problem {shown(problem.id)}, so models would continue another text. Begin it "
                "with a space or a line break, or end the prompts in one."
            )
        prefixes[problem.id] = begun.written
    return replace(inputs, prefixes=prefixes)


def write_texts(
    spec: TraceSpec,
    side: Side,
    inputs: TraceInputs,
    *,
    execution: Execution,
    n_samples: int = 1,
) -> Rollouts:
    """One model's texts: greedy, or several samples."""
    sampled = n_samples > 1
    return rollouts(
        side,
        inputs.task,
        generation=Generation(
            temperature=spec.temperature if sampled else 0.0,
            n_samples=n_samples,
            max_new_tokens=spec.max_new_tokens,
            extractor=spec.extractor,
            templated=spec.templated,
        ),
        seed=spec.seed,
        prefixes=inputs.prefixes,
        execution=execution.scoped(f"texts/{side.name}/{n_samples}"),
    )


def _refuse_alike(pair: ModelPair, inputs: TraceInputs) -> None:
    """Refuse answers of which one's tokens begin another's, before a text is written or read."""
    blank = [Thought(problem=problem, text="", answer=None) for problem in inputs.task]
    pools = answer_pool([Thoughts(task=inputs.task.name, source="given", items=tuple(blank))])
    texts = [
        CutText(
            problem=problem.id,
            prompt=problem.turns,
            text="",
            cuts=(0,),
            candidates=told_apart(problem, pools[problem.id], written=inputs.given is None),
        )
        for problem in inputs.task
    ]
    encode_cuts(pair.alignment, texts, inputs.form)


def _refuse_unknown(pair: ModelPair, inputs: TraceInputs) -> None:
    """Refuse thoughts or answers that the tokenizer does not know."""
    wrong = [
        Fault(
            where=f"problem {shown(item.problem.id)}",
            what="its trace has a word that the tokenizer does not know",
            fix="Use the words the models were trained on, or leave the problem out",
        )
        for item in (inputs.given.items if inputs.given is not None else ())
        if pair.alignment.unknown(item.text, templated=inputs.form.templated)
    ]
    if pair.alignment.unknown(inputs.form.lead_in, templated=inputs.form.templated):
        wrong.append(
            Fault(
                where="lead_in",
                what=f"{shown(inputs.form.lead_in)} has a word that the tokenizer does not know",
                fix="Use the words with which the models announce an answer",
            )
        )
    if wrong:
        raise TaskError("Thoughts cannot be read as they are written, so nothing was run:", wrong)


def _with_traces(task: Task, source: str) -> Task:
    """The task with traces from a file or data set of ids and traces."""
    given = read_given(source)
    found: dict[str, str] = {}
    wrong: list[Fault] = []
    for row in given.texts:
        if row.fault is not None:
            wrong.append(row.fault)
        elif row.problem is None or row.text is None:
            wrong.append(_fault(row.where, "it lacks a text 'id' or 'trace'", "Write both"))
        elif row.problem in found:
            said = f"the id {shown(row.problem)} is there twice"
            wrong.append(_fault(row.where, said, "Keep one"))
        else:
            found[row.problem] = row.text
    if wrong:
        raise TaskError(f"{source} holds records that are no traces, so nothing was run:", wrong)
    missing = [problem.id for problem in task if problem.id not in found]
    if missing:
        raise SpecError(
            f"{source} has no trace for {len(missing)} of {len(task)} problems (the first is "
            f"{shown(missing[0])}), so there is nothing to read there. Add them, or lower limit."
        )
    read = tuple(replace(problem, trace=found[problem.id]) for problem in task)
    return replace(task, problems=read, notes=tuple(dict.fromkeys((*task.notes, *given.notes))))


def _fault(where: str, what: str, fix: str) -> Fault:
    return Fault(where=where, what=what, fix=fix)
