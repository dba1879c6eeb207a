"""The job behind `elicit patch`: sweeps and the factorial, with their page."""

from collections.abc import Sequence
from dataclasses import replace

from elicit.jobs._asked import N_SHOWN, Asked
from elicit.jobs._frame import FEW_PROBLEMS, Job, Outcome, Prepared, Run, Work, execute
from elicit.jobs._patch.cost import PATCH_COSTING, words
from elicit.jobs._patch.inputs import PatchInputs, patch_inputs, problems_of
from elicit.jobs._patch.spec import PatchSpec
from elicit.page import Example
from elicit.pair import ModelPair
from elicit.patching import Contrast, Factorial, PatchGrid, Texts, factorial, run
from elicit.results import Result
from elicit.runs import Progress


def patch(spec: PatchSpec, *, progress: Progress | None = None) -> Run:
    """Patch activations across the two models, or within one, and write the page about it.

    Inputs are validated before a model runs. A killed run resumes and ends with the same bytes.
    Writes the page, `summary.json`, `run.yaml` and every result to `spec.out`.

    Raises:
        ElicitError: An input is missing, damaged, or does not define a sweep.
    """
    return execute(JOB, spec, progress)


def _prepare(spec: PatchSpec, pair: ModelPair, texts: Texts | None) -> Prepared[PatchInputs]:
    inputs = patch_inputs(spec, pair, texts)
    notes = () if texts is None else texts.notes
    return Prepared(
        inputs,
        {"tasks": {"contrast": inputs.contrast.digest}},
        notes,
        lambda given: [_asked(pair, given.contrast, given)],
    )


def _asked(pair: ModelPair, contrast: Contrast, inputs: PatchInputs) -> Asked:
    """The contrast in words, with its first prompts."""
    names = sorted({metric for plan in inputs.plans.values() for metric in plan.swap.metrics})
    said = {
        "logit_diff": "the logit of the right answer minus that of the wrong one",
        "log_prob": "the log-probability of the right answer, nats",
        "probability": "the probability of the right answer",
        "kl": "the KL divergence from the donor’s prediction, nats",
    }

    def text(ids: Sequence[int]) -> str:
        return str(pair.tokenizer.decode(list(ids), skip_special_tokens=True))

    return Asked(
        name="contrast",
        score=f"A problem’s number is {' or '.join(said[name] for name in names)}.",
        n=len(contrast),
        examples=tuple(
            Example(
                prompt=text(contrast.clean[i]),
                answer=text(contrast.answer[i]).strip(),
                said=()
                if contrast.wrong is None
                else (("wrong", text(contrast.wrong[i]).strip(), ""),),
            )
            for i in range(min(N_SHOWN, len(contrast)))
        ),
    )


def _measure(work: Work[PatchSpec, PatchInputs]) -> Outcome:
    spec, inputs = work.spec, work.inputs
    results = _results(work)
    return Outcome(
        results=results,
        summary=_summary(spec, inputs, results),
        notes=[*inputs.notes, *_remarks(spec, inputs, results)],
    )


JOB = Job(check=problems_of, prepare=_prepare, measure=_measure, costing=PATCH_COSTING)


def _results(work: Work[PatchSpec, PatchInputs]) -> dict[str, Result]:
    """Sweeps by direction, and the factorial."""
    inputs, results = work.inputs, {}
    for direction, plan in inputs.plans.items():
        with work.stage(words(direction)):
            results[direction] = run(replace(plan, execution=work.execution.scoped(direction)))
        work.publish(Outcome(results=results, summary={}, notes=inputs.notes))
    if inputs.factorial is not None:
        with work.stage("factorial"):
            results["factorial"] = factorial(
                work.pair,
                inputs.contrast,
                metric=inputs.factorial,
                inference=work.spec.inference,
                execution=work.execution.scoped("factorial"),
                engine=work.spec.engine,
            )
    return results


def _remarks(spec: PatchSpec, inputs: PatchInputs, results: dict[str, Result]) -> list[str]:
    """Remarks for the page."""
    told = []
    n = len(inputs.contrast)
    if n < FEW_PROBLEMS:
        told.append(f"There are {n} problems: below {FEW_PROBLEMS}, intervals are unreliable.")
    grids = [result for result in results.values() if isinstance(result, PatchGrid)]
    if "other_prompt" in spec.controls and grids[0].other_prompt.value.isnan().all():
        told.append(
            "The other-prompt control was not run: some prompt has no other prompt of the same "
            "length."
        )
    if inputs.factorial is None and spec.question == "across" and spec.factorial is None:
        told.append("No factorial was run: kl needs a donor, which a factorial does not have.")
    return told


def _summary(spec: PatchSpec, inputs: PatchInputs, results: dict[str, Result]) -> dict[str, object]:
    """Content of `summary.json`: the finding, then the numbers behind it."""
    split = results.get("factorial")
    return {
        "question": spec.question,
        "contrast": {
            "digest": inputs.contrast.digest,
            "problems": None if spec.problems is None else spec.problems.name,
        },
        "n_problems": len(inputs.contrast),
        "level": spec.level,
        "sweeps": {
            name: {**grid.summary(), "peak": _peak(grid), "controls": list(spec.controls)}
            for name, grid in results.items()
            if isinstance(grid, PatchGrid)
        },
        "factorial": split.summary() if isinstance(split, Factorial) else None,
    }


def _peak(grid: PatchGrid) -> dict[str, object] | None:
    """The peak cell with its share, controls and their verdicts."""
    peak = grid.peak()
    if peak is None:
        return None
    cell = (0, grid.site.index(peak.site), grid.pos.index(peak.pos))
    return {
        **peak.to_json(),
        **{name: getattr(grid, name)[cell].to_json() for name in ("other_prompt", "noise")},
        **{
            name: bool(getattr(grid, name)[cell])
            for name in ("above_other_prompt", "above_noise", "above_control")
        },
    }
