"""Coherence of steered text: the one definition used everywhere.

A text is **coherent** if it does not loop and loses at most `MAX_LOSS` nats per token: under one
of the unsteered models (the steered one, or the target) its mean log-probability is at most that
much below the mean of that model's own texts. The loss detects text that falls apart; loops are
probable, so they are detected separately. The target counts too because text with (or without)
the behaviour is improbable under the model whose behaviour was changed.

A strength is coherent if its share of coherent texts is at most `NEAR` below the unsteered share.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.capture import full_logits, plan_chunks
from elicit.pair import Side, device_of, hugging_face_model, pad
from elicit.rollouts import Rollouts

MAX_LOSS = 1.0
"""Nats a token that a coherent text may lose against the model's own texts."""
MEMORY = 256 * 2**20
"""Bytes that logits of a forward pass may take."""
NEAR = 0.05
"""Rates that differ by no more count as equal."""
_GRAM, _DISTINCT = 4, 0.3
"""A text loops if less than this share of its runs of so many tokens are distinct."""
Written = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids of a prompt and of the text after it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reference:
    """An unsteered model, with the log-probability of its own texts."""

    side: Side
    """The model."""
    log_prob: float
    """Mean log-probability of a token of its own texts, nats."""
    known: dict[Written, float] = field(default_factory=dict, repr=False)
    """Texts that it has read, with the mean log-probability of a token, nats."""

    @classmethod
    def of(cls, side: Side, own: Rollouts) -> "Reference":
        """Reference from the model's own texts."""
        rows = _rows(own)
        values = _read(side, rows)
        known = dict(zip(rows, values.tolist(), strict=True))
        return cls(side=side, log_prob=values.mean().item(), known=known)

    def log_probs(self, texts: Rollouts) -> Float[Tensor, " row"]:
        """Mean log-probability per token of each text, nats.

        No text is read twice: where a direction does nothing, what is written is the same again.
        """
        rows = _rows(texts)
        if new := [row for row in dict.fromkeys(rows) if row not in self.known]:
            self.known.update(zip(new, _read(self.side, new).tolist(), strict=True))
        return torch.tensor([self.known[row] for row in rows], dtype=torch.float64)


def coherent(
    texts: Rollouts, references: Sequence[Reference], *, max_loss: float = MAX_LOSS
) -> Float[Tensor, " row"]:
    """1 for each coherent text, else 0.

    `references`: the models left unsteered, of which one must find a text probable. `max_loss`:
    nats a token that it may lose.
    """
    loss = torch.stack([one.log_prob - one.log_probs(texts) for one in references]).amin(0)
    loop = torch.tensor([loops(texts.ids(row)) for row in range(len(texts))])
    return ((loss <= max_loss) & ~loop).double()


def log_probs(side: Side, texts: Rollouts) -> Float[Tensor, " row"]:
    """Mean log-probability per token of each text under an unsteered model, nats."""
    return _read(side, _rows(texts))


def _rows(texts: Rollouts) -> list[Written]:
    """Prompt and text of each row."""
    return [(tuple(texts.prompt_ids(row)), tuple(texts.ids(row))) for row in range(len(texts))]


def _read(side: Side, rows: Sequence[Written]) -> Float[Tensor, " row"]:
    return text_log_probs(side.bridge, rows, pad_id=side.alignment.pad_id)


def loops(ids: Sequence[int]) -> bool:
    """Whether a text loops."""
    grams = [tuple(ids[i : i + _GRAM]) for i in range(len(ids) - _GRAM + 1)]
    return bool(grams) and len(set(grams)) < _DISTINCT * len(grams)


@torch.no_grad()
def text_log_probs(
    model: nn.Module, texts: Sequence[Written], *, pad_id: int, max_tokens: int = 8192
) -> Float[Tensor, " text"]:
    """Mean log-probability of each text's tokens after its prompt, nats per token.

    Each distinct text is run once; under controls many are equal.

    `texts`: prompt and text of each; no text is empty. `max_tokens`: most positions in a forward
    pass, padding counted; fewer where the logits of so many would take more than `MEMORY`.
    """
    distinct = list(dict.fromkeys(texts))
    device = device_of(hugging_face_model(model))
    values: dict[Written, float] = {}
    config: Any = hugging_face_model(model).config
    d_vocab = int(config.get_text_config().vocab_size)
    most = max(1, min(max_tokens, MEMORY // (4 * d_vocab)))
    for places in plan_chunks([len(a) + len(b) for a, b in distinct], most):
        rows = [distinct[place] for place in places]
        encoded = pad([a + b for a, b in rows], pad_id=pad_id, padding="right").to(device)
        # Nothing is read before the end of the shortest prompt.
        first = min(len(prompt) for prompt, _ in rows) - 1
        columns = torch.arange(first, encoded.ids.shape[1] - 1, device=device)
        logits = full_logits(
            model, encoded.ids, encoded.mask, encoded.position_ids, columns=columns
        )
        for line, (prompt, text) in enumerate(rows):
            low = len(prompt) - 1 - first
            after = logits[line, low : low + len(text)].double()
            token = torch.tensor(text, device=device)
            each = after.log_softmax(-1).gather(1, token[:, None])
            values[prompt, text] = each.mean().item()
    return torch.tensor([values[text] for text in texts], dtype=torch.float64)
