"""What `elicit revise` was asked to do, checked before any work."""

import dataclasses
from typing import ClassVar, Literal, get_args

from pydantic import Field, field_validator, model_validator

from elicit.jobs._spec import PairSpec
from elicit.revision.convention import CONVENTIONS, DepthConvention, Reading, Unit
from elicit.revision.lens import Norm

LENS_STEPS = 250
"""Updates of the fit of a lens."""

TraceKind = Literal["given", "own", "decision"]


class ReviseSpec(PairSpec):
    """What `elicit revise` was asked to do."""

    command: ClassVar[str] = "revise"

    traces: tuple[TraceKind, ...] = ()
    """What is read: the written solutions of the problems, texts that both models write, the first
    token after each prompt. None means `given` where every problem has a trace, else `own`; of an
    embedded pair's own problems both."""
    lens: Literal["logit", "bias", "tuned"] = "logit"
    """How layers are read: as if each were the last, or through a lens of each model's own, a bias
    or an affine map, fitted on one half of the problems; then the other half is read."""
    lens_steps: int | None = Field(default=None, ge=1)
    """Updates of the fit; None means `LENS_STEPS`."""
    convention: str = "paper"
    """Name in `revision.CONVENTIONS`; the options below change single parts of it."""
    threshold: float | None = None
    unit: Unit | None = None
    rho: float | None = None
    reading: Reading | None = None
    norm: Norm | None = None
    limit: int | None = Field(default=None, ge=2)
    """Most problems; of an embedded pair's own, None means `OWN_PROBLEMS`."""
    max_new_tokens: int = Field(default=128, ge=1)
    """Longest text that a model writes."""
    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """0 is greedy."""
    budget: int = Field(default=256, ge=1)
    """Memory for blocks of logits, MiB."""
    max_tokens: int = Field(default=4096, ge=1)

    @field_validator("traces")
    @classmethod
    def _in_order(cls, traces: tuple[TraceKind, ...]) -> tuple[TraceKind, ...]:
        return tuple(kind for kind in get_args(TraceKind) if kind in traces)

    @field_validator("convention")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in CONVENTIONS:
            raise ValueError(f"conventions are {', '.join(CONVENTIONS)}")
        return name

    @model_validator(mode="after")
    def _fits(self) -> "ReviseSpec":
        if self.problems is None and self.pair is None:
            raise ValueError(
                "problems are not given, so there is nothing to read. Give a JSONL file"
            )
        if self.templated and "given" in self.traces:
            raise ValueError(
                "templated is given and the traces are given ones, which stand in the plain text "
                "of their problems. Leave templated out, or choose traces own or decision"
            )
        if self.lens == "logit" and self.lens_steps is not None:
            raise ValueError(
                f"lens_steps is {self.lens_steps} and the logit lens is not fitted. Leave it out, "
                "or choose lens tuned or bias"
            )
        norm = self.depth_convention().norm
        if self.lens != "logit" and norm != "once":
            raise ValueError(
                f"lens is {self.lens!r} and the convention has the norm {norm!r}, and a lens is "
                "fitted to states that are normed once. Choose norm once, or lens logit"
            )
        return self

    def depth_convention(self) -> DepthConvention:
        """What settled and deep mean.

        Raises:
            RevisionError: A number lies outside what it can be.
        """
        named = CONVENTIONS[self.convention]
        return dataclasses.replace(
            named,
            threshold=named.threshold if self.threshold is None else self.threshold,
            unit=self.unit or named.unit,
            rho=named.rho if self.rho is None else self.rho,
            reading=self.reading or named.reading,
            norm=self.norm or named.norm,
        )
