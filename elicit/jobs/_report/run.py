"""The main job: from a specification to a run directory with every result and the page."""

from dataclasses import dataclass

from elicit import organisms
from elicit.grafting import (
    Measure,
    integrate,
    interpolate,
    revert,
    sample_texts,
    sweep_intervals,
)
from elicit.grafting.conclusion import LEAST_PROBLEMS
from elicit.grafting.measure import facts as scored_forced
from elicit.jobs._frame import FEW_PROBLEMS, Job, Outcome, Prepared, Run, Work, execute
from elicit.jobs._report.spec import ReportSpec, ScoredSpec
from elicit.jobs._report.summary import summarise
from elicit.jobs._spec import SpecError
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.rollouts import check_prompts
from elicit.runs import Progress
from elicit.tasks import Task, extractor, load_task, ungradable
from elicit.weights import WeightChange, weight_change

SPECTRA_WIDTH = 1024
"""Widest model whose singular values are computed without being asked for."""
N_SAMPLES = 8


@dataclass(frozen=True)
class Measures:
    """What a job scores: where something may be lost, and where it may be gained."""

    damage: Measure | None
    skill: Measure | None

    @property
    def all(self) -> tuple[Measure, ...]:
        """Those there are."""
        return tuple(measure for measure in (self.damage, self.skill) if measure is not None)

    @property
    def identity(self) -> dict[str, object]:
        """What of them the values of a run depend on."""
        return {"tasks": {measure.task.name: measure.task.digest for measure in self.all}}


def report(spec: ReportSpec, *, progress: Progress | None = None) -> Run:
    """Find the layers that were changed, corrupted or carry a skill, and write the page.

    Everything that can be refused is refused before a model runs. A killed run continues where it
    stopped and ends with the same bytes. Leaves the page, `summary.json`, `run.yaml` and every
    result in `spec.out`.

    Args:
        spec: What to do.
        progress: Receives what is being done.

    Raises:
        ElicitError: Something is missing, damaged, or cannot be compared.
    """
    return execute(_JOB, spec, progress)


def prepare_measures(spec: ScoredSpec, pair: ModelPair, checked: Measures) -> Prepared[Measures]:
    """Tasks that fit the models.

    Args:
        spec: What to do.
        pair: The two models.
        checked: The tasks.

    Raises:
        ElicitError: A problem is too long, or needs a token that a model lacks.
    """
    check_measures(pair, checked)
    return Prepared(checked, checked.identity)


def _measure_all(work: Work[ReportSpec, Measures]) -> Outcome:
    spec, pair, measures = work.spec, work.pair, work.inputs
    attribution = revert(
        pair,
        damage=measures.damage,
        skill=measures.skill,
        kinds=spec.kinds,
        control_draws=spec.controls,
        margin=spec.margin,
        share_margin=spec.share_margin,
        execution=work.execution,
        inference=spec.inference,
    )
    results: dict[str, Result] = {"attribution": attribution}
    results["weights"] = _weights(spec, pair, measures, work.progress)
    forced = [measure for measure in measures.all if measure.how == "forced"]
    if spec.intervals and forced:
        results["intervals"] = sweep_intervals(
            pair, forced, execution=work.execution, inference=spec.inference
        )
    results["interpolation"] = interpolate(
        pair, measures.all, execution=work.execution, inference=spec.inference
    )
    smooth = [measure for measure in forced if measure.metric != "correct"]
    if spec.integrated and smooth and not pair.identical:
        results["integrated"] = integrate(
            pair,
            smooth,
            execution=work.execution,
        )
    generated = [measure for measure in measures.all if measure.how == "generated"]
    if generated:
        results["samples"] = sample_texts(pair, generated[0], n=N_SAMPLES, seed=spec.seed)
    return Outcome(results=results, summary=summarise(results), notes=_remarks(measures))


