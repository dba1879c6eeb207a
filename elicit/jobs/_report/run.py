"""The job behind `elicit report`: every result and the page in a run directory."""

from dataclasses import dataclass

from elicit import organisms
from elicit.grafting import (
    LEAST_PROBLEMS,
    Margins,
    Score,
    encode,
    integrate,
    interpolate,
    localise,
    sample_texts,
    sweep_intervals,
)
from elicit.grafting import facts as facts_of
from elicit.jobs._frame import FEW_PROBLEMS, Job, Outcome, Prepared, Run, Work, execute
from elicit.jobs._report.cost import chosen
from elicit.jobs._report.spec import ReportSpec, ScoredSpec
from elicit.jobs._report.summary import summarise
from elicit.jobs._spec import SpecError
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.rollouts import check_prompts
from elicit.runs import Execution, Progress
from elicit.tasks import Task, extractor, load_task, ungradable
from elicit.weights import WeightChange, weight_change

N_SAMPLES = 8


@dataclass(frozen=True)
class Scores:
    """Scored tasks: where post may have lost, and where it may have gained."""

    damage: Score | None
    skill: Score | None

    @property
    def all(self) -> tuple[Score, ...]:
        """The scores that were given."""
        return tuple(score for score in (self.damage, self.skill) if score is not None)

    @property
    def identity(self) -> dict[str, object]:
        """Inputs that determine the values of a run."""
        return {"tasks": {score.task.name: score.task.digest for score in self.all}}


def report(spec: ReportSpec, *, progress: Progress | None = None) -> Run:
    """Find the layers that were changed, corrupted or carry a skill, and write the page.

    Inputs are validated before a model runs. A killed run resumes and ends with the same bytes.
    Writes the page, `summary.json`, `run.yaml` and every result to `spec.out`.

    Args:
        spec: Specification of the job.
        progress: Receives progress reports.

    Raises:
        ElicitError: An input is missing, damaged, or cannot be compared.
    """
    return execute(_JOB, spec, progress)


def prepare_scores(spec: ScoredSpec, pair: ModelPair, checked: Scores) -> Prepared[Scores]:
    """Tasks checked against the models.

    Raises:
        ElicitError: A problem is too long, or needs a token that a model lacks.
    """
    check_scores(pair, checked)
    return Prepared(checked, checked.identity)


def _measure_all(work: Work[ReportSpec, Scores]) -> Outcome:
    pair, scores = work.pair, work.inputs
    forced = [score for score in scores.all if score.how == "forced"]
    spec, left_out = chosen(work.spec, pair, forced)
    results: dict[str, Result] = {
        "roles": localise(
            pair,
            damage=scores.damage,
            skill=scores.skill,
            kinds=spec.kinds,
            controls=spec.controls,
            margins=Margins(gap=spec.margin, share=spec.share_margin),
            inference=spec.inference,
            execution=work.execution,
        ),
        "weights": _weights(spec, pair, scores, work.execution),
    }
    if spec.intervals and forced:
        results["intervals"] = sweep_intervals(
            pair, forced, inference=spec.inference, execution=work.execution
        )
    results["interpolation"] = interpolate(
        pair, scores.all, inference=spec.inference, execution=work.execution
    )
    smooth = [score for score in forced if score.metric != "correct"]
    if spec.integrated and smooth and not pair.identical:
        results["integrated"] = integrate(pair, smooth, execution=work.execution)
    generated = [score for score in scores.all if score.how == "generated"]
    if generated:
        results["samples"] = sample_texts(pair, generated[0], n=N_SAMPLES, seed=spec.seed)
    return Outcome(
        results=results, summary=summarise(results), notes=[*_remarks(scores), *left_out]
    )


def load_scores(spec: ScoredSpec) -> Scores:
    """The validated tasks of a specification, and how each is scored.

    Raises:
        ElicitError: A file is missing or invalid, the extractor is unknown, or it cannot extract
            the right answers.
    """
    extract = extractor(spec.extractor)
    organism = organisms.resolve(spec.pair) if spec.pair is not None else None
    facts = spec.facts or (organism.facts if organism and spec.problems is None else None)
    problems = spec.problems or (organism.problems if organism and spec.facts is None else None)
    for path, what in ((facts, "facts"), (problems, "problems")):
        if path is not None and not path.is_file():
            raise SpecError(
                f"{what} is {path}, which is not a file, so there is nothing to score. "
                f"Check the path."
            )
    loaded: list[Score | None] = []
    for path, name, how in (
        (facts, "facts", spec.facts_how),
        (problems, "problems", spec.problems_how),
    ):
        if path is None:
            loaded.append(None)
            continue
        task = load_task(path, name=name, group_by=spec.group_by)
        if spec.limit is not None and len(task) > spec.limit:
            task = task.subset(spec.limit, spec.seed)
        loaded.append(_score(spec, task, how))
    for score in loaded:
        if score is not None and score.how == "generated":
            lost = ungradable(score.task, extract)
            if lost:
                raise SpecError(
                    f"the extractor {spec.extractor!r} does not extract the right answer of "
                    f"{len(lost)} of {len(score.task)} {score.task.name} (first: {lost[0]}) "
                    f"even from that answer alone, so they would always be graded wrong. "
                    "Give candidates, or choose another extractor."
                )
    return Scores(damage=loaded[0], skill=loaded[1])


def _score(spec: ScoredSpec, task: Task, how: str) -> Score:
    if len(task) < 2:
        raise SpecError(
            f"{task.name} hold 1 problem, and an interval needs at least 2 (a useful one 50 or "
            f"more). Add problems."
        )
    if how == "generated":
        return Score(
            task=task,
            how="generated",
            metric="correct",
            extractor=spec.extractor,
            max_new_tokens=spec.max_new_tokens,
            templated=spec.templated,
        )
    return facts_of(task, end=spec.end.replace("\\n", "\n"), templated=spec.templated)


def check_scores(pair: ModelPair, scores: Scores) -> None:
    """Refuse a task that does not fit the models, before scoring starts.

    Raises:
        ElicitError: A problem is too long, or needs a token that a model lacks.
    """
    for score in scores.all:
        if score.how == "forced":
            encode(pair, score)
        else:
            _ = (side := pair.side("base")).stop_ids  # refused here if nothing ends a text
            check_prompts(side, score.task, templated=score.templated)


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


_JOB = Job(check=load_scores, prepare=prepare_scores, measure=_measure_all)
