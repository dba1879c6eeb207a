"""Jobs that look for a behaviour: the words that call for it, its problems, what shows it."""

from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import Field, field_validator, model_validator

from elicit import organisms
from elicit.jobs._baselines import baselines_of
from elicit.jobs._spec import PairSpec, SpecError
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

C = TypeVar("C", bound="CuedSpec")


class CuedSpec(PairSpec):
    """What a job needs that looks for a behaviour called for by words before a problem."""

    reasoning_cue: str | None = None
    """Words before a problem that call for reasoning; a written `\\n` is a line end. None of both
    cues is needed for an embedded pair, which has its own."""
    direct_cue: str | None = None
    """Words before a problem that call for the answer at once."""
    shown: str | None = None
    """Regular expression of a text that reasons; None means: longer than an answer."""
    choose_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of the problems on which everything is fitted and chosen."""
    max_new_tokens: int = Field(default=128, ge=1)
    sought: ClassVar[str] = "what is looked for in the base"
    """What is not clear without cues."""

    @property
    def needs_cues(self) -> bool:
        """Whether there is nothing to be found without them."""
        return True

    @field_validator("baselines", "sites", "strengths", "features", "traces", check_fields=False)
    @classmethod
    def _each_once(cls, listed: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(dict.fromkeys(listed))

    @model_validator(mode="after")
    def _calls_for_something(self: C) -> C:
        cues = {"reasoning_cue": self.reasoning_cue, "direct_cue": self.direct_cue}
        missing = [name for name, cue in cues.items() if cue is None]
        if len(missing) == 1:
            raise ValueError(
                f"{missing[0]} is not given and the other cue is, so there is nothing to compare "
                "it with. Give both, of as many tokens"
            )
        if missing and self.pair is None and self.needs_cues:
            raise ValueError(
                f"reasoning_cue and direct_cue are not given, so it is not clear {self.sought}. "
                "Give words that call for reasoning, and as many that do not"
            )
        if missing and self.pair is not None and self.shown is not None:
            raise ValueError(
                f"shown is {self.shown!r} and an embedded pair’s own behaviour has its own mark. "
                "Leave shown out, or give both cues"
            )
        if self.problems is None and self.pair is None:
            raise ValueError("problems are not given, so nothing can be asked. Give a JSONL file")
        return self


class GradedSpec(CuedSpec):
    """The same of a job in which answers are graded and other ways to ask stand beside."""

    baselines: tuple[Path, ...] = ()
    """Other ways to ask the base, for example after solved problems: texts with `{prompt}` in place
    of the problem. On the ladder the best of them is where the gap begins."""
    sites: tuple[str, ...] = ()
    """Names as `sites.expand` reads them; none means the ends of all layers."""
    extractor: str = "default"

    @field_validator("baselines")
    @classmethod
    def _found_from_everywhere(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(path.expanduser().absolute() for path in paths))

    def arguments(self) -> dict[str, object]:
        """What the values of a run depend on; what baselines hold is told apart by its text."""
        told = super().arguments()
        del told["baselines"]
        return told


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
            f"problems are to be read from {path}, which is no file, so there is nothing to ask. "
            "Check the path."
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
