r"""Files of known benchmarks, recognised by their columns: GSM8K, MATH, MMLU, lm-eval's samples.

What their columns say becomes a problem: the number after `####` is the answer of GSM8K, what
stands in the `\boxed{}` of the solution that of MATH, the letter of the right choice that of MMLU.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from elicit.tasks.faults import TaskError, shown
from elicit.tasks.named import last_box
from elicit.tasks.records import Record, Records, Told

AUTO, PLAIN = "auto", "plain"
"""Recognised by the columns; fields as they are called."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Values = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """Records of one benchmark."""

    name: str
    """What it is called in options."""
    title: str
    """What people call it."""
    fits: Callable[[Mapping[str, Any]], bool]
    """Whether a record has its columns."""
    convert: Callable[[Values], tuple[Values, Told]]
    """The fields of a problem, and what is wrong with the record."""
    said: str
    """What becomes of the columns, in one clause."""


def recognised(records: Records, task_format: str = AUTO) -> tuple[Records, Format | None]:
    """Records with the fields of problems, and the format that they had.

    Args:
        records: As they were read and mapped.
        task_format: `auto` recognises a format by the columns of the first record, `plain` reads
            fields as they are called, other names ask for that format.

    Raises:
        TaskError: No format has the name, or it is asked for and no record has its columns.
    """
    if task_format not in (AUTO, PLAIN, *FORMATS):
        raise TaskError(
            f"there is no task format {shown(task_format)}, so the columns cannot be read. Use one "
            f"of {', '.join((AUTO, PLAIN, *FORMATS))}."
        )
    first = next((row.values for row in records.rows if row.values), None)
    if task_format == PLAIN or first is None:
        return records, None
    asked = task_format != AUTO
    known = [FORMATS[task_format]] if asked else FORMATS.values()
    found = next((each for each in known if each.fits(first)), None)
    if found is None:
        if asked:
            raise TaskError(
                f"{records.origin} is to be read as {FORMATS[task_format].title}, and its columns "
                f"are {', '.join(map(repr, first))}, so there is nothing to read. Leave "
                "task_format out, or name its columns with map."
            )
        return records, None
    rows = tuple(_converted(row, found) for row in records.rows)
    how = "as asked" if asked else f"by its columns {', '.join(first)}"
    note = (
        f"{records.label} was read as {found.title} {how}: {found.said}. task_format='plain' "
        "reads fields as they are called instead."
    )
    return replace(records, rows=rows, notes=(*records.notes, note)), found


def _converted(row: Record, found: Format) -> Record:
    if row.values is None:
        return row
    if not found.fits(row.values):
        what = f"it has not the columns of {found.title}, which the first record has"
        fix = "Give all records the same columns, or pass task_format='plain'"
        return replace(row, values=None, faults=[*row.faults, (what, fix)])
    values, faults = found.convert(dict(row.values))
    return replace(row, values=None if faults else values, faults=[*row.faults, *faults])


def _fits_gsm8k(row: Mapping[str, Any]) -> bool:
    text = row.get("answer")
    return "prompt" not in row and "question" in row and isinstance(text, str) and "####" in text


def _of_gsm8k(row: Values) -> tuple[Values, Told]:
    solution, _, answer = row["answer"].rpartition("####")
    given = {"prompt": row.pop("question"), "answer": answer.strip().replace(",", "")}
    if solution.strip():
        given["trace"] = solution.strip()
    if not given["answer"]:
        return {}, [("its answer ends in '####'", "Write the number after it")]
    return {**row, **given, "extractor": row.get("extractor", "gsm8k")}, []


def _fits_math(row: Mapping[str, Any]) -> bool:
    text = row.get("solution")
    boxed = isinstance(text, str) and last_box(text) is not None
    return "prompt" not in row and "problem" in row and (boxed or {"answer", "level"} <= set(row))


def _of_math(row: Values) -> tuple[Values, Told]:
    solution = row.pop("solution", None)
    given = {"prompt": row.pop("problem"), "extractor": row.get("extractor", "boxed")}
    answer = row.get("answer") or last_box(str(solution or ""))
    if answer is None:
        return {}, [(r"its solution has no \boxed{} with the answer", r"Write \boxed{...} in it")]
    given["answer"] = str(answer).strip()
    if isinstance(solution, str) and solution.strip():
        given["trace"] = solution
    level = row.get("level")
    if "difficulty" not in row and level is not None:
        digits = str(level).lower().removeprefix("level").strip()
        given["difficulty"] = int(digits) if digits.isdigit() else level
    if "id" not in row and isinstance(row.get("unique_id"), str):
        given["id"] = row.pop("unique_id")
    return {**row, **given}, []


def _fits_mmlu(row: Mapping[str, Any]) -> bool:
    listed = "prompt" not in row and "question" in row and isinstance(row.get("choices"), list)
    return listed and isinstance(row.get("answer"), int | str)


def _of_mmlu(row: Values) -> tuple[Values, Told]:
    return multiple_choice(row, row.pop("question"), row["choices"], row["answer"])


def multiple_choice(
    row: Values, question: object, choices: list[Any], right: object
) -> tuple[Values, Told]:
    """A problem whose choices are listed by letter, worded as by lm-evaluation-harness.

    Args:
        row: Other fields, kept.
        question: What is asked.
        choices: The answers to choose from.
        right: Number of the right one from 0, or its letter.
    """
    letters = list(_LETTERS[: len(choices)])
    if not 2 <= len(choices) <= len(_LETTERS) or not all(isinstance(c, str) for c in choices):
        what = f"'choices' is {shown(choices)}, not 2 to {len(_LETTERS)} texts"
        return {}, [(what, 'Write ["...", "..."]')]
    if isinstance(right, str) and right.strip().isdigit():
        right = int(right)
    index = letters.index(right) if isinstance(right, str) and right in letters else right
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(choices):
        what = f"'answer' is {shown(right)} and there are {len(choices)} choices"
        return {}, [(what, f"Write the number of the right one, 0 to {len(choices) - 1}")]
    listed = "\n".join(f"{a}. {b}" for a, b in zip(letters, choices, strict=True))
    given = {"prompt": f"{str(question).strip()}\n{listed}\nAnswer:", "answer": letters[index]}
    given |= {"candidates": letters, "extractor": row.get("extractor", "choice")}
    return {**row, **given}, []


def _fits_samples(row: Mapping[str, Any]) -> bool:
    return {"doc_id", "doc", "target", "arguments", "resps"} <= set(row)


def _of_samples(row: Values) -> tuple[Values, Told]:
    asked = row["arguments"]
    calls = [asked[key] for key in asked] if isinstance(asked, dict) else asked
    calls = [list(call.values()) if isinstance(call, dict) else call for call in calls or ()]
    if not calls or not all(isinstance(call, list) and call for call in calls):
        what = f"'arguments' is {shown(asked)}, no prompts of lm-evaluation-harness"
        return {}, [(what, "Write samples with lm_eval --log_samples")]
    target, prompt = str(row["target"]), calls[0][0]
    kept = {"id": str(row["doc_id"]), "prompt": prompt, "doc": row["doc"]}
    kept |= {key: row[key] for key in row.get("metrics") or () if key in row}
    if "filter" in row:
        kept["filter"] = row["filter"]
    options = [call[1] for call in calls if len(call) > 1 and isinstance(call[1], str)]
    if len(options) > 1 and len(options) == len(calls):
        # One call for each choice, all after one prompt: the likelihoods of a multiple choice.
        names = [option.strip() for option in options]
        right = names[int(target)] if target.isdigit() and int(target) < len(names) else target
        return {**kept, "answer": right.strip(), "candidates": names}, []
    written = row["resps"]
    while isinstance(written, list) and written:
        written = written[0]
    if isinstance(written, str) and written.strip():
        kept["trace"] = written
    if "####" in target:
        kept |= {"answer": target.rpartition("####")[2].strip().replace(",", "")}
        return {**kept, "extractor": "gsm8k"}, []
    boxed = last_box(target)
    if boxed is not None:
        return {**kept, "answer": boxed, "extractor": "boxed"}, []
    return {**kept, "answer": target.strip()}, []


FORMATS = {
    each.name: each
    for each in (
        Format(
            "lm-eval",
            "samples of lm-evaluation-harness",
            _fits_samples,
            _of_samples,
            "the prompt is that of the first request, the trace what the model wrote",
        ),
        Format(
            "gsm8k",
            "GSM8K",
            _fits_gsm8k,
            _of_gsm8k,
            "the answer follows '####', the words before it are the trace, and texts are graded "
            "by extractor='gsm8k'",
        ),
        Format(
            "math",
            "MATH",
            _fits_math,
            _of_math,
            r"the answer is what \boxed{} holds, the solution is the trace, the level the "
            "difficulty, and texts are graded by extractor='boxed' (extractor='math-verify' also "
            "sees that two spellings are equal)",
        ),
        Format(
            "mmlu",
            "MMLU",
            _fits_mmlu,
            _of_mmlu,
            "choices are listed by letter after the question, the letter is the answer, and texts "
            "are graded by extractor='choice'",
        ),
    )
}
"""Formats by name, in the order in which they are tried."""
