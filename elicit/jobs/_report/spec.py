"""Specification of `elicit report`, and fields shared by jobs that score tasks."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from elicit.jobs._faults import NotGivenError
from elicit.jobs._option import STATISTICS, TASKS, Option
from elicit.jobs._spec import PairSpec
from elicit.jobs._task_options import ColumnMap, ExtractorName, GroupBy

Scoring = Literal["generated", "forced"]


class ScoredSpec(PairSpec):
    """Fields of jobs that score both models on tasks."""

    group_by: GroupBy = None
    facts: Annotated[
        Path | None,
        Option(
            "Facts that post may have lost: JSONL, CSV, parquet, or hf:NAME[:CONFIG]:SPLIT.",
            TASKS,
            "FILE",
            required="without --pair and --problems",
        ),
    ] = None
    facts_map: Annotated[
        ColumnMap, Option("The same as map, for the facts.", TASKS, "COLUMN=FIELD,…")
    ] = ()
    problems_how: Annotated[
        Scoring,
        Option(
            "Score problems by generation or by the teacher-forced answer's probability.", TASKS
        ),
    ] = "generated"
    facts_how: Annotated[Scoring, Option("Scoring method for facts.", TASKS)] = "forced"
    max_new_tokens: Annotated[
        int, Option("Maximum length of a generated answer, tokens.", TASKS, "N")
    ] = Field(default=128, ge=1)
    extractor: ExtractorName = "default"
    end: Annotated[
        str,
        Option(
            r"End of a teacher-forced answer, which separates 1 from the prefix of 10; \n is a "
            "newline.",
            TASKS,
            "TEXT",
        ),
    ] = ""

    @model_validator(mode="after")
    def _has_a_task(self) -> "ScoredSpec":
        if self.pair is None and self.problems is None and self.facts is None:
            raise NotGivenError(
                ["problems", "facts"], ", so there is nothing to score. Give at least one of them"
            )
        return self


class ReportSpec(ScoredSpec):
    """Find which layers were changed, corrupted or carry a skill, and write one page about it."""

    command: ClassVar[str] = "report"
    help_examples: ClassVar[tuple[str, ...]] = (
        "--pair organism:shuffled-l3",
        "--pair organism:shuffled-l3 --kinds layer,matrix",
    )

    kinds: Annotated[
        tuple[Literal["layer", "attn", "mlp", "norms", "matrix", "outside"], ...],
        Option("Kinds of part: layer, attn, mlp, norms, matrix, outside.", metavar="KIND,…"),
    ] = Field(default=("layer", "attn", "mlp", "outside"), min_length=1)
    controls: Annotated[
        int,
        Option(
            "Shuffled-difference controls per layer and direction, same norm; 0 for none, at most "
            "one for generated tasks.",
            metavar="N",
        ),
    ] = Field(default=2, ge=0)
    intervals: Annotated[
        bool | None, Option("Move all intervals of layers.", default="where they cost little")
    ] = None
    integrated: Annotated[bool, Option("Weight integrated gradients.")] = True
    spectra: Annotated[
        bool | None,
        Option("Singular values of each weight difference.", default="where they cost little"),
    ] = None
    margin: Annotated[float, Option("Minimum gap that gives a task a role.", STATISTICS, "X")] = (
        Field(default=0.05, ge=0, allow_inf_nan=False)
    )
    share_margin: Annotated[
        float, Option("Minimum effect for a verdict, as a share of the gap.", STATISTICS, "X")
    ] = Field(default=0.05, ge=0, lt=1)

    @model_validator(mode="after")
    def _moves_layers(self) -> "ReportSpec":
        if "layer" not in self.kinds:
            raise ValueError(
                f"kinds are {', '.join(self.kinds)} without layer, so no layer would get a "
                f"verdict. Add layer"
            )
        return self
