"""What jobs need that look for a behaviour: the words that call for it, and what shows it."""

from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

from pydantic import Field, field_validator, model_validator

from elicit.jobs._option import STATISTICS, TASKS, Option
from elicit.jobs._spec import PairSpec

C = TypeVar("C", bound="CuedSpec")


class CuedSpec(PairSpec):
    """What a job needs that looks for a behaviour called for by words before a problem."""

    problems: Annotated[
        Path | None,
        Option(
            "Problems as JSONL, 60 or more to say much. An embedded pair brings its own.",
            TASKS,
            "FILE",
        ),
    ] = None
    reasoning_cue: Annotated[
        str | None,
        Option(r"Words before a problem that call for reasoning; \n is a newline.", TASKS, "TEXT"),
    ] = None
    direct_cue: Annotated[
        str | None,
        Option(
            "Words before a problem that call for a direct answer; best with the same number of "
            "tokens.",
            TASKS,
            "TEXT",
        ),
    ] = None
    shown: Annotated[
        str | None,
        Option(
            "Pattern that marks a text as reasoning.", TASKS, "REGEX", default="12 words or more"
        ),
    ] = None
    choose_share: Annotated[
        float,
        Option("Share of the problems for fitting and selection.", STATISTICS, "P"),
    ] = Field(default=0.5, gt=0, lt=1)
    max_new_tokens: Annotated[
        int, Option("Maximum length of a generated text, tokens.", TASKS, "N")
    ] = Field(default=128, ge=1)
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
    """What such a job needs besides where answers are graded and other prompts are baselines."""

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
            "Candidate sites, of which the best is chosen.",
            metavar="SITE,…",
            flags=("--site",),
            default="resid_post of every layer",
        ),
    ] = ()
    extractor: Annotated[
        str,
        Option(
            "Finds the answer in a text: last-candidate, last-number, boxed, marker:WORD, "
            "math-verify, or default: the last candidate, else the last number.",
            TASKS,
            "NAME",
        ),
    ] = "default"

    @field_validator("baselines")
    @classmethod
    def _found_from_everywhere(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(path.expanduser().absolute() for path in paths))

    def arguments(self) -> dict[str, object]:
        """What the values of a run depend on; baselines count by their text."""
        kept = super().arguments()
        del kept["baselines"]
        return kept
