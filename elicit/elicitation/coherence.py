"""How probable a model finds texts that something else wrote."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.capture import full_logits, plan_chunks
from elicit.pair import hugging_face_model, pad

Written = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids of a prompt and of the text after it."""


@torch.no_grad()
def text_log_probs(
    model: nn.Module, texts: Sequence[Written], *, pad_id: int, max_tokens: int = 8192
) -> Float[Tensor, " text"]:
    """Mean log-probability of each text's tokens after its prompt, nats a token.

    The same text is run once, however often it is there: under controls many are.

    Args:
        model: A bridge in raw mode, as it stands.
        texts: Prompt and text of each; no text is empty.
        pad_id: Id put where a row has no token.
        max_tokens: Most positions in a forward, padding counted.
    """
    distinct = list(dict.fromkeys(texts))
    device = next(hugging_face_model(model).parameters()).device
    found: dict[Written, float] = {}
    for places in plan_chunks([len(a) + len(b) for a, b in distinct], max_tokens):
        rows = [distinct[place] for place in places]
        encoded = pad([a + b for a, b in rows], pad_id=pad_id, padding="right").to(device)
        logits = full_logits(model, encoded.ids, encoded.mask, encoded.position_ids)
        for line, (prompt, text) in enumerate(rows):
            own = logits[line, len(prompt) - 1 : len(prompt) + len(text) - 1].double()
            token = torch.tensor(text, device=device)
            log_probs = own.log_softmax(-1).gather(1, token[:, None])
            found[prompt, text] = log_probs.mean().item()
    return torch.tensor([found[text] for text in texts], dtype=torch.float64)