def load_measures(spec: ScoredSpec) -> Measures:
    """The tasks of a specification, read and checked, and how each is scored.

    Raises:
        ElicitError: A file is missing or wrong, the extractor is unknown, or no answer could be
        found.
    """
    extract = extractor(spec.extractor)
    own = organisms.resolve(spec.pair) if spec.pair is not None else None
    facts = spec.facts or (own.facts if own and spec.problems is None else None)
    problems = spec.problems or (own.problems if own and spec.facts is None else None)
    for path, what in ((facts, "facts"), (problems, "problems")):
        if path is not None and not path.is_file():
            raise SpecError(
                f"{what} are to be read from {path}, which is no file, so there is nothing to "
                f"score. Check the path."
            )
    found: list[Measure | None] = []
    for path, name, how in (
        (facts, "facts", spec.facts_how),
        (problems, "problems", spec.problems_how),
    ):
        if path is None:
            found.append(None)
            continue
        task = load_task(path, name=name)
        if spec.limit is not None and len(task) > spec.limit:
            task = task.subset(spec.limit, spec.seed)
        found.append(_measure(spec, task, how))
    for measure in found:
        if measure is not None and measure.how == "generated":
            lost = ungradable(measure.task, extract)
            if lost:
                raise SpecError(
                    f"the extractor {spec.extractor!r} would not find the right answer of "
                    f"{len(lost)} of "
                    f"{len(measure.task)} {measure.task.name} ({lost[0]} first) even if a model "
                    f"wrote just that, so they "
                    "would all count as wrong. Give candidates, or choose another extractor."
                )
    return Measures(damage=found[0], skill=found[1])


def _measure(spec: ScoredSpec, task: Task, how: str) -> Measure:
    if len(task) < 2:
        raise SpecError(
            f"{task.name} hold 1 problem, and an interval needs at least 2 (a useful one 50 or "
            f"more). Add problems."
        )
    if how == "generated":
        return Measure(
            task=task,
            how="generated",
            metric="correct",
            extractor=spec.extractor,
            max_new_tokens=spec.max_new_tokens,
            templated=spec.templated,
        )
    return scored_forced(task, end=spec.end.replace("\\n", "\n"))


def check_measures(pair: ModelPair, measures: Measures) -> None:
    """Refuse a task that does not fit the models, before any is scored.

    Raises:
        ElicitError: A problem is too long, or needs a token that a model lacks.
    """
    from elicit.grafting.measure import encode

    for measure in measures.all:
        if measure.how == "forced":
            encode(pair, measure)
        else:
            _ = (side := pair.side("base")).stop_ids  # refused here if nothing ends a text
            check_prompts(side, measure.task, templated=measure.templated)


def _weights(
    spec: ReportSpec, pair: ModelPair, measures: Measures, progress: Progress
) -> WeightChange:
    prompts = [problem.prompt for measure in measures.all for problem in measure.task][:256]
    texts = [
        pair.alignment.encode(prompts[i : i + 32], padding="right")
        for i in range(0, len(prompts), 32)
    ]
    spectra = pair.d_model <= SPECTRA_WIDTH if spec.spectra is None else spec.spectra
    return weight_change(pair, texts=texts, spectra=spectra, progress=progress)


def _remarks(measures: Measures) -> list[str]:
    """What a reader should know of the tasks."""
    few = [m.task for m in measures.all if len(m.task) < FEW_PROBLEMS]
    told = [
        f"{task.name} hold {len(task)} problems: below {FEW_PROBLEMS}, intervals say little."
        + (f" Below {LEAST_PROBLEMS} nothing is named." if len(task) < LEAST_PROBLEMS else "")
        for task in few
    ]
    if len({m.task.digest for m in measures.all}) < len(measures.all):
        told.append(
            "facts and problems hold the same problems: their gaps are one finding, not two."
        )
    return told


_JOB = Job(check=load_measures, prepare=prepare_measures, measure=_measure_all)
