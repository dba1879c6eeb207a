"""One pass over texts: every layer of one or both models read, a block of tokens at a time.

A chunk of rows is run once through each model and the residual stream of every layer is kept at
the positions that are read. These states then go through the head a block of tokens at a time, so
that memory is bounded by the chunk's residual streams and a budget for blocks of logits, whatever
the length of the text: no array with axes of layer, position and vocabulary is ever made.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from elicit.capture import check_rows
from elicit.revision.blocks import BlockReader, token_axis
from elicit.revision.sides import PassOptions, Side
from elicit.revision.states import chunked
from elicit.revision.traces import Traces
from elicit.runs import Execution


def run_pass(
    sides: Sequence[Side],
    traces: Traces,
    *,
    pad_id: int,
    n_layers: int,
    options: PassOptions,
    execution: Execution = Execution(),
) -> dict[str, Tensor]:
    """Everything that is read of every token, on the CPU and in the order of the traces.

    Args:
        sides: The models.
        traces: The rows, and where they are read.
        pad_id: Id put where a row has no token.
        n_layers: Blocks of each model.
        options: How they are read.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Returns:
        `jsd`, `kl`, `entropy`, `rank`, `prob` as `[model layer token]`, `top` and `top_prob` as
        `[model token]`, where asked for `top_id` and `top_log_prob` as `[model layer token k]`, and
        for both models `kl_base_post`, `kl_post_base`, `jsd_base_post` as `[layer token]`.

    Raises:
        RevisionError: The budget holds no token, or some logits are no prediction.
        CaptureError: A row is empty, or a model cannot read it.
    """
    check_rows(traces.rows)
    cells, progress = execution.checkpoint, execution.progress
    reader = BlockReader(sides, n_layers=n_layers, options=options)
    found: list[dict[str, Tensor]] = []
    order: list[int] = []
    starts = _starts(traces)
    progress.start(len(traces), "reading layers")
    try:
        for number, (places, part) in enumerate(chunked(traces, options.max_tokens)):
            found.append(
                cells.get_or_compute(
                    f"layers/{number}", lambda part=part: reader.read(part, pad_id)
                )
            )
            order += [starts[i] + k for i in places for k in range(len(traces.positions[i]))]
            progress.advance(len(places))
    finally:
        progress.stop()
    back = torch.tensor(order).argsort()
    joined = {
        name: torch.cat([part[name] for part in found], token_axis(name)) for name in found[0]
    }
    return {
        name: value.index_select(value.ndim + token_axis(name), back)
        for name, value in joined.items()
    }


def _starts(traces: Traces) -> list[int]:
    """Number of the first token of each row among all that are read."""
    starts, n = [], 0
    for positions in traces.positions:
        starts.append(n)
        n += len(positions)
    return starts
