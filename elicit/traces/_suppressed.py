"""What later tokens of a text lose when they may not attend to one of its steps."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import capture, plan_chunks, unembed_of
from elicit.edits import MaskAttention, edited, marked
from elicit.pair import Side, device_of, pad
from elicit.results import digest_json
from elicit.runs import Execution
from elicit.sites import resid_post
from elicit.texts import EncodedText, LogitBuffers, model_divergences


def suppressed(
    side: Side, rows: Sequence[EncodedText], *, key: str, execution: Execution
) -> list[Float[Tensor, "step step"]]:
    """KL of next-token predictions with all attention to a step removed, by later step.

    The rows of one batch are the text as it stands and once for each step; later tokens lose that
    step in all layers and heads, and positions stay as they are.

    Args:
        side: Reads.
        rows: Texts with their cuts, the first before any step.
        key: Checkpoint key.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Returns:
        Of each text `[suppressed later]`: mean KL(as it stands‖suppressed) over the tokens of the
        later step, nats; NaN on and below the diagonal.
    """
    lengths = [len(row.ids) * len(row.text_at) for row in rows]
    found: list[Tensor | None] = [None] * len(rows)
    execution.progress.start(len(rows), "suppressing steps")
    try:
        for numbers in plan_chunks(lengths, execution.max_tokens):
            part = [rows[i] for i in numbers]
            digest = digest_json([[row.ids, row.start, row.text_at] for row in part])
            cell = execution.checkpoint.get_or_compute(
                f"{key}/{digest[:16]}",
                lambda part=part: {
                    str(i): matrix for i, matrix in enumerate(_batch(side, part, execution))
                },
            )
            for place, i in enumerate(numbers):
                found[i] = cell[str(place)]
            execution.progress.advance(len(numbers))
    finally:
        execution.progress.stop()
    return [each for each in found if each is not None]


def _batch(
    side: Side, rows: Sequence[EncodedText], execution: Execution
) -> list[Float[Tensor, "step step"]]:
    """Matrices of some texts, all rows in one forward."""
    ids = [list(row.ids) for row in rows for _ in row.text_at]
    device = device_of(side.bridge)
    batch = pad(ids, pad_id=side.alignment.pad_id, padding="right").to(device)
    seen, blind = (torch.zeros(batch.ids.shape, dtype=torch.bool) for _ in range(2))
    first = 0
    for row in rows:
        ends = [row.start + at for at in row.text_at]
        for step, (low, high) in enumerate(zip(ends, ends[1:], strict=False), start=1):
            seen[first + step, low:high] = True
            blind[first + step, high : len(row.ids)] = True
        first += len(ends)
    # The last step of a text has none after it.
    seen &= blind.any(-1, keepdim=True)
    n_layers = len(list(side.bridge.blocks))  # pyright: ignore[reportArgumentType]
    site = resid_post(n_layers - 1)
    with torch.no_grad():
        if bool(blind.any()):
            edit = MaskAttention(
                layers=tuple(range(n_layers)), dest=marked(blind), src=marked(seen)
            )
            with edited(side.bridge, [edit]):
                resid = capture(side.bridge, batch, sites=[site]).at[site]
        else:
            resid = capture(side.bridge, batch, sites=[site]).at[site]
        return _matrices(side, rows, resid, execution)


def _matrices(
    side: Side,
    rows: Sequence[EncodedText],
    resid: Float[Tensor, "row pos d_model"],
    execution: Execution,
) -> list[Float[Tensor, "step step"]]:
    unembed = unembed_of(side.bridge, d_vocab=side.alignment.d_vocab)
    out, first = [], 0
    for row in rows:
        ends = [row.start + at for at in row.text_at]
        n = len(ends) - 1
        # A token is predicted at the one before it.
        at = torch.arange(ends[0], ends[-1], device=resid.device) - 1
        clean = resid[first, at]
        kl = torch.zeros(n, len(at), dtype=torch.float64)
        buffers = LogitBuffers([unembed] * 2, memory=execution.memory, n_tokens=len(at))
        for step in range(n):
            for span in buffers.spans(len(at)):
                blocks = [
                    readout.project(unembed.norm(states[None, span])[0])
                    for readout, states in zip(
                        buffers.readouts, (clean, resid[first + step + 1, at]), strict=True
                    )
                ]
                kl[step, span] = model_divergences(*blocks).kl_base_post.double().cpu()
        matrix = torch.full((n, n), torch.nan, dtype=torch.float64)
        for later in range(n):
            span = slice(ends[later] - ends[0], ends[later + 1] - ends[0])
            matrix[:later, later] = kl[:later, span].mean(-1)
        out.append(matrix)
        first += len(ends)
    return out
