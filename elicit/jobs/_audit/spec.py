"""Options of `elicit audit`, validated before any work."""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from elicit.jobs._faults import NotGivenError
from elicit.jobs._option import OUTPUT, TASKS, Option
from elicit.jobs._spec import PairSpec
from elicit.jobs._task_options import ColumnMap, GroupBy

CommandName = Literal["report", "patch", "revise", "exists", "mechanisms", "trace"]
COMMANDS: tuple[CommandName, ...] = (
    "report",
    "patch",
    "revise",
    "exists",
    "mechanisms",
    "trace",
)
"""Commands of an audit, in the order in which they run."""
_SETTING = re.compile(r"([a-z]+)\.([a-z_]+)=(.*)", re.DOTALL)


class AuditSpec(PairSpec):
    """Ask all questions about a pair, and answer the three that matter on one page."""

    command: ClassVar[str] = "audit"
    help_examples: ClassVar[tuple[str, ...]] = (
        "--pair organism:when-l3",
        "--pair organism:rl --budget 10",
    )

    problems: Annotated[
        Path | None,
        Option(
            "Problems on which post may improve, 100 or more recommended: JSONL, CSV, parquet, or "
            "hf:NAME[:CONFIG]:SPLIT. An embedded pair has its problems.",
            TASKS,
            "FILE",
            required="without --pair and --facts",
            flags=("--data",),
        ),
    ] = None
    facts: Annotated[
        Path | None,
        Option(
            "Facts that post may have lost, as problems are given. An embedded pair has its facts.",
            TASKS,
            "FILE",
            required="without --pair and --problems",
        ),
    ] = None
    facts_map: Annotated[
        ColumnMap, Option("The same as map, for the facts.", TASKS, "COLUMN=FIELD,…")
    ] = ()
    group_by: GroupBy = None
    reasoning_cue: Annotated[
        str | None,
        Option(
            r"Cue before a problem that elicits reasoning, for exists and mechanisms; \n is a "
            "newline.",
            TASKS,
            "TEXT",
        ),
    ] = None
    direct_cue: Annotated[
        str | None,
        Option("Cue before a problem that elicits a direct answer.", TASKS, "TEXT"),
    ] = None
    opener: Annotated[
        str | None,
        Option(
            "Text that begins a written thought, for mechanisms and trace.",
            TASKS,
            "TEXT",
            default="none; of an embedded pair: so",
        ),
    ] = None
    lead_in: Annotated[
        str | None,
        Option("Text between a written thought and its answer, for trace.", TASKS, "TEXT"),
    ] = None
    extractor: Annotated[
        str | None,
        Option("Extracts the answer from a text, see `elicit report`.", TASKS, "NAME"),
    ] = None
    max_new_tokens: Annotated[
        int | None,
        Option("Maximum length of a text, tokens.", TASKS, "N", default="each command's own"),
    ] = Field(default=None, ge=1)
    commands: Annotated[
        tuple[CommandName, ...],
        Option(f"Commands to run: {', '.join(COMMANDS)}.", metavar="NAME,…"),
    ] = Field(default=COMMANDS, min_length=1)
    settings: Annotated[
        tuple[str, ...],
        Option(
            "An option of one command, such as mechanisms.arms=prompt,rlvr or report.controls=1. "
            "May be repeated.",
            metavar="COMMAND.OPTION=VALUE",
            flags=("--set",),
        ),
    ] = ()
    protocol: Annotated[
        Path | None,
        Option(
            "YAML file of hypotheses, primaries and margins, frozen before anything is measured.",
            OUTPUT,
            "FILE",
        ),
    ] = None

    @field_validator("commands")
    @classmethod
    def _in_order(cls, given: tuple[CommandName, ...]) -> tuple[CommandName, ...]:
        return tuple(name for name in COMMANDS if name in given)

    @field_validator("settings")
    @classmethod
    def _whole(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        """Settings whose lists the command line split at commas, joined again."""
        joined: list[str] = []
        for piece in given:
            if _SETTING.fullmatch(piece):
                joined.append(piece)
            elif joined:
                joined[-1] += f",{piece}"
            else:
                raise ValueError("write COMMAND.OPTION=VALUE, such as report.controls=1")
        return tuple(joined)

    @model_validator(mode="after")
    def _has_a_task(self) -> "AuditSpec":
        if self.pair is None and self.problems is None and self.facts is None:
            raise NotGivenError(
                ["problems", "facts"], ", so there is nothing to ask. Give at least one of them"
            )
        if (self.reasoning_cue is None) != (self.direct_cue is None):
            missing = "reasoning_cue" if self.reasoning_cue is None else "direct_cue"
            raise NotGivenError(
                [missing],
                " but the other cue is, so there is no contrast. Give both, with equally many "
                "tokens",
            )
        return self

    @property
    def own_settings(self) -> dict[str, dict[str, str]]:
        """Options by command, as they were written."""
        found: dict[str, dict[str, str]] = {}
        for piece in self.settings:
            match = _SETTING.fullmatch(piece)
            assert match is not None
            command, option, value = match.groups()
            found.setdefault(command, {})[option] = value
        return found

    def arguments(self) -> dict[str, object]:
        """Options that determine the values of a run; the protocol counts by its digest."""
        kept = super().arguments()
        del kept["protocol"]
        return kept
