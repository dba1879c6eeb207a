"""Options on problems that several commands have."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from elicit.jobs._option import TASKS, Option

GroupBy = Annotated[
    str | None,
    Option(
        "Key of the problems that groups them, such as subject; results by group are given too.",
        TASKS,
        "KEY",
        flags=("--by",),
        default="difficulty",
    ),
]
NewTokens = Annotated[int, Option("Maximum length of a generated text, tokens.", TASKS, "N")]
ExtractorName = Annotated[
    str,
    Option(
        "Extracts the answer from a text: last-candidate, last-number, boxed, choice, gsm8k, "
        "marker:WORD, math-verify, or default: that of the problem, else the last candidate, else "
        "the last number.",
        TASKS,
        "NAME",
    ),
]
TaskFormat = Annotated[
    Literal["auto", "plain", "gsm8k", "math", "mmlu", "lm-eval"],
    Option(
        "Columns of the problems: gsm8k, math, mmlu, lm-eval (its logged samples), plain (fields "
        "as they are called), or auto: recognised.",
        TASKS,
        "NAME",
    ),
]


def is_elsewhere(given: object) -> bool:
    """Whether an option names a data set of the hub rather than a file."""
    if ":" not in str(given):
        return False
    # Imported for such names only: options are read without the libraries of models.
    from elicit.tasks import is_hub_id

    return is_hub_id(given)


def _pairs(given: Any) -> Any:
    """Pairs of a column and a field, one text each, from a mapping or from text with commas."""
    if isinstance(given, Mapping):
        return tuple(f"{column}={field}" for column, field in given.items())
    if isinstance(given, str):
        given = given.split(",")
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        return given
    from elicit.tasks import TaskError, parse_map

    try:
        parse_map(",".join(given))
    except TaskError as error:
        raise ValueError(str(error).rstrip(".")) from error
    return tuple(each.strip() for each in given)


ColumnMap = Annotated[tuple[str, ...], BeforeValidator(_pairs)]
"""`COLUMN=FIELD`, one for each column that is called otherwise than its field."""
MAP_HELP = "A column that is called otherwise than its field: question=prompt,target=answer."
