"""Coherence of steered text: the one definition used everywhere.

A text is **coherent** if it does not loop and loses at most `MAX_LOSS` nats per token: under one
of the unsteered models (the steered one, or the target) its mean log-probability is at most that
much below the mean of that model's own texts. The loss detects text that falls apart; loops are
probable, so they are detected separately. The target counts too because text with (or without)
the behaviour is improbable under the model whose behaviour was changed.

A strength is coherent if its share of coherent texts is at most `NEAR` below the unsteered share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.capture import full_logits, plan_chunks
from elicit.pair import Side, hugging_face_model, pad
from elicit.rollouts import Rollouts

MAX_LOSS = 1.0
"""Nats a token that a coherent text may lose against the model's own texts."""
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

    @classmethod
    def of(cls, side: Side, own: Rollouts) -> "Reference":
        """Reference from the model's own texts."""
        return cls(side=side, log_prob=log_probs(side, own).mean().item())


def coherent(
    texts: Rollouts, references: Sequence[Reference], *, max_loss: float = MAX_LOSS
) -> Float[Tensor, " row"]:
    """1 for each coherent text, else 0.

    `references`: the models left unsteered, of which one must find a text probable. `max_loss`:
    nats a token that it may lose.
    """
    loss = torch.stack([one.log_prob - log_probs(one.side, texts) for one in references]).amin(0)
    loop = torch.tensor([loops(texts.ids(row)) for row in range(len(texts))])
    return ((loss <= max_loss) & ~loop).double()


def log_probs(side: Side, texts: Rollouts) -> Float[Tensor, " row"]:
    """Mean log-probability per token of each text under an unsteered model, nats."""
    rows = [(tuple(texts.prompt_ids(row)), tuple(texts.ids(row))) for row in range(len(texts))]
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
    pass, padding counted.
    """
    distinct = list(dict.fromkeys(texts))
    device = next(hugging_face_model(model).parameters()).device
    values: dict[Written, float] = {}
    for places in plan_chunks([len(a) + len(b) for a, b in distinct], max_tokens):
        rows = [distinct[place] for place in places]
        encoded = pad([a + b for a, b in rows], pad_id=pad_id, padding="right").to(device)
        logits = full_logits(model, encoded.ids, encoded.mask, encoded.position_ids)
        for line, (prompt, text) in enumerate(rows):
            after = logits[line, len(prompt) - 1 : len(prompt) + len(text) - 1].double()
            token = torch.tensor(text, device=device)
            each = after.log_softmax(-1).gather(1, token[:, None])
            values[prompt, text] = each.mean().item()
    return torch.tensor([values[text] for text in texts], dtype=torch.float64)
