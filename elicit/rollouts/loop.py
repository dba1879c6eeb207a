"""The token loop: batched, with a cache of keys and values."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from elicit.rollouts._cached import CachedReader
from elicit.rollouts._recorded import reader_of
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.streams import draw, uniforms

Choose = Callable[[Sequence[Tensor], Tensor, int, Tensor], Tensor]
"""Next token of every row; see `write_ids`."""


@dataclass(eq=False, kw_only=True)
class Watch:
    """A number of each token's choice that must be finite, asked for with the rest."""

    value: Tensor
    """The newest, on any device."""
    error: Callable[[float], Exception]
    """What is raised with one that is not."""


@dataclass(frozen=True, kw_only=True)
class TokenDraws:
    """How the next token of each row is drawn."""

    temperature: float = 0.0
    """0 takes the most probable token."""
    top_p: float = 1.0
    """Mass of the most probable tokens among which a token is drawn, in (0, 1]."""
    seeds: Sequence[int] = ()
    """One per row when sampling, in [0, 2^128). A row's draws depend on its own seed only, not on
    its batch."""
    n_written: Sequence[int] = ()
    """Tokens at the end of each row that are text already and no prompt; none by default. The row's
    stream goes on after as many numbers, and edits of generated tokens hold for them."""


def continue_ids(
    model: nn.Module,
    ids: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"],
    *,
    max_new_tokens: int | Sequence[int],
    stop_ids: Sequence[int],
    pad_id: int,
    draws: TokenDraws = TokenDraws(),
    on_step: Callable[[int], None] | None = None,
) -> Int[Tensor, "batch new"]:
    """Continue left-padded prompts, greedily or sampled with one random stream per row.

    Args:
        model: A Hugging Face causal model, plain or wrapped in place.
        ids: Prompt tokens, padded on the left.
        mask: 1 on real tokens, 0 on padding.
        max_new_tokens: Maximum new tokens, >= 1, for all rows or for each row.
        stop_ids: A row ends at the first of these, which is kept in the output.
        pad_id: Fills a row after its end.
        draws: How tokens are drawn, and each row's random stream; greedy by default.
        on_step: Called with the number of rows that are still running after each token.

    Returns:
        New tokens, at most `max_new_tokens`; rows that ended earlier are padded.

    Raises:
        ValueError: Sampling without a seed for each row.
        RolloutError: The model returned NaN logits, or see `check_cache`.
    """
    n_rows = ids.shape[0]
    room = torch.as_tensor(max_new_tokens, device=ids.device).expand(n_rows)
    reader = reader_of(model, ids, mask, list(draws.n_written) or [0] * n_rows)
    return write_ids(
        [reader],
        drawing(draws, room),
        room=room,
        stop_ids=stop_ids,
        pad_id=pad_id,
        on_step=on_step,
    )


def drawing(
    draws: TokenDraws,
    room: Int[Tensor, " batch"],
    *,
    combine: Callable[[Sequence[Tensor]], Tensor] = itemgetter(0),
) -> Choose:
    """What chooses the next token of every row of a batch; see `write_ids`.

    Args:
        draws: How tokens are drawn.
        room: Maximum new tokens of each row.
        combine: Logits to draw from, from those of every model; the first model's by default.

    Raises:
        ValueError: Sampling without a seed for each row.
    """
    n_rows, temperature = len(room), draws.temperature
    if temperature > 0 and len(draws.seeds) != n_rows:
        raise ValueError(
            f"{n_rows} rows are sampled at temperature {temperature} but {len(draws.seeds)} seeds "
            "were given, so their text could not be repeated. Give one seed per row."
        )
    written = list(draws.n_written) or [0] * n_rows
    numbers = None
    if temperature > 0:
        numbers = uniforms(draws.seeds, written, int(room.max())).to(room.device)

    def choose(logits: Sequence[Tensor], rows: Tensor, step: int, _running: Tensor) -> Tensor:
        together = combine(logits)
        if numbers is None:
            return together.argmax(-1)
        return draw(
            together, temperature=temperature, top_p=draws.top_p, uniform=numbers[rows, step]
        )

    return choose


@torch.no_grad()
def write_ids(
    readers: Sequence[CachedReader],
    choose: Choose,
    *,
    room: Int[Tensor, " batch"],
    stop_ids: Sequence[int],
    pad_id: int,
    on_step: Callable[[int], None] | None = None,
    watch: Watch | None = None,
) -> Int[Tensor, "batch new"]:
    """The loop over tokens, of one model or of several that read the same rows.

    Args:
        readers: Each model, at the end of the prompts.
        choose: Next token of every row, from every model's logits, the rows' numbers in the first
            batch, the number of the token, and which rows are not done.
        room: Maximum new tokens of each row.
        stop_ids: See `continue_ids`.
        pad_id: See `continue_ids`.
        on_step: See `continue_ids`.
        watch: A number of each token's choice that must be finite.

    Raises:
        RolloutError: A model returned NaN logits.
    """
    n_rows, longest, device = len(room), int(room.max()), room.device
    stops = torch.tensor(list(stop_ids), dtype=torch.long, device=device)
    out = torch.full((n_rows, longest), pad_id, dtype=torch.long, device=device)
    rows = torch.arange(n_rows, device=device)  # rows still in the batch
    running = torch.ones(n_rows, dtype=torch.bool, device=device)
    leaves = min(reader.leaves for reader in readers)
    for step in range(longest):
        logits = [reader.logits(running) for reader in readers]
        finite = torch.stack([_finite(each).to(device) for each in logits]).all(0)
        broken = running & ~finite
        token = choose(logits, rows, step, running)
        out[rows, step] = torch.where(running, token, pad_id)
        running = running & ~torch.isin(token, stops) & (room[rows] > step + 1)
        asked = [running.sum(), broken.sum(), *([] if watch is None else [watch.value.float()])]
        # All that the host must know, in one question: a device is waited for once a token.
        n_running, n_broken, *watched = torch.stack(asked).tolist()
        if n_broken:
            raise RolloutError(
                f"the logits of {n_broken} of {len(rows)} rows are not finite at new token {step}, "
                "so what is drawn there means nothing. Steer less strongly, or use a dtype of more "
                "range, such as bfloat16 or float32."
            )
        if watch is not None and not math.isfinite(watched[0]):
            raise watch.error(watched[0])
        if on_step is not None:
            on_step(int(n_running))
        if not n_running:
            return out[:, : step + 1]
        if n_running < leaves * len(rows):
            # Finished rows leave some at a time: each leave copies the cache.
            keep = running.nonzero()[:, 0]
            for reader in readers:
                reader.keep(keep)
            rows, running, token = rows[keep], running[keep], token[keep]
        for reader in readers:
            reader.append(token, running)
    return out


def _finite(logits: Float[Tensor, "row d_vocab"]) -> Bool[Tensor, " row"]:
    """Whether each row's logits say anything."""
    return torch.isfinite(logits.amax(-1))
