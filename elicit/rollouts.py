"""Sample text: batched, with a cache of keys and values, and a random stream for every row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from elicit.edits import active
from elicit.pair import Alignment, hugging_face_model
from elicit.tasks import Extractor, Fault, Task, TaskError, check, default_extractor


@dataclass(frozen=True, eq=False, kw_only=True)
class Answers:
    """What a model wrote to every problem of a task, and whether it is right."""

    completion: tuple[str, ...]
    """Text after the prompt, special tokens left out."""
    extracted: tuple[str | None, ...]
    """Answer found in it; None if there is none."""
    correct: Bool[Tensor, " problem"]
    """Whether it is the right one."""
    truncated: Bool[Tensor, " problem"]
    """Whether the text was cut before the model ended it."""
    n_tokens: Int[Tensor, " problem"]
    """Tokens written, the stop token included."""


def answer_task(
    model: nn.Module,
    alignment: Alignment,
    task: Task,
    *,
    stop_ids: Sequence[int],
    extractor: Extractor = default_extractor,
    max_new_tokens: int = 256,
    batch_size: int = 128,
    temperature: float = 0.0,
    seed: int = 0,
    templated: bool = False,
    on_batch: Callable[[int], None] | None = None,
) -> Answers:
    """A model's own answers to a task, in batches of prompts padded on the left.

    Args:
        model: A bridge in raw mode, alone or under edits or grafts.
        alignment: How prompts become ids.
        task: Problems with their right answers.
        stop_ids: Tokens that end a text.
        extractor: Finds the answer in a completion.
        max_new_tokens: Longest completion; a prompt near the model's last position gets what is
        left.
        batch_size: Prompts a batch; answers do not depend on it beyond rounding.
        temperature: 0 is greedy.
        seed: With the place of a problem in the task, seeds that problem's own random stream.
        templated: Whether prompts go through the chat template.
        on_batch: Called with the number of problems done after each batch.

    Raises:
        TaskError: A prompt leaves no room for an answer.
    """
    hf_model = hugging_face_model(model)
    prompts, limit = check_prompts(model, alignment, task, templated=templated)
    device = next(hf_model.parameters()).device
    written: dict[int, list[int]] = {}
    for room, places in _batches([len(ids) for ids in prompts], limit, max_new_tokens, batch_size):
        batch = alignment.pad([prompts[i] for i in places], padding="left").to(device)
        new = continue_ids(
            hf_model,
            batch.ids,
            batch.mask,
            max_new_tokens=room,
            stop_ids=stop_ids,
            pad_id=alignment.pad_id,
            temperature=temperature,
            seeds=[(seed << 32) + i for i in places] if temperature > 0 else (),
        ).tolist()
        for place, row in zip(places, new, strict=True):
            end = next((j + 1 for j, token in enumerate(row) if token in stop_ids), len(row))
            written[place] = row[:end]
        if on_batch is not None:
            on_batch(len(places))
    rows = [written[i] for i in range(len(prompts))]
    texts = tuple(str(alignment.tokenizer.decode(row, skip_special_tokens=True)) for row in rows)
    graded = [check(text, problem, extractor) for text, problem in zip(texts, task, strict=True)]
    return Answers(
        completion=texts,
        extracted=tuple(g.extracted for g in graded),
        correct=torch.tensor([g.correct for g in graded]),
        truncated=torch.tensor([row[-1] not in stop_ids for row in rows]),
        n_tokens=torch.tensor([len(row) for row in rows]),
    )


def check_prompts(
    model: nn.Module, alignment: Alignment, task: Task, *, templated: bool
) -> tuple[list[list[int]], int | None]:
    """Ids of every prompt, and the model's number of positions (None if it has no limit).

    Args:
        model: A bridge in raw mode.
        alignment: How prompts become ids.
        task: The problems.
        templated: Whether prompts go through the chat template.

    Raises:
        TaskError: A prompt leaves no room for an answer, or holds a word that the tokenizer does
            not know; every such one is named.
    """
    limit = getattr(hugging_face_model(model).config, "max_position_embeddings", None)
    encode = alignment.templated if templated else alignment.plain
    prompts = [encode(problem.prompt) for problem in task]
    unknown = alignment.tokenizer.unk_token_id
    strange = [
        Fault(where=problem.id, what=f"its {what}", fix="Write it with words of the tokenizer")
        for problem, ids in zip(task, prompts, strict=True)
        for what, seen in (("prompt", ids), ("answer", alignment.plain(problem.answer)))
        if unknown is not None and unknown in seen
    ]
    if strange:
        raise TaskError(
            f"task {task.name!r} has words that the tokenizer does not know, so a model could "
            "neither read nor write them:",
            strange,
        )
    full = [i for i, ids in enumerate(prompts) if limit is not None and len(ids) >= limit]
    if full:
        raise TaskError(
            f"task {task.name!r} has prompts that fill all {limit} positions of the model, so no "
            f"answer fits after them:",
            [
                Fault(
                    where=task.problems[i].id,
                    what=f"{len(prompts[i])} tokens",
                    fix="Shorten the prompt",
                )
                for i in full
            ],
        )
    return prompts, limit


def _batches(
    lengths: Sequence[int], limit: int | None, max_new_tokens: int, batch_size: int
) -> list[tuple[int, list[int]]]:
    """Rows of like length together, with the tokens that each may still write.

    Rows that the model's last position cuts short share a batch with rows of their own length only,
    so that no row's room depends on its neighbours.
    """
    batches: list[tuple[int, list[int]]] = []
    for row in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        room = max_new_tokens if limit is None else min(max_new_tokens, limit - lengths[row])
        if not batches or len(batches[-1][1]) == batch_size or batches[-1][0] != room:
            batches.append((room, []))
        batches[-1][1].append(row)
    return batches


@torch.no_grad()
def continue_ids(
    model: nn.Module,
    ids: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"],
    *,
    max_new_tokens: int,
    stop_ids: Sequence[int],
    pad_id: int,
    temperature: float = 0.0,
    seeds: Sequence[int] = (),
    on_step: Callable[[int], None] | None = None,
) -> Int[Tensor, "batch new"]:
    """Continuations of left-padded prompts, greedy or sampled with one random stream a row.

    Args:
        model: A Hugging Face causal model, plain or wrapped in place.
        ids: Prompt tokens, padded on the left.
        mask: 1 on real tokens, 0 on padding.
        max_new_tokens: Longest continuation.
        stop_ids: A row ends with the first of these; it is kept in the output.
        pad_id: Fills a row after its end.
        temperature: 0 takes the most probable token.
        seeds: One per row when sampling. A row's draws depend on its own seed only, not on its
        batch.
        on_step: Called with the number of rows that are still running after each token.

    Returns:
        New tokens, at most `max_new_tokens`; rows that ended earlier are padded.

    Raises:
        ValueError: Sampling without a seed for each row.
    """
    from transformers import DynamicCache

    n_rows = ids.shape[0]
    if temperature > 0 and len(seeds) != n_rows:
        raise ValueError(
            f"{n_rows} rows are sampled at temperature {temperature} but {len(seeds)} seeds were "
            f"given, "
            "so their text could not be repeated. Give one seed per row."
        )
    draws = _uniforms(seeds, max_new_tokens).to(ids.device) if temperature > 0 else None
    stops = torch.tensor(list(stop_ids), device=ids.device)
    out = torch.full((n_rows, max_new_tokens), pad_id, dtype=ids.dtype, device=ids.device)
    rows = torch.arange(n_rows, device=ids.device)  # rows still in the batch
    running = torch.ones(n_rows, dtype=torch.bool, device=ids.device)
    edits = active(model)
    if edits is not None:
        edits.restart()
    cache = DynamicCache(config=model.config)  # pyright: ignore[reportArgumentType]
    step_ids, positions = ids, (mask.cumsum(-1) - 1).clamp(min=0)
    for step in range(max_new_tokens):
        logits = model(
            input_ids=step_ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        if draws is None:
            token = logits.argmax(-1)
        else:
            token = _draw(logits, temperature=temperature, uniform=draws[rows, step])
        out[rows[running], step] = token[running]
        running = running & ~torch.isin(token, stops)
        if on_step is not None:
            on_step(int(running.sum()))
        if not running.any():
            return out[:, : step + 1]
        if running.float().mean() < 0.6:
            # Finished rows leave only when they are many, because each leave copies the cache.
            keep = running.nonzero()[:, 0]
            cache.batch_select_indices(keep)
            if edits is not None:
                edits.select(keep)
            rows, running, token = rows[keep], running[keep], token[keep]
            mask, positions = mask[keep], positions[keep]
        step_ids = token[:, None]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        positions = positions[:, -1:] + 1
    return out


def _uniforms(seeds: Sequence[int], length: int) -> Tensor:
    """One stream of uniform draws a row, from its own seed."""
    streams = [np.random.Generator(np.random.Philox(key=seed)).random(length) for seed in seeds]
    return torch.from_numpy(np.stack(streams))


def _draw(logits: Tensor, *, temperature: float, uniform: Tensor) -> Tensor:
    """Inverse-CDF sampling: one uniform draw picks one token, in double precision."""
    mass = torch.softmax(logits.double() / temperature, dim=-1).cumsum(-1)
    index = torch.searchsorted(mass, (uniform * mass[:, -1])[:, None], right=True)[:, 0]
    return index.clamp(max=logits.shape[-1] - 1)
