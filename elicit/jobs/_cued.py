"""Jobs that look for a behaviour: the words that call for it, its problems, what shows it."""

from elicit import organisms
from elicit.jobs._baselines import baselines_of
from elicit.jobs._cued_spec import CuedSpec, GradedSpec
from elicit.jobs._spec import SpecError
from elicit.tasks import (
    LEAST,
    Behaviour,
    Task,
    extractor,
    load_task,
    matching,
    reasoning_behaviour,
    ungradable,
)


def behaviour_of(spec: CuedSpec, task: Task) -> Behaviour:
    """What is looked for: what the cues call for, or an embedded pair's trace.

    Args:
        spec: What to do.
        task: The problems.

    Raises:
        ElicitError: The cues are the same, the mark is no regular expression, or a baseline is no
            way to ask these problems.
    """
    baselines = baselines_of(spec.baselines, task) if isinstance(spec, GradedSpec) else {}
    if spec.reasoning_cue is None or spec.direct_cue is None:
        return organisms.trace_behaviour(baselines=baselines)
    return reasoning_behaviour(
        spec.reasoning_cue.replace("\\n", "\n"),
        spec.direct_cue.replace("\\n", "\n"),
        shown=None if spec.shown is None else matching(spec.shown),
        baselines=baselines,
    )


def problems_of(spec: CuedSpec) -> Task:
    """The problems, as many as asked for.

    Args:
        spec: What to do.

    Raises:
        ElicitError: The file is missing or wrong.
    """
    path = spec.problems or organisms.resolve(str(spec.pair)).problems
    if not path.is_file():
        raise SpecError(
            f"problems are to be read from {path}, which is not a file, so there is nothing to ask."
            " Check the path."
        )
    task = load_task(path, name="problems")
    if spec.limit is not None and len(task) > spec.limit:
        task = task.subset(spec.limit, spec.seed)
    return task


def task_of(spec: GradedSpec) -> Task:
    """The problems, read and checked.

    Args:
        spec: What to do.

    Raises:
        ElicitError: The file is missing or wrong, holds too few problems, or answers that would
            never be found.
    """
    extract = extractor(spec.extractor)
    task = problems_of(spec)
    if len(task) < 2 * LEAST:
        raise SpecError(
            f"there are {len(task)} problems, and at least {2 * LEAST} are needed: one half to "
            "choose on, the other to test on. Add problems; 100 or more make a useful verdict."
        )
    lost = ungradable(task, extract)
    if lost:
        raise SpecError(
            f"the extractor {spec.extractor!r} would not find the right answer of {len(lost)} of "
            f"{len(task)} problems ({lost[0]} first) even if a model wrote just that, so they "
            "would all count as wrong. Give candidates, or choose another extractor."
        )
    return task
