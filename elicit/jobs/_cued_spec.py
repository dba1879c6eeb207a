"""Options of jobs on a behaviour: its cues, and the criterion that detects it."""

from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

from pydantic import Field, model_validator

from elicit.jobs._faults import NotGivenError
from elicit.jobs._option import STATISTICS, TASKS, Option
from elicit.jobs._serving import ServedSpec
from elicit.jobs._task_options import ExtractorName, GroupBy, NewTokens

C = TypeVar("C", bound="CuedSpec")


class CuedSpec(ServedSpec):
    """Options of a job on a behaviour that is elicited by a cue before the problem."""

    group_by: GroupBy = None
    problems: Annotated[
        Path | None,
        Option(
            "Problems, 60 or more recommended. An embedded pair has its problems.",
            TASKS,
            "FILE",
            required="without --pair",
        ),
    ] = None
    reasoning_cue: Annotated[
        str | None,
        Option(
            r"Cue before a problem that elicits reasoning; \n is a newline.",
            TASKS,
            "TEXT",
            required="without --pair",
        ),
    ] = None
    direct_cue: Annotated[
        str | None,
        Option(
            "Cue before a problem that elicits a direct answer; best with the same number of "
            "tokens.",
            TASKS,
            "TEXT",
            required="without --pair",
        ),
    ] = None
    shown: Annotated[
        str | None,
        Option(
            "Pattern that marks a text as reasoning.", TASKS, "REGEX", default="12 words or more"
        ),
    ] = None
    choose_share: Annotated[
        float, Option("Share of the problems for fitting and selection.", STATISTICS, "P")
    ] = Field(default=0.5, gt=0, lt=1)
    max_new_tokens: NewTokens = Field(default=128, ge=1)
    sought: ClassVar[str] = "which behaviour to test the base for"
    """What is undefined without cues."""

    @property
    def needs_cues(self) -> bool:
        """Whether the job cannot run without cues."""
        return True

    @model_validator(mode="after")
    def _calls_for_something(self: C) -> C:
        cues = {"reasoning_cue": self.reasoning_cue, "direct_cue": self.direct_cue}
        missing = [name for name, cue in cues.items() if cue is None]
        if len(missing) == 1:
            raise NotGivenError(
                missing,
                " but the other cue is, so there is no contrast. Give both, with equally many "
                "tokens",
            )
        if missing and self.pair is None and self.needs_cues:
            raise NotGivenError(
                missing,
                f", so it is not clear {self.sought}. Give a cue that elicits reasoning, and an "
                "equally long one that does not",
            )
        if missing and self.pair is not None and self.shown is not None:
            raise ValueError(
                f"shown is {self.shown!r}, but an embedded pair’s behaviour has its own pattern. "
                "Leave shown out, or give both cues"
            )
        if self.problems is None and self.pair is None:
            raise NotGivenError(["problems"], ". Give a file or hf:NAME:SPLIT")
        return self


class GradedSpec(CuedSpec):
    """Further options of a job that grades answers and compares with other prompts."""

    baselines: Annotated[
        tuple[Path, ...],
        Option(
            "Another prompt for the base, such as solved examples: text with {prompt} in place of "
            "the problem. The gap starts at the best of them. May be repeated.",
            TASKS,
            "FILE",
            flags=("--baseline",),
        ),
    ] = ()
    sites: Annotated[
        tuple[str, ...],
        Option(
            "Candidate sites, from which the best is chosen.",
            metavar="SITE,…",
            flags=("--site",),
            default="resid_post of every layer",
        ),
    ] = ()
    extractor: ExtractorName = "default"

    def arguments(self) -> dict[str, object]:
        """Options that determine the values of a run; baselines count by their text."""
        kept = super().arguments()
        del kept["baselines"]
        return kept
