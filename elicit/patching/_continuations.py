"""Tokenisation and validation of a contrast's prompts and continuations."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from elicit.pair import Alignment, PairError, Text
from elicit.patching.errors import PatchError
from elicit.tasks import (
    Columns,
    Fault,
    Source,
    TaskError,
    continued,
    edge_faults,
    misspelt,
    problem_faults,
    read_records,
    shown,
    text_faults,
)

Rows = tuple[tuple[int, ...], ...]
"""Token ids, one row per problem."""
_PROBLEM_KEYS = ("id", "prompt", "answer", "candidates", "difficulty", "trace", "extractor")


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Untokenised prompts and continuations, one entry per problem."""

    where: Sequence[str]
    """Location of each problem in messages: `line 3`."""
    id: tuple[str, ...]
    """Name of each problem."""
    clean: Sequence[Text]
    """Prompts."""
    corrupted: Sequence[Text] | None
    """Corrupted prompts."""
    answer: Sequence[str]
    """Right continuations."""
    wrong: Sequence[str] | None
    """Wrong continuations."""
    notes: tuple[str, ...] = ()
    """Remarks on how they were read."""


def read_lines(path: Source, *, map: Columns = None, task_format: str = "auto") -> Texts:
    """Prompts and continuations of a file, a table or a data set.

    Args:
        path: See `load_contrast`.
        map: Field of each column that is called otherwise; see `elicit.tasks.load_task`.
        task_format: See `elicit.tasks.load_task`.

    Raises:
        PatchError: The file cannot be read, has no problem, or has invalid lines; all are named.
    """
    try:
        records = read_records(path, map=map, task_format=task_format)
    except TaskError as error:
        raise PatchError(str(error)) from error
    lines: dict[str, dict[str, str]] = {}
    wrong: list[Fault] = []
    for row in records.rows:
        values, faults = row.values, list(row.faults)
        if values is not None:
            values, more = _line({"id": row.id, **values})
            faults += more
        lines[row.where] = values or {}
        wrong += [Fault(where=row.where, what=what, fix=fix) for what, fix in faults]
    for key in () if wrong else ("corrupted", "wrong"):
        having = [where for where, values in lines.items() if key in values]
        for where, values in lines.items():
            if having and key not in values:
                what = f"it has no {key!r}, and {having[0]} has one"
                wrong.append(Fault(where=where, what=what, fix="Give it to all lines or to none"))
    if not lines:
        raise PatchError(
            f"{records.origin} is empty, so there is no prompt to run. Write one problem per line, "
            "as JSON with prompt and answer."
        )
    if wrong:
        n_bad = len({fault.where for fault in wrong})
        told = f"{n_bad} of {len(lines)} {records.unit}s hold no usable problem"
        raise listing(f"{records.origin}: {told}, so nothing was run:", wrong)
    columns = {
        key: [values[key] for values in lines.values() if key in values]
        for key in ("id", "prompt", "corrupted", "answer", "wrong")
    }
    return Texts(
        where=[f"{line} ({shown(values['id'])})" for line, values in lines.items()],
        id=tuple(columns["id"]),
        clean=columns["prompt"],
        corrupted=columns["corrupted"] or None,
        answer=columns["answer"],
        wrong=columns["wrong"] or None,
        notes=records.notes,
    )


