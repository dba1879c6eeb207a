"""Teacher forcing as few forwards as possible: which rows to run, and what to read from them.

The log-probability of a written answer is a sum of reads: one token at one position of one row. The
rows are the distinct sequences that all reads of a task need, and a row that is the beginning of
another one of the same problem is read from that. So twenty candidates of one token each cost one
row and twenty reads.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from elicit.tasks.border import Join, continued, joined
from elicit.tasks.faults import Fault, TaskError, shown
from elicit.tasks.forced import ForcedRows
from elicit.tasks.problems import Problem
from elicit.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class _Item:
    problem: int
    candidate: int
    is_answer: bool
    tokens: tuple[int, ...]
    start: int


def encode_forced(
    task: Task,
    encode_text: Callable[[str], list[int]],
    pad_id: int,
    *,
    n_positions: int | None,
    end: str = "",
    unknown: Callable[[str], bool] | None = None,
    join: Join = joined,
) -> ForcedRows:
    r"""Rows and reads with which a model's probability of every answer of a task is scored.

    The text of an item is the prompt, a space where its script has one, the candidate, and `end`.
    Its tokens and where they begin are those of `continued`, for all candidates of a problem at
    once.

    Args:
        task: Problems to score.
        encode_text: Token ids of a text, with the leading special tokens that the model expects
            and no closing ones.
        pad_id: Token id for padding; never read and never attended to.
        n_positions: Longest row that the model can run, tokens; None for no limit.
        end: Text that closes an answer and is scored with it. Needed where one candidate's tokens
            begin another's (1 and 12, digit by digit): unclosed, the shorter can never be the less
            probable one.
        unknown: Whether a text holds something that the tokenizer does not know; such a problem is
            refused. None where the tokenizer knows every text.
        join: Puts a continuation after a prompt, for instance within a chat template.

    Raises:
        TaskError: A problem does not fit into the model, or its tokens cannot tell its candidates
            apart; `faults` names every such problem.

    Source: Full string tokenised, then sliced at the boundary; tokens before the boundary are
    scored only where tokenisation of the prompt and of the whole text disagree.
    """
    wrong: list[Fault] = []
    items: list[_Item] = []
    for place, problem in enumerate(task.problems):
        answers = (problem.answer,) if problem.candidates is None else problem.candidates
        texts = [join(problem.turns, f"{answer}{end}") for answer in answers]
        found = [
            _Item(
                problem=place,
                candidate=candidate,
                is_answer=answer == problem.answer,
                tokens=one.ids,
                start=one.start,
            )
            for candidate, (answer, one) in enumerate(
                zip(answers, continued(encode_text, texts), strict=True)
            )
        ]
        strange = [
            answer
            for answer, (_, whole) in zip(answers, texts, strict=True)
            if unknown is not None and unknown(whole)
        ]
        faults = _faults(problem, found, n_positions, strange)
        wrong += [
            Fault(where=f"problem {shown(problem.id)}", what=what, fix=fix) for what, fix in faults
        ]
        items += found
    if wrong:
        n_bad = len({fault.where for fault in wrong})
        raise TaskError(
            f"{n_bad} of the {len(task)} problems of task {shown(task.name)} cannot be scored, so "
            "nothing was run:",
            wrong,
        )
    return _rows(task, items, pad_id)


def _faults(
    problem: Problem, items: Sequence[_Item], n_positions: int | None, strange: Sequence[str]
) -> Iterator[tuple[str, str]]:
    names = (problem.answer,) if problem.candidates is None else problem.candidates
    if items[0].start == 0:
        yield (
            "no token stands before the answer, so there is no prediction of its first one",
            "Begin the prompt with a token that the answer leaves as it is, such as BOS",
        )
    longest = max(len(item.tokens) for item in items) - 1
    if n_positions is not None and longest > n_positions:
        yield (
            f"it needs {longest} tokens, and the model has {n_positions} positions",
            "Shorten the prompt, or leave the problem out",
        )
    if strange:
        yield (
            f"the tokenizer does not know some word of its prompt or of {shown(strange[0])}",
            "Use the words the model was trained on, or leave the problem out",
        )
        return  # candidates that are all unknown are alike for that reason alone
    # In order, a sequence that begins another one stands directly before some such sequence.
    ordered = sorted(zip(names, items, strict=True), key=lambda pair: pair[1].tokens)
    for name, item in ordered:
        if len(item.tokens) <= item.start:
            yield (f"{shown(name)} adds no token to the prompt", "Give an answer that can be read")
            return
    for (name, item), (other, longer) in zip(ordered, ordered[1:], strict=False):
        if item.tokens == longer.tokens:
            yield (
                f"candidates {shown(name)} and {shown(other)} have the same tokens",
                "Keep one: no model can tell them apart",
            )
        elif longer.tokens[: len(item.tokens)] == item.tokens:
            yield (
                f"the tokens of candidate {shown(name)} begin those of {shown(other)}, which could "
                "then never be the more probable one",
                "Pass an end that closes an answer, a full stop or a line end for instance",
            )


def _rows(task: Task, items: Sequence[_Item], pad_id: int) -> ForcedRows:
    inputs = sorted({(item.problem, item.tokens[:-1]) for item in items})
    # In order, a row that begins another one of its problem stands directly before such a row.
    kept: list[tuple[int, tuple[int, ...]]] = []
    home: dict[tuple[int, tuple[int, ...]], tuple[int, tuple[int, ...]]] = {}
    for entry in reversed(inputs):
        if kept and kept[-1][0] == entry[0] and kept[-1][1][: len(entry[1])] == entry[1]:
            home[entry] = kept[-1]
        else:
            kept.append(entry)
            home[entry] = entry
    kept.sort(key=lambda entry: (-len(entry[1]), entry))
    row_of = {entry: row for row, entry in enumerate(kept)}
    reads = sorted(
        (row_of[home[item.problem, item.tokens[:-1]]], pos - 1, item.tokens[pos], place)
        for place, item in enumerate(items)
        for pos in range(item.start, len(item.tokens))
    )
    length = torch.tensor([len(tokens) for _, tokens in kept])
    ids = torch.full((len(kept), int(length.max())), pad_id)
    for row, (_, tokens) in enumerate(kept):
        ids[row, : len(tokens)] = torch.tensor(tokens)
    read_row, read_pos, read_token, read_item = torch.tensor(reads).unbind(dim=1)
    return ForcedRows(
        ids=ids,
        mask=(torch.arange(ids.shape[1]) < length[:, None]).long(),
        length=length,
        problem=torch.tensor([problem for problem, _ in kept]),
        read_row=read_row.contiguous(),
        read_pos=read_pos.contiguous(),
        read_token=read_token.contiguous(),
        read_item=read_item.contiguous(),
        item_problem=torch.tensor([item.problem for item in items]),
        item_candidate=torch.tensor([item.candidate for item in items]),
        item_is_answer=torch.tensor([item.is_answer for item in items]),
        item_start=torch.tensor([item.start for item in items]),
        item_length=torch.tensor([len(item.tokens) - item.start for item in items]),
        has_candidates=torch.tensor([p.candidates is not None for p in task.problems]),
        problem_id=tuple(problem.id for problem in task.problems),
        task_digest=task.digest,
    )
