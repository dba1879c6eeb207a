"""What `elicit report` was asked to do, and what every job that scores tasks needs."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from elicit.jobs._option import STATISTICS, TASKS, Option
from elicit.jobs._spec import PairSpec

Scoring = Literal["generated", "forced"]


class ScoredSpec(PairSpec):
    """What a job needs that scores both models on tasks."""

    facts: Annotated[
        Path | None, Option("Facts as JSONL, which post may have lost.", TASKS, "FILE")
    ] = None
    problems_how: Annotated[
        Scoring,
        Option("Score problems by generated answers or by the forced answer's probability.", TASKS),
    ] = "generated"
    facts_how: Annotated[Scoring, Option("The same for facts.", TASKS)] = "forced"
    max_new_tokens: Annotated[
        int, Option("Maximum length of a generated answer, tokens.", TASKS, "N")
    ] = Field(default=128, ge=1)
    extractor: Annotated[
        str,
        Option(
            "Finds the answer in a text: last-candidate, last-number, boxed, marker:WORD, "
            "math-verify, or default: the last candidate, else the last number.",
            TASKS,
            "NAME",
        ),
    ] = "default"
    end: Annotated[
        str,
        Option(
            r"Closes a teacher-forced answer, so that 1 differs from the start of 10; \n is a "
            "newline.",
            TASKS,
            "TEXT",
        ),
    ] = ""

    @model_validator(mode="after")
    def _has_a_task(self) -> "ScoredSpec":
        if self.pair is None and self.problems is None and self.facts is None:
            raise ValueError(
                "neither problems nor facts are given, so nothing could be lost or gained. "
                "Give a JSONL file of at least one"
            )
        return self


class ReportSpec(ScoredSpec):
    """Find which layers were changed, corrupted or carry a skill, and write one page about it."""

    command: ClassVar[str] = "report"

    kinds: Annotated[
        tuple[Literal["layer", "attn", "mlp", "norms", "matrix", "outside"], ...],
        Option("Sizes of part: layer, attn, mlp, norms, matrix, outside.", metavar="KIND,…"),
    ] = Field(default=("layer", "attn", "mlp", "outside"), min_length=1)
    controls: Annotated[
        int,
        Option(
            "Shuffled differences of the same norm per layer and direction; 0 for none, and at "
            "most one for generated tasks.",
            metavar="N",
        ),
    ] = Field(default=2, ge=0)
    intervals: Annotated[bool, Option("Move intervals of layers.")] = True
    integrated: Annotated[bool, Option("Integrate gradients over the weights.")] = True
    spectra: Annotated[
        bool | None,
        Option("Singular values of each weight difference.", default="where the models are small"),
    ] = None
    margin: Annotated[float, Option("Smallest gap that counts.", STATISTICS, "X")] = Field(
        default=0.05, ge=0, allow_inf_nan=False
    )
    share_margin: Annotated[
        float,
        Option("Smallest effect that names a part, as a share of the gap.", STATISTICS, "X"),
    ] = Field(default=0.05, ge=0, lt=1)

    @field_validator("kinds")
    @classmethod
    def _each_once(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(kinds))

    @model_validator(mode="after")
    def _moves_layers(self) -> "ReportSpec":
        if "layer" not in self.kinds:
            raise ValueError(
                f"kinds are {', '.join(self.kinds)} without layer, so no layer would get a "
                f"verdict. Add layer"
            )
        return self