def _line(values: dict[str, object]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Texts of one line's object, and its faults."""
    faults = []
    if "clean" in values and "prompt" in values:
        faults.append(("it has both 'prompt' and 'clean', which are synonyms", "Keep one"))
    values = {"prompt" if key == "clean" else key: value for key, value in values.items()}
    known = (*_PROBLEM_KEYS, "corrupted", "wrong")
    faults += misspelt(values, known)
    faults += problem_faults({key: v for key, v in values.items() if key in _PROBLEM_KEYS})
    for key in ("corrupted", "wrong"):
        if key in values:
            faults += text_faults(key, values[key])
    faults += edge_faults("wrong", values.get("wrong"))
    texts = {key: str(v) for key, v in values.items() if key in known and isinstance(v, str)}
    listed = values.get("candidates")
    if "wrong" not in texts and isinstance(listed, list) and not faults:
        texts["wrong"] = first_other(listed, texts["answer"])
    return texts, faults


def first_other(candidates: Sequence[str], answer: str) -> str:
    """First candidate that is not the answer."""
    return next(candidate for candidate in candidates if candidate != answer)


def encode(alignment: Alignment, texts: Texts, *, templated: bool) -> dict[str, Rows]:
    """Token rows of the given prompts and continuations, by name.

    Args:
        alignment: Tokenisation of the pair.
        texts: Prompts and continuations.
        templated: Whether prompts go through the chat template.

    Raises:
        PatchError: Some problem cannot be encoded or is no contrast; all are named.
    """
    faults: list[Fault] = []
    rows: dict[str, list[tuple[int, ...]]] = {}
    for place, where in enumerate(texts.where):
        prompts = {"clean": texts.clean[place]}
        words = {"answer": texts.answer[place]}
        if texts.corrupted is not None:
            prompts["corrupted"] = texts.corrupted[place]
        if texts.wrong is not None:
            words["wrong"] = texts.wrong[place]
        found, bad = _problem(alignment, prompts, words, templated)
        faults += [Fault(where=where, what=what, fix=fix) for what, fix in bad]
        for name, row in found.items():
            rows.setdefault(name, []).append(row)
    if faults:
        raise listing(_told(faults, len(texts.where)), faults)
    columns = {name: tuple(column) for name, column in rows.items()}
    refuse(texts.where, texts.id, columns)
    return columns


def _problem(
    alignment: Alignment, prompts: Mapping[str, Text], texts: Mapping[str, str], templated: bool
) -> tuple[dict[str, tuple[int, ...]], list[tuple[str, str]]]:
    """Token rows of one problem by name, and its faults."""
    rows: dict[str, tuple[int, ...]] = {}
    faults: list[tuple[str, str]] = []
    for name, prompt in prompts.items():
        if not templated or isinstance(prompt, str):
            faults += text_faults(name, prompt)
    for name, text in texts.items():
        faults += text_faults(name, text) + edge_faults(name, text)
    if faults:
        return rows, faults
    unknown = [name for name, text in texts.items() if alignment.unknown(text, templated=templated)]
    for name, prompt in prompts.items():
        try:
            joined = [
                alignment.joined(prompt, text, templated=templated) for text in texts.values()
            ]
            found = continued(partial(alignment.read, templated=templated), joined)
        except PairError as error:
            return rows, [(f"{name} cannot be read: {str(error).rstrip('.')}", "Rephrase it")]
        if alignment.unknown(joined[0][0], templated=templated):
            unknown.append(name)
        rows[name] = found[0].prompt
        if not rows[name]:
            faults.append(
                (f"no token of {name} stays as it is before a continuation", "Lengthen it")
            )
        for (other, words), one in zip(texts.items(), found, strict=True):
            row = one.written
            if not row:
                faults.append((f"{other} {shown(words)} adds no token to {name}", "Give another"))
            elif rows.setdefault(other, row) != row:
                faults.append(
                    (
                        f"{other} {shown(words)} is {list(rows[other])} after clean and {list(row)}"
                        f" after {name}, so different tokens would be scored",
                        "Corrupt a word that does not change the end of the prompt",
                    )
                )
    faults += [
        (f"the tokenizer does not know some word of {name}",
         "Use words the models were trained on")
        for name in unknown
    ]  # fmt: skip
    return rows, faults


def refuse(where: Sequence[str], names: Sequence[str], columns: Mapping[str, Rows]) -> None:
    """Refuse problems that are no contrast.

    Raises:
        PatchError: Names every such problem.
    """
    clean = columns.get("clean", ())
    if not clean:
        raise PatchError(
            "the contrast has no problems, so nothing would be patched. Pass at least one."
        )
    faults = []

    def fault(place: int, what: str, fix: str) -> None:
        faults.append(Fault(where=where[place], what=what, fix=fix))

    for name, column in columns.items():
        for place, row in enumerate(column):
            if not row or min(row) < 0:
                fault(place, f"{name} is {list(row)}, not a row of token ids", "Pass ids from 0 on")
    times = Counter(names)
    for place, name in enumerate(names):
        if times[name] > 1:
            fault(place, f"{times[name]} problems have this id", "Give each problem its own")
    for place, (one, other) in enumerate(zip(clean, columns.get("corrupted", ()), strict=False)):
        if len(one) != len(other):
            fault(
                place,
                f"clean has {len(one)} tokens and corrupted {len(other)}, so their positions would "
                "not correspond",
                "Replace words by words of as many tokens (symmetric token replacement)",
            )
        elif one == other:
            fault(place, "clean and corrupted are the same tokens", "Replace a word in one")
    for place, (one, other) in enumerate(
        zip(columns["answer"], columns.get("wrong", ()), strict=False)
    ):
        if one == other:
            fault(
                place,
                f"answer and wrong are the same tokens ({list(one)}), so their difference is 0 "
                "under every patch",
                "Give another wrong continuation",
            )
    if faults:
        raise listing(_told(faults, len(clean)), faults)


def _told(faults: Sequence[Fault], n: int) -> str:
    n_bad = len({fault.where for fault in faults})
    return f"{n_bad} of the {n} problems make no contrast, so nothing was run:"


def listing(message: str, faults: Sequence[Fault]) -> PatchError:
    """An error that lists its faults, in the format of task files."""
    return PatchError(str(TaskError(message, faults)))
