"""Scored tasks of a report or a graft, read and validated."""

from dataclasses import dataclass

from elicit import organisms
from elicit.grafting import Score, both_scores, encode
from elicit.grafting import facts as facts_of
from elicit.jobs._asked import GRADED, Asked
from elicit.jobs._frame import Prepared
from elicit.jobs._groups import grouped
from elicit.jobs._report.spec import ScoredSpec
from elicit.jobs._spec import SpecError
from elicit.jobs._tasks import read_task, refuse_missing
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.rollouts import check_prompts
from elicit.runs import Execution
from elicit.tasks import Task, extractor, ungradable


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

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on how the tasks were read."""
        return tuple(note for score in self.all for note in score.task.notes)


def prepare_scores(spec: ScoredSpec, pair: ModelPair, checked: Scores) -> Prepared[Scores]:
    """Tasks checked against the models.

    Raises:
        ElicitError: A problem is too long, or needs a token that a model lacks.
    """
    check_scores(pair, checked)
    return Prepared(checked, checked.identity, checked.notes, _asked)


def _asked(scores: Scores) -> list[Asked]:
    """The scored tasks in words."""
    return [
        Asked(
            name=score.task.name,
            score=GRADED
            if score.how == "generated"
            else f"A problem’s score is the {score.unit}, read without generating.",
            graded=score.how == "generated",
            task=score.task,
        )
        for score in scores.all
    ]


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
        if path is not None:
            refuse_missing(path, what)
    loaded: list[Score | None] = []
    for path, name, how in (
        (facts, "facts", spec.facts_how),
        (problems, "problems", spec.problems_how),
    ):
        if path is None:
            loaded.append(None)
            continue
        task = read_task(spec, path, name)
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


def scores_by_group(
    spec: ScoredSpec, pair: ModelPair, scores: Scores, execution: Execution
) -> tuple[dict[str, Result], list[str]]:
    """Both models' scores by group of problems, and remarks; nothing where no key is named."""
    results: dict[str, Result] = {}
    notes: list[str] = []
    for score in scores.all if spec.group_by is not None else ():
        both = both_scores(pair, score, execution=execution)
        unit = "nats" if score.metric == "log_prob" else "share"
        found, said = grouped(spec, score.task, both, of=f"{score.unit}, {score.how}", unit=unit)
        results |= found
        notes += said
    return results, notes


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
