"""What `elicit exists` was asked to do, checked before any work."""

from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import Field, field_validator, model_validator

from elicit.report.spec import PairSpec

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
    baselines: tuple[Path, ...] = ()
    """Other ways to ask the base, for example after solved problems: texts with `{prompt}` in place
    of the problem. On the ladder the best of them is where the gap begins."""
    sites: tuple[str, ...] = ()
    """Names as `sites.expand` reads them; none means the ends of all layers."""
    choose_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of the problems on which everything is fitted and chosen."""
    max_new_tokens: int = Field(default=128, ge=1)
    extractor: str = "default"

    @property
    def needs_cues(self) -> bool:
        """Whether there is nothing to be found without them."""
        return True

    @field_validator("baselines")
    @classmethod
    def _found_from_everywhere(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.expanduser().absolute() for path in paths)

    @field_validator("baselines", "sites", "strengths", check_fields=False)
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
                "reasoning_cue and direct_cue are not given, so it is not clear what is looked for "
                "in the base. Give words that call for reasoning, and as many that do not"
            )
        if missing and self.pair is not None and self.shown is not None:
            raise ValueError(
                f"shown is {self.shown!r} and an embedded pair’s own behaviour has its own mark. "
                "Leave shown out, or give both cues"
            )
        if self.problems is None and self.pair is None:
            raise ValueError("problems are not given, so nothing can be asked. Give a JSONL file")
        return self

    def arguments(self) -> dict[str, object]:
        """What the values of a run depend on; what baselines hold is told apart by its text."""
        told = super().arguments()
        del told["baselines"]
        return told


class ExistsSpec(CuedSpec):
    """What `elicit exists` was asked to do."""

    command: ClassVar[str] = "exists"

    strengths: tuple[float, ...] = ()
    """In units of the difference of the means; none means those of `existence.STRENGTHS`."""
    n_random: int = Field(default=20, ge=1)
    """Random directions."""
    n_redrawn: int = Field(default=3, ge=0)
    """Draws of all weights of the base, probed as a control; there must be room for them."""
    margin: float = Field(default=0.1, gt=0, lt=1)
    """Loss of accuracy or coherence that counts as none."""
    least_share: float = Field(default=0.5, ge=0, lt=1)
    """Share of the gap that sufficiency must exceed."""
    least_effect: float = Field(default=0.2, gt=0, lt=1)
    """Smallest effect that matters."""
