"""The loop of every reading: chunks of rows, each kept by the checkpoint once it is read."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from elicit.capture import check_rows
from elicit.runs import Execution
from elicit.texts.residuals import chunked
from elicit.texts.rows import TokenRows


def read_chunks(
    rows: TokenRows,
    read: Callable[[TokenRows], dict[str, Tensor]],
    *,
    key: str,
    label: str,
    execution: Execution = Execution(),
) -> dict[str, Tensor]:
    """Statistics of every token that is read, in the order of the rows, on the CPU.

    Args:
        rows: Token rows, and where they are read.
        read: Statistics of one chunk, run as one batch; tokens are the last axis of each.
        key: Checkpoint key of the chunks.
        label: What progress calls the work.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        CaptureError: A row is empty.
    """
    check_rows(rows.rows)
    row, _ = rows.index
    start = torch.bincount(row, minlength=len(rows)).cumsum(0).roll(1)
    start[0] = 0
    parts: list[dict[str, Tensor]] = []
    order: list[int] = []
    execution.progress.start(len(rows), label)
    try:
        for number, (numbers, part) in enumerate(chunked(rows, execution.max_tokens)):
            parts.append(
                execution.checkpoint.get_or_compute(
                    f"{key}/{number}", lambda part=part: _on_cpu(read(part))
                )
            )
            order += [int(start[i]) + k for i in numbers for k in range(len(rows.positions[i]))]
            execution.progress.advance(len(numbers))
    finally:
        execution.progress.stop()
    back = torch.tensor(order).argsort()
    return {name: values.index_select(-1, back) for name, values in concatenate(parts).items()}


def concatenate(parts: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Statistics of several blocks or chunks as one, along their last axis."""
    first, *others = parts
    return {
        name: torch.cat([value, *(other[name] for other in others)], -1)
        for name, value in first.items()
    }


def _on_cpu(values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in values.items()}
