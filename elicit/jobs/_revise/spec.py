"""What `elicit revise` was asked to do, checked before any work."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from pydantic import Field, field_validator, model_validator

from elicit.jobs._option import MACHINE, TASKS, Option
from elicit.jobs._spec import PairSpec

if TYPE_CHECKING:
    from elicit.revision import DepthConvention

CONVENTION = "What settled means"
"""Heading of the help for the parts of a convention."""
LENS_STEPS = 250
"""Updates of the fit of a lens."""

TraceKind = Literal["given", "own", "decision"]


class ReviseSpec(PairSpec):
    """Find at which layer predictions settle, in both models on the same tokens."""

    command: ClassVar[str] = "revise"

    problems: Annotated[
        Path | None,
        Option(
            "Problems as JSONL: prompt and answer, optionally trace and difficulty. An embedded "
            "pair brings its own.",
            TASKS,
            "FILE",
        ),
    ] = None
    limit: Annotated[
        int | None,
        Option(
            "Maximum number of problems.", TASKS, "N", default="all; 60 of an embedded pair's own"
        ),
    ] = Field(default=None, ge=2)
    traces: Annotated[
        tuple[TraceKind, ...],
        Option(
            "given: the problems' written solutions; own: texts that each model writes, read by "
            "both; decision: the first token after the prompt.",
            metavar="WHICH,…",
            default="given where every problem has one, else own",
        ),
    ] = ()
    lens: Annotated[
        Literal["logit", "bias", "tuned"],
        Option(
            "How layers are read; bias and tuned are fitted for each model on half of the "
            "problems, and the other half is read."
        ),
    ] = "logit"
    lens_steps: Annotated[
        int | None,
        Option("Optimisation steps for a lens.", metavar="N", default=str(LENS_STEPS)),
    ] = Field(default=None, ge=1)
    convention: Annotated[
        str,
        Option(
            "paper, or a public implementation, by its repository; the options below change "
            "single parts of it.",
            CONVENTION,
            "NAME",
        ),
    ] = "paper"
    threshold: Annotated[
        float | None,
        Option(
            "Divergence at or below which a layer has settled.",
            CONVENTION,
            "G",
            default="the convention's, 0.5",
        ),
    ] = None
    unit: Annotated[
        Literal["bits", "nats"] | None,
        Option("Unit of the threshold.", CONVENTION, default="the convention's, bits"),
    ] = None
    rho: Annotated[
        float | None,
        Option(
            "Share of the layers after which settling counts as deep.",
            CONVENTION,
            "SHARE",
            default="the convention's, 0.85",
        ),
    ] = None
    reading: Annotated[
        Literal["first_hit", "last_exit"] | None,
        Option(
            "First layer that close, or first from which all are.",
            CONVENTION,
            default="the convention's, first_hit",
        ),
    ] = None
    norm: Annotated[
        Literal["once", "none", "twice"] | None,
        Option(
            "Final norm of the layers; none and twice repeat published mistakes.",
            CONVENTION,
            default="the convention's, once",
        ),
    ] = None
    max_new_tokens: Annotated[
        int, Option("Maximum length of a text that a model writes, tokens.", metavar="N")
    ] = Field(default=128, ge=1)
    temperature: Annotated[
        float, Option("Sampling temperature of these texts; 0 is greedy.", metavar="T")
    ] = Field(default=0.0, ge=0, allow_inf_nan=False)
    budget: Annotated[int, Option("Memory for blocks of logits.", MACHINE, "MIB")] = Field(
        default=256, ge=1
    )
    max_tokens: Annotated[
        int, Option("Tokens per forward pass, which bounds memory.", MACHINE, "N")
    ] = Field(default=4096, ge=1)

    @field_validator("traces")
    @classmethod
    def _in_order(cls, traces: tuple[TraceKind, ...]) -> tuple[TraceKind, ...]:
        return tuple(kind for kind in get_args(TraceKind) if kind in traces)

    @field_validator("convention")
    @classmethod
    def _known(cls, name: str) -> str:
        from elicit.revision import CONVENTIONS

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

    def depth_convention(self) -> "DepthConvention":
        """What settled and deep mean.

        Raises:
            RevisionError: A number lies outside what it can be.
        """
        from elicit.revision import CONVENTIONS

        named = CONVENTIONS[self.convention]
        return dataclasses.replace(
            named,
            threshold=named.threshold if self.threshold is None else self.threshold,
            unit=self.unit or named.unit,
            rho=named.rho if self.rho is None else self.rho,
            reading=self.reading or named.reading,
            norm=self.norm or named.norm,
        )
