"""The job behind `elicit report`: every result and the page in a run directory."""

from collections.abc import Callable

from elicit.grafting import (
    LEAST_PROBLEMS,
    Margins,
    integrate,
    interpolate,
    localise,
    sample_texts,
    sweep_intervals,
)
from elicit.jobs._frame import FEW_PROBLEMS, Job, Outcome, Run, Work, execute
from elicit.jobs._groups import grouped_summary
from elicit.jobs._report.cost import N_SAMPLES, REPORT_COSTING, chosen
from elicit.jobs._report.scores import Scores, load_scores, prepare_scores, scores_by_group
from elicit.jobs._report.spec import ReportSpec
from elicit.jobs._report.summary import summarise
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.runs import Execution, Progress
from elicit.weights import WeightChange, weight_change


def report(spec: ReportSpec, *, progress: Progress | None = None) -> Run:
    """Find the layers that were changed, corrupted or carry a skill, and write the page.

    Inputs are validated before a model runs. A killed run resumes and ends with the same bytes.
    Writes the page, `summary.json`, `run.yaml` and every result to `spec.out`.

    Raises:
        ElicitError: An input is missing, damaged, or cannot be compared.
    """
    return execute(JOB, spec, progress)


def _measure_all(work: Work[ReportSpec, Scores]) -> Outcome:
    pair, scores = work.pair, work.inputs
    forced = [score for score in scores.all if score.how == "forced"]
    spec, left_out = chosen(work.spec, pair, forced)
    results: dict[str, Result] = {}
    shared = {"inference": spec.inference, "execution": work.execution}
    smooth = [score for score in forced if score.metric != "correct"]
    generated = [score for score in scores.all if score.how == "generated"]

    notes = [*_remarks(scores), *left_out]

    def moving() -> Result:
        return localise(
            pair,
            damage=scores.damage,
            skill=scores.skill,
            kinds=spec.kinds,
            controls=spec.controls,
            margins=Margins(gap=spec.margin, share=spec.share_margin),
            **shared,
        )

    steps: dict[str, tuple[str, Callable[[], Result]] | None] = {
        "moving parts": ("roles", moving),
        "comparing weights": ("weights", lambda: _weights(spec, pair, scores, work.execution)),
        "moving intervals": ("intervals", lambda: sweep_intervals(pair, forced, **shared))
        if spec.intervals and forced
        else None,
        "interpolating": ("interpolation", lambda: interpolate(pair, scores.all, **shared)),
        "integrating gradients": (
            "integrated",
            lambda: integrate(pair, smooth, execution=work.execution),
        )
        if spec.integrated and smooth and not pair.identical
        else None,
        "sample texts": (
            "samples",
            lambda: sample_texts(pair, generated[0], n=N_SAMPLES, seed=spec.seed),
        )
        if generated
        else None,
    }
    for stage, step in steps.items():
        if step is not None:
            name, compute = step
            with work.stage(stage):
                results[name] = compute()
            work.publish(Outcome(results=results, summary={}, notes=notes))
    found, said = scores_by_group(spec, pair, scores, work.execution)
    results, notes = results | found, notes + said
    summary = {**summarise(results), **grouped_summary(results)}
    return Outcome(results=results, summary=summary, notes=notes)


def _weights(
    spec: ReportSpec, pair: ModelPair, scores: Scores, execution: Execution
) -> WeightChange:
    prompts = [problem.prompt for score in scores.all for problem in score.task][:256]
    texts = [
        pair.alignment.encode(prompts[i : i + 32], padding="right")
        for i in range(0, len(prompts), 32)
    ]
    return weight_change(pair, texts=texts, spectra=bool(spec.spectra), execution=execution)


def _remarks(scores: Scores) -> list[str]:
    """Remarks on the tasks for the page."""
    few = [m.task for m in scores.all if len(m.task) < FEW_PROBLEMS]
    remarks = [
        f"{task.name} hold {len(task)} problems: below {FEW_PROBLEMS}, intervals are unreliable."
        + (f" Below {LEAST_PROBLEMS} no verdict is given." if len(task) < LEAST_PROBLEMS else "")
        for task in few
    ]
    if len({m.task.digest for m in scores.all}) < len(scores.all):
        remarks.append(
            "facts and problems are the same problems: their gaps are one finding, not two."
        )
    return remarks


JOB = Job(check=load_scores, prepare=prepare_scores, measure=_measure_all, costing=REPORT_COSTING)
