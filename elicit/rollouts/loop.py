"""The token loop: batched, with a cache of keys and values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from elicit.edits import active
from elicit.rollouts._cache import check_cache
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.streams import draw, uniforms


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


@torch.no_grad()
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
    from transformers import DynamicCache

    n_rows, temperature = ids.shape[0], draws.temperature
    if temperature > 0 and len(draws.seeds) != n_rows:
        raise ValueError(
            f"{n_rows} rows are sampled at temperature {temperature} but {len(draws.seeds)} seeds "
            "were given, so their text could not be repeated. Give one seed per row."
        )
    written = list(draws.n_written) or [0] * n_rows
    room = torch.as_tensor(max_new_tokens, device=ids.device).expand(n_rows)
    longest = int(room.max())
    numbers = uniforms(draws.seeds, written, longest).to(ids.device) if temperature > 0 else None
    stops = torch.tensor(list(stop_ids), dtype=ids.dtype, device=ids.device)
    out = torch.full((n_rows, longest), pad_id, dtype=ids.dtype, device=ids.device)
    rows = torch.arange(n_rows, device=ids.device)  # rows still in the batch
    running = torch.ones(n_rows, dtype=torch.bool, device=ids.device)
    edits = active(model)
    if edits is not None:
        edits.restart(mask.sum(-1) - mask.new_tensor(written) if any(written) else None)
    switch = check_cache(model)
    cache = DynamicCache(config=model.config)  # pyright: ignore[reportArgumentType]
    seen = step_ids = ids
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    for step in range(longest):
        if step and switch is not None and bool((running & (positions[:, -1] == switch)).any()):
            # As the model's own generate does: keys from before the switch are made anew.
            cache = DynamicCache(config=model.config)  # pyright: ignore[reportArgumentType]
            step_ids = seen
            positions = torch.minimum((mask.cumsum(-1) - 1).clamp(min=0), positions[:, -1:])
        logits = model(
            input_ids=step_ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        broken = running & ~torch.isfinite(logits.amax(-1))
        if numbers is None:
            token = logits.argmax(-1)
        else:
            token = draw(
                logits, temperature=temperature, top_p=draws.top_p, uniform=numbers[rows, step]
            )
        out[rows, step] = torch.where(running, token, pad_id)
        running = running & ~torch.isin(token, stops) & (room[rows] > step + 1)
        n_running, n_broken = torch.stack([running.sum(), broken.sum()]).tolist()
        if n_broken:
            raise RolloutError(
                f"the logits of {n_broken} of {len(rows)} rows are not finite at new token {step}, "
                "so what is drawn there means nothing. Steer less strongly, or use a dtype of more "
                "range, such as bfloat16 or float32."
            )
        if on_step is not None:
            on_step(n_running)
        if not n_running:
            return out[:, : step + 1]
        if n_running < 0.6 * len(rows):
            # Finished rows leave only when they are many, because each leave copies the cache.
            keep = running.nonzero()[:, 0]
            cache.batch_select_indices(keep)
            if edits is not None:
                edits.select(keep)
            rows, running, token = rows[keep], running[keep], token[keep]
            mask, positions, seen = mask[keep], positions[keep], seen[keep]
        step_ids = token[:, None]
        seen = torch.cat([seen, step_ids], dim=1)
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        # A row that is done stands still, so that none passes the model's last position.
        positions = positions[:, -1:] + running[:, None]
    return out
