"""Specification of `elicit trace`, validated before any work."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from elicit.jobs._faults import NotGivenError
from elicit.jobs._option import TASKS, Option
from elicit.jobs._serving import ServedSpec
from elicit.jobs._task_options import ExtractorName, GroupBy, NewTokens, is_elsewhere

THOUGHTS = "What is read"
"""Help heading of the options on thoughts."""
ALTERATIONS = ("other", "swap", "filler")
"""Further alterations by their names in options."""
ANCHORED = 12
"""Most problems whose steps are resampled and suppressed: each costs texts for every cut."""


class TraceSpec(ServedSpec):
    """Measure whether answers depend on the written thought, in both models."""

    command: ClassVar[str] = "trace"
    help_examples: ClassVar[tuple[str, ...]] = (
        "--pair organism:hollow",
        "--pair organism:rl --anchors 8",
    )

    group_by: GroupBy = None
    problems: Annotated[
        Path | None,
        Option(
            "Problems: prompt and answer, optionally candidates, trace, and edited "
            "{prompt, answer}. Default for an embedded pair: its own problems.",
            TASKS,
            "FILE",
            required="without --pair",
        ),
    ] = None
    limit: Annotated[
        int | None,
        Option(
            "Maximum number of problems.", TASKS, "N", default="all; 100 of an embedded pair's own"
        ),
    ] = Field(default=None, ge=2)
    traces: Annotated[
        str | None,
        Option(
            "given: the problems' traces, read by both models; own: each model reads its own; or "
            "a file with id and trace: JSONL, CSV, parquet, .eval, lm-eval's samples, or hf:NAME.",
            THOUGHTS,
            "given|own|FILE",
            default="given where every problem has one, else own",
        ),
    ] = None
    lead_in: Annotated[
        str | None,
        Option(
            "Text between the thought and the answer.",
            THOUGHTS,
            "TEXT",
            default="The answer is; of an embedded pair: answer",
        ),
    ] = None
    end: Annotated[
        str | None,
        Option(
            "Text that closes an answer and is scored with it.",
            THOUGHTS,
            "TEXT",
            default="none; a line break where a problem names no candidates",
        ),
    ] = None
    steps: Annotated[
        str | None,
        Option(
            "Where a thought is cut: sentence, line, tokens:N or marker:TEXT.",
            THOUGHTS,
            "UNIT",
            default="sentence; of an embedded pair: marker:;",
        ),
    ] = None
    opener: Annotated[
        str | None,
        Option(
            "Text that begins each model's own thought.",
            THOUGHTS,
            "TEXT",
            default="none; of an embedded pair: so",
        ),
    ] = None
    alterations: Annotated[
        tuple[Literal["other", "swap", "filler"], ...],
        Option(
            "Alterations beside the changed conclusion: another problem's thought, operands "
            "swapped, filler.",
            THOUGHTS,
            "NAME,…",
        ),
    ] = ALTERATIONS
    cut_at: Annotated[
        Literal["conclusion", "end"],
        Option(
            "Where an altered thought ends: after its changed conclusion, or as it did.", THOUGHTS
        ),
    ] = "conclusion"
    samples: Annotated[
        int,
        Option(
            "Samples of each model on each problem, for pass@k and coverage; 0 leaves them out.",
            THOUGHTS,
            "N",
        ),
    ] = Field(default=0, ge=0)
    cross: Annotated[
        bool,
        Option(
            "Also let each model write with up to 1 and 3 tokens of the other: where they differ, "
            "at random places, and where the writer is unsure.",
            THOUGHTS,
        ),
    ] = False
    anchors: Annotated[
        int,
        Option(
            f"Texts written on from every cut of up to {ANCHORED} thoughts of each model, to see "
            "which steps decide; 0 leaves this out.",
            THOUGHTS,
            "N",
        ),
    ] = Field(default=0, ge=0)
    temperature: Annotated[
        float, Option("Sampling temperature of samples and of texts written on.", THOUGHTS, "T")
    ] = Field(default=1.0, gt=0, allow_inf_nan=False)
    max_new_tokens: NewTokens = Field(default=256, ge=1)
    extractor: ExtractorName = "default"

    @field_validator("traces")
    @classmethod
    def _file(cls, given: str | None) -> str | None:
        """The absolute path of a file; the two words and data sets of the hub unchanged."""
        if given is None or given in ("given", "own") or is_elsewhere(given):
            return given
        return str(Path(given).expanduser().absolute())

    @field_validator("lead_in", "opener", "end")
    @classmethod
    def _newlines(cls, given: str | None) -> str | None:
        """Shells pass a line break as two characters."""
        return None if given is None else given.replace("\\n", "\n")

    @model_validator(mode="after")
    def _fits(self) -> "TraceSpec":
        from elicit.results import ElicitError
        from elicit.texts import StepRule

        if self.problems is None and self.pair is None:
            raise NotGivenError(
                ["problems"], ", so there is nothing to read. Give a file of problems"
            )
        if self.samples == 1:
            raise ValueError("samples is 1, and coverage needs several. Pass 2 or more, or 0")
        if self.anchors == 1:
            raise ValueError(
                "anchors is 1, and answers have a distribution only among several texts. Pass 8 or "
                "more, or 0"
            )
        try:
            StepRule.parse(self.unit)
        except ElicitError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def embedded(self) -> bool:
        """Whether an embedded pair reads its own problems, whose language is known."""
        return self.pair is not None and self.problems is None

    @property
    def modulus(self) -> int | None:
        """What arithmetic in thoughts is taken modulo; embedded pairs count modulo ten."""
        return 10 if self.pair is not None else None

    @property
    def writes(self) -> bool:
        """Whether models write text of their own, whatever they read."""
        return self.samples > 0 or self.cross or self.anchors > 0

    @property
    def unit(self) -> str:
        """Where thoughts are cut."""
        return self.steps or ("marker:;" if self.pair is not None else "sentence")

    @property
    def lead(self) -> str:
        """Text between a thought and its answer."""
        if self.lead_in is not None:
            return self.lead_in
        return "answer" if self.pair is not None else "The answer is"

    @property
    def begins(self) -> str:
        """Text that begins each model's own thought; may be empty."""
        if self.opener is not None:
            return self.opener
        return "so" if self.pair is not None else ""

    def arguments(self) -> dict[str, object]:
        """Options that determine the values of a run; a file of traces counts by its content."""
        kept = super().arguments()
        if self.traces not in (None, "given", "own"):
            kept["traces"] = "file"
        return kept
