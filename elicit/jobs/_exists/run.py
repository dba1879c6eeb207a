"""The job behind `elicit exists`: grades the ladder of existence and writes its page."""

from elicit.jobs._asked import GRADED, Asked
from elicit.jobs._baselines import texts_of
from elicit.jobs._cued import behaviour_of, task_of
from elicit.jobs._exists.cost import EXISTS_COSTING
from elicit.jobs._exists.spec import ExistsSpec
from elicit.jobs._frame import Job, Outcome, Prepared, Run, Work, execute
from elicit.jobs._groups import grouped, grouped_summary
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.rollouts import Generation
from elicit.runs import Progress
from elicit.tasks import Behaviour, Task
from elicit.verdicts import Ladder, LadderDesign, assess

USEFUL = 40
"""Test problems below which a loss can hardly be excluded."""


def exists(spec: ExistsSpec, *, progress: Progress | None = None) -> Run:
    """Test whether the base already has the behaviour, and write the page about it.

    Invalid input is refused before a model runs. A killed run resumes and ends with the same bytes.
    The page, `summary.json`, `run.yaml` and every result are left in `spec.out`.

    Raises:
        ElicitError: An input is missing, damaged, or allows no verdict.
    """
    return execute(JOB, spec, progress)


def _check(spec: ExistsSpec) -> tuple[Task, Behaviour]:
    task = task_of(spec)
    _design(spec).check(spec.inference)
    return task, behaviour_of(spec, task)


def _design(spec: ExistsSpec) -> LadderDesign:
    return LadderDesign(
        strengths=spec.strengths or LadderDesign().strengths,
        choose_share=spec.choose_share,
        n_random=spec.n_random,
        n_dosed=spec.n_dosed,
        n_redrawn=spec.n_redrawn,
        margin=spec.margin,
        least_share=spec.least_share,
        least_effect=spec.least_effect,
    )


def _prepare(
    spec: ExistsSpec, pair: ModelPair, checked: tuple[Task, Behaviour]
) -> Prepared[tuple[Task, Behaviour]]:
    task, _ = checked
    identity = {"tasks": {task.name: task.digest}, "baselines": dict(texts_of(spec.baselines))}
    return Prepared(checked, identity, task.notes, lambda given: [_asked(*given)])


def _asked(task: Task, behaviour: Behaviour) -> Asked:
    return Asked(
        name=task.name, score=f"{GRADED} Also: whether the text {behaviour.name}.", task=task
    )


def _measure(work: Work[ExistsSpec, tuple[Task, Behaviour]]) -> Outcome:
    spec, (task, behaviour) = work.spec, work.inputs
    with work.stage("ladder"):
        ladder = assess(
            work.pair,
            behaviour,
            task,
            sites=spec.sites or None,
            design=_design(spec),
            inference=spec.inference,
            generation=Generation(
                extractor=spec.extractor,
                max_new_tokens=spec.max_new_tokens,
                templated=spec.templated,
            ),
            execution=work.execution.scoped("ladder"),
        )
    notes = []
    if ladder.n_test < USEFUL:
        notes.append(
            f"There are {ladder.n_test} test problems: below {USEFUL}, a loss of 0.1 can hardly "
            "be excluded, and rungs that must exclude one stay under-powered."
        )
    by, said = _by_group(spec, task, ladder)
    return Outcome(
        results={"ladder": ladder, **by},
        summary={**ladder.summary(), **grouped_summary(by)},
        notes=[*notes, *said],
    )


def _by_group(spec: ExistsSpec, task: Task, ladder: Ladder) -> tuple[dict[str, Result], list[str]]:
    """The behaviour of base, steered and not, and of post by group of the held-out problems."""
    if spec.group_by is None or ladder.outcome is None:
        return {}, []
    shown = {
        name.removeprefix("shown: "): ladder.outcome[i].double()
        for i, name in enumerate(ladder.measure)
        if name.startswith("shown: ")
    }
    what = f"coherent texts with the behaviour, {ladder.place[3]}".rstrip(", ")
    ways = ("base steered", "base")
    return grouped(spec, task, shown, of=what, problems=ladder.problem, minus=ways)


JOB = Job(check=_check, prepare=_prepare, measure=_measure, costing=EXISTS_COSTING)
