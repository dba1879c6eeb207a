"""Jobs on a behaviour: its cues, its problems, and the criterion that detects it."""

from elicit import organisms
from elicit.jobs._baselines import baselines_of
from elicit.jobs._cued_spec import CuedSpec, GradedSpec
from elicit.jobs._spec import SpecError
from elicit.jobs._tasks import read_task
from elicit.tasks import (
    LEAST,
    Behaviour,
    Task,
    extractor,
    matching,
    reasoning_behaviour,
    ungradable,
)


def behaviour_of(spec: CuedSpec, task: Task) -> Behaviour:
    """The target behaviour: elicited by the cues, or an embedded pair's trace.

    Raises:
        ElicitError: The cues are equal, the pattern is no regular expression, or a baseline cannot
            be used as a prompt for these problems.
    """
    baselines = baselines_of(spec.baselines, task) if isinstance(spec, GradedSpec) else {}
    if spec.reasoning_cue is None or spec.direct_cue is None:
        return organisms.trace_behaviour(baselines=baselines)
    named = {} if spec.shown is None else {"name": shown_name(spec.shown)}
    return reasoning_behaviour(
        spec.reasoning_cue.replace("\\n", "\n"),
        spec.direct_cue.replace("\\n", "\n"),
        shown=None if spec.shown is None else matching(spec.shown),
        baselines=baselines,
        **named,
    )


def shown_name(pattern: str) -> str:
    """What a text does in which a pattern of the user's is found: that it reasons is not known."""
    return f"writes a match of “{pattern}”"


def problems_of(spec: CuedSpec) -> Task:
    """The problems, up to the requested number.

    Raises:
        ElicitError: The file is missing or invalid.
    """
    task = read_task(spec, spec.problems or organisms.resolve(str(spec.pair)).problems)
    if spec.limit is not None and len(task) > spec.limit:
        task = task.subset(spec.limit, spec.seed)
    return task


def task_of(spec: GradedSpec) -> Task:
    """The problems, read and validated.

    Raises:
        ElicitError: The file is missing or invalid, has too few problems, or has answers that
            the extractor cannot extract.
    """
    extract = extractor(spec.extractor)
    task = problems_of(spec)
    if len(task) < 2 * LEAST:
        raise SpecError(
            f"there are {len(task)} problems, and at least {2 * LEAST} are needed: one half for "
            "selection, one for testing. Add problems; 100 or more are recommended."
        )
    lost = ungradable(task, extract)
    if lost:
        raise SpecError(
            f"the extractor {spec.extractor!r} misses the right answer of {len(lost)} of "
            f"{len(task)} problems ({lost[0]} first) even in a text that consists of it, so all "
            "would count as wrong. Give candidates, or choose another extractor."
        )
    return task
