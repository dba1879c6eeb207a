"""Log-probabilities of texts and their gradient, each prompt read once for all its texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.edits import active
from elicit.pair import Alignment, device_of, pad

_SPREAD = 0.75
"""Texts of a batch are at least this share of its longest one."""
_LEAST = 8
"""Rows in a batch before length can end it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One text to be read."""

    prompt: tuple[int, ...]
    """Token ids before it; rows with equal prompts share the reading of it."""
    text: tuple[int, ...]
    """Its token ids, at least one."""
    weight: float
    """How strongly the gradient raises its log-probability; 0 reads it without gradient."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Read:
    """What a model says of texts."""

    log_prob: Float[Tensor, " row"]
    """Log-probability of each text, summed over its tokens, nats; float64."""
    entropy: Float[Tensor, " row"]
    """Entropy of the predictions at its tokens, summed, nats; float64."""
    n_moved: int
    """Tokens that were read with gradient, padding not counted."""
    n_still: int
    """Tokens that were read without."""


class TextReader:
    """Reads texts after their prompts, with or without gradient.

    Args:
        model: A Hugging Face causal model, plain or wrapped in place.
        alignment: Pads rows.
        max_tokens: Most tokens in one forward.
        memory: Bytes that the logits of a forward may take.
    """

    def __init__(
        self, model: nn.Module, alignment: Alignment, *, max_tokens: int, memory: int
    ) -> None:
        """Find out whether the model's state after a prompt is keys and values alone."""
        self._model, self._pad_id = model, alignment.pad_id
        vocabulary = int(getattr(model.config, "vocab_size", 1))
        # Logits, their logarithms, probabilities and the gradient.
        self._most = max(1, min(max_tokens, memory // (16 * vocabulary)))
        self._shares = _keeps_all(model)

    def read(self, rows: Sequence[Row]) -> Read:
        """Log-probability and entropy of every row; gradients are added to what is trained.

        Args:
            rows: The texts.
        """
        log_prob = torch.zeros(len(rows), dtype=torch.float64)
        entropy = torch.zeros_like(log_prob)
        n_read = {}
        for moved in (True, False):
            places = [i for i, row in enumerate(rows) if (row.weight != 0) is moved]
            with torch.set_grad_enabled(moved):
                n_read[moved] = self._part(rows, places, log_prob, entropy)
        return Read(log_prob=log_prob, entropy=entropy, n_moved=n_read[True], n_still=n_read[False])

    def _part(
        self, rows: Sequence[Row], places: list[int], log_prob: Tensor, entropy: Tensor
    ) -> int:
        """Read the rows that all have a gradient, or all have none."""
        if not places:
            return 0
        by_prompt: dict[tuple[int, ...], list[int]] = {}
        for place in places:
            by_prompt.setdefault(rows[place].prompt, []).append(place)
        prompts = list(by_prompt)
        # Edits follow the rows of one run, and other states cannot be handed on.
        sharing = self._shares and active(self._model) is None
        if not sharing or len(prompts) == len(places):
            for batch in self._batches(places, [len(r.prompt) + len(r.text) for r in rows]):
                self._whole(rows, batch, log_prob, entropy)
            return sum(len(rows[i].prompt) + len(rows[i].text) - 1 for i in places)
        for batch in self._batches(range(len(prompts)), [len(prompt) for prompt in prompts]):
            self._shared(
                rows, {prompts[i]: by_prompt[prompts[i]] for i in batch}, log_prob, entropy
            )
        return sum(map(len, prompts)) + sum(len(rows[i].text) - 1 for i in places)

    def _batches(self, places: Sequence[int], length: Sequence[int]) -> list[list[int]]:
        """Places in batches of like length, the longest first."""
        batches: list[list[int]] = []
        for place in sorted(places, key=lambda i: -length[i]):
            longest = length[batches[-1][0]] if batches else 0
            full = not batches or (len(batches[-1]) + 1) * longest > self._most
            unlike = length[place] < _SPREAD * longest and len(batches[-1]) >= _LEAST
            if full or unlike:
                batches.append([])
            batches[-1].append(place)
        return batches

    def _whole(
        self, rows: Sequence[Row], batch: list[int], log_prob: Tensor, entropy: Tensor
    ) -> None:
        """Prompt and text in one forward."""
        padded = pad(
            [rows[i].prompt + rows[i].text for i in batch], pad_id=self._pad_id, padding="right"
        ).to(device_of(self._model))
        logits = self._model(
            input_ids=padded.ids,
            attention_mask=padded.mask,
            position_ids=padded.position_ids,
            use_cache=False,
        ).logits
        row = [n for n, i in enumerate(batch) for _ in rows[i].text]
        at = [len(rows[i].prompt) - 1 + n for i in batch for n in range(len(rows[i].text))]
        read = logits[torch.tensor(row), torch.tensor(at)]
        token = torch.tensor([t for i in batch for t in rows[i].text])
        loss = self._score(read, token, [batch[n] for n in row], rows, log_prob, entropy)
        if loss.requires_grad:
            loss.backward()

    def _shared(
        self,
        rows: Sequence[Row],
        by_prompt: dict[tuple[int, ...], list[int]],
        log_prob: Tensor,
        entropy: Tensor,
    ) -> None:
        """Each prompt once, then its texts from keys and values of the prompt."""
        from transformers import DynamicCache

        device = device_of(self._model)
        config: Any = self._model.config
        prompts = list(by_prompt)
        padded = pad(prompts, pad_id=self._pad_id, padding="left").to(device)
        cache = DynamicCache(config=config)
        head = self._model(
            input_ids=padded.ids,
            attention_mask=padded.mask,
            position_ids=padded.position_ids,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        layers: list[Any] = list(cache.layers)
        made: list[Tensor] = [state for layer in layers for state in (layer.keys, layer.values)]
        # Copies, whose gradients are gathered over all texts before they go on into the prompts.
        kept: list[Tensor] = [state.detach().requires_grad_(state.requires_grad) for state in made]
        home = {i: n for n, prompt in enumerate(prompts) for i in by_prompt[prompt]}
        every = sorted(home)
        first = self._score(
            head[torch.tensor([home[i] for i in every])],
            torch.tensor([rows[i].text[0] for i in every]),
            every,
            rows,
            log_prob,
            entropy,
        )
        longer = [i for i in every if len(rows[i].text) > 1]
        for batch in self._batches(longer, [len(row.text) - 1 for row in rows]):
            where = torch.tensor([home[i] for i in batch], device=device)
            states = DynamicCache(config=config)
            for layer in range(len(cache.layers)):
                states.update(kept[2 * layer][where], kept[2 * layer + 1][where], layer)
            texts = pad(
                [rows[i].text[:-1] for i in batch], pad_id=self._pad_id, padding="right"
            ).to(device)
            begin = padded.mask[where]
            logits = self._model(
                input_ids=texts.ids,
                attention_mask=torch.cat([begin, texts.mask], dim=1),
                position_ids=begin.sum(-1, keepdim=True) + texts.position_ids,
                past_key_values=states,
                use_cache=True,
            ).logits
            row = [n for n, i in enumerate(batch) for _ in rows[i].text[1:]]
            at = [n for i in batch for n in range(len(rows[i].text) - 1)]
            read = logits[torch.tensor(row), torch.tensor(at)]
            token = torch.tensor([t for i in batch for t in rows[i].text[1:]])
            loss = self._score(read, token, [batch[n] for n in row], rows, log_prob, entropy)
            if loss.requires_grad:
                loss.backward()
        if first.requires_grad:
            used = [(m, k.grad) for m, k in zip(made, kept, strict=True) if k.grad is not None]
            grads: list[Any] = [None, *(grad for _, grad in used)]
            torch.autograd.backward([first, *(state for state, _ in used)], grads)

    def _score(
        self,
        logits: Float[Tensor, "token d_vocab"],
        token: Int[Tensor, " token"],
        row: list[int],
        rows: Sequence[Row],
        log_prob: Tensor,
        entropy: Tensor,
    ) -> Float[Tensor, ""]:
        """Note what is said of some tokens, and return what is to be made small."""
        every = logits.float().log_softmax(-1)
        token = token.to(every.device)
        said = every.gather(-1, token[:, None])[:, 0]
        weight = torch.tensor([rows[i].weight for i in row], device=every.device)
        where = torch.tensor(row)
        wide = every.detach()
        log_prob.index_add_(0, where, said.detach().double().cpu())
        entropy.index_add_(0, where, -(wide.exp() * wide).nansum(-1).double().cpu())
        return -(weight * said).sum()


def _keeps_all(model: nn.Module) -> bool:
    """Whether a model goes on from the keys and values of all tokens before, and nothing else."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    config: Any = model.config
    plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)
    rope = getattr(config, "rope_parameters", None) or {}
    switches = str(rope.get("rope_type", "default")) in ("dynamic", "longrope")
    chunked = getattr(config.get_text_config(), "layer_types", None) or ()
    only = all(kind == "full_attention" for kind in chunked)
    return plain and only and not switches and not getattr(model, "_is_stateful", False)
