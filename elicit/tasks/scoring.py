"""How probable a model finds the right answers, from the logits of a few positions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.surroundings import guarded
from elicit.tasks.forced import ForcedBatch, ForcedRows

_CHUNK_VALUES = 1 << 24
"""Logits turned into log-probabilities at a time: a large vocabulary needs no second copy."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ReadScores:
    """What the logits say about each token that is read."""

    log_prob: Float[Tensor, " read"]
    """Log-probability of the token, nats."""
    margin: Float[Tensor, " read"]
    """Its logit minus the best other token's."""
    is_greedy: Bool[Tensor, " read"]
    """Whether greedy decoding would choose the token."""

    @staticmethod
    def cat(parts: "Sequence[ReadScores]") -> "ReadScores":
        """The reads of several batches, one after the other."""
        return ReadScores(
            log_prob=torch.cat([part.log_prob for part in parts]),
            margin=torch.cat([part.margin for part in parts]),
            is_greedy=torch.cat([part.is_greedy for part in parts]),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class ForcedScores:
    """How a model rates the right answer of each problem, teacher-forced."""

    answer_log_prob: Float[Tensor, " problem"]
    """Log-probability of the answer's tokens after the prompt, summed, nats."""
    answer_log_prob_per_token: Float[Tensor, " problem"]
    """The same divided by the number of tokens."""
    normalised_log_prob: Float[Tensor, " problem"]
    """Log of `probability`, nats."""
    probability: Float[Tensor, " problem"]
    """Share of the answer in the probability of all candidates; without candidates, its own."""
    margin: Float[Tensor, " problem"]
    """Log-probability of the answer minus the best other candidate's, nats; without candidates,
    the least lead that a token of the answer has over the best other token."""
    correct: Bool[Tensor, " problem"]
    """Whether the answer is more probable than every other candidate, which a tie is not; without
    candidates, whether greedy decoding would write it."""
    item_log_prob: Float[Tensor, " item"]
    """Log-probability of every candidate (or lone answer), summed over its tokens, nats."""
    item_problem: Int[Tensor, " item"]
    """Place of each item's problem in the task."""
    problem_id: tuple[str, ...]
    """Id of each problem."""


def read_scores(logits: Float[Tensor, "slot d_vocab"], batch: ForcedBatch) -> ReadScores:
    """Log-probability and lead of every token that a batch reads, on the CPU.

    Log-softmax is taken in float32, or in float64 if the logits are. Gradients flow through
    `log_prob` and `margin`.

    Args:
        logits: Logits at `(batch.slot_row, batch.slot_pos)`, in that order; any float type.
        batch: The batch that was run.

    Raises:
        ValueError: The logits are not those of the batch's slots, lack a token that is read, or
            some are NaN.
    """
    n_slots, d_vocab = logits.shape
    if n_slots != len(batch.slot_row):
        raise ValueError(
            f"There are logits for {n_slots} positions, and the batch reads {len(batch.slot_row)}, "
            "so they would be matched wrongly. Pass logits[batch.slot_row, batch.slot_pos]."
        )
    read_slot, read_token = batch.read_slot.cpu(), batch.read_token.cpu()
    if int(read_token.max()) >= d_vocab:
        raise ValueError(
            f"Token {int(read_token.max())} is read, and the logits end at {d_vocab - 1}: the text "
            "was encoded with another model's tokenizer. Encode it with the model's own."
        )
    step = max(1, _CHUNK_VALUES // d_vocab)
    parts: list[ReadScores] = []
    for low in range(0, n_slots, step):
        first, last = torch.searchsorted(read_slot, torch.tensor([low, low + step])).tolist()
        token = read_token[first:last].to(logits.device)
        parts.append(_read(logits[low : low + step], read_slot[first:last] - low, token))
    return ReadScores.cat(parts)


def _read(
    logits: Float[Tensor, "slot d_vocab"], slot: Int[Tensor, " read"], token: Int[Tensor, " read"]
) -> ReadScores:
    logits = logits if logits.dtype == torch.float64 else logits.float()
    slot = slot.to(logits.device)
    log_prob = logits.log_softmax(dim=-1)[slot, token].cpu()
    if bool(log_prob.isnan().any()):
        raise ValueError(
            f"The logits hold NaN or infinity where {int(log_prob.isnan().sum())} tokens are read, "
            "so they have no probability. Look for NaN in the weights, or run the model in a wider "
            "dtype."
        )
    own = logits[slot, token]
    greedy = logits.argmax(dim=-1)
    best = logits.gather(1, greedy[:, None]).squeeze(1)
    others = logits.scatter(1, greedy[:, None], -torch.inf).amax(dim=-1)
    is_greedy = greedy[slot] == token
    rival = torch.where(is_greedy, others[slot], best[slot])
    return ReadScores(log_prob=log_prob, margin=(own - rival).cpu(), is_greedy=is_greedy.cpu())


def reduce_scores(rows: ForcedRows, reads: ReadScores) -> ForcedScores:
    """Scores of every problem from the scores of all reads, added up in float64 on the CPU.

    Args:
        rows: The encoded task.
        reads: Scores of the reads of `rows.batches(...)`, one batch after the other.

    Raises:
        ValueError: There are more or fewer read scores than reads.
    """
    if len(reads.log_prob) != len(rows.read_item):
        raise ValueError(
            f"There are scores for {len(reads.log_prob)} reads, and the rows have "
            f"{len(rows.read_item)}. Pass the scores of all batches, in their order."
        )
    n_items, n_problems = len(rows.item_problem), len(rows.problem_id)
    log_prob = torch.zeros(n_items, dtype=torch.float64)
    log_prob.index_add_(0, rows.read_item, reads.log_prob.double())
    lead = torch.full((n_items,), torch.inf, dtype=torch.float64)
    lead.scatter_reduce_(0, rows.read_item, reads.margin.double(), "amin")
    greedy = torch.ones(n_items, dtype=torch.int64)
    greedy.scatter_reduce_(0, rows.read_item, reads.is_greedy.long(), "amin")

    is_answer = rows.item_is_answer
    answer = log_prob[is_answer]  # items stand in the order of the problems, one answer in each
    best_other = torch.full((n_problems,), -torch.inf, dtype=torch.float64)
    others = ~is_answer
    best_other.scatter_reduce_(0, rows.item_problem[others], log_prob[others], "amax")
    best = torch.maximum(answer, best_other).detach()
    # Where every candidate is impossible all are alike, and the shift must not be infinite.
    shift = torch.where(best.isfinite(), best, 0.0)
    total = torch.zeros(n_problems, dtype=torch.float64)
    total.index_add_(0, rows.item_problem, (log_prob - shift[rows.item_problem]).exp())
    chosen = rows.has_candidates
    possible = total > 0
    share = torch.where(possible, answer - shift - total.log(), -torch.inf)
    normalised = torch.where(chosen, share, answer)
    margin = torch.where(answer == best_other, 0.0, answer - best_other)
    return ForcedScores(
        answer_log_prob=answer,
        answer_log_prob_per_token=answer / rows.item_length[is_answer],
        normalised_log_prob=normalised,
        probability=normalised.exp(),
        margin=torch.where(chosen, margin, lead[is_answer]),
        correct=torch.where(chosen, answer > best_other, greedy[is_answer].bool()),
        item_log_prob=log_prob,
        item_problem=rows.item_problem,
        problem_id=rows.problem_id,
    )


@guarded
def score_forced(
    model_logits: Callable[[Tensor, Tensor, Tensor], Tensor],
    rows: ForcedRows,
    *,
    max_tokens: int = 4096,
    device: torch.device | str = "cpu",
) -> ForcedScores:
    """How a model rates every answer, by one plain forward over each batch of rows.

    Args:
        model_logits: Called with ids, mask and position ids, `[batch pos]` each; returns logits
            `[batch pos d_vocab]`. A Hugging Face model's `.logits`, or a bridge called with
            `use_cache=False`.
        rows: The encoded task.
        max_tokens: Most tokens in a forward, padding included, at least 1.
        device: Device of the model's input.

    Raises:
        ValueError: The logits lack a token that is read, or some are NaN.
    """
    parts: list[ReadScores] = []
    with torch.no_grad():  # inference mode would leave tensors in the model that no gradient passes
        for batch in rows.batches(max_tokens):
            there = batch.to(device)
            logits = model_logits(there.ids, there.mask, there.position_ids)
            slots = logits[there.slot_row.to(logits.device), there.slot_pos.to(logits.device)]
            parts.append(read_scores(slots, batch))
    return reduce_scores(rows, ReadScores.cat(parts))
