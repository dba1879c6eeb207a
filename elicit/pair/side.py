"""One model of a pair, with what every instrument needs to read it or to let it write."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from elicit.pair.alignment import Alignment
from elicit.pair.errors import PairError
from elicit.pair.handles import Bridge, Tokenizer
from elicit.pair.parameters import hugging_face_model

SideName = Literal["base", "post"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Side:
    """One of the two models; made by `pair.side("base")` or `pair.side("post")`."""

    bridge: Bridge
    """The model, in raw mode; edits and grafts on it apply to every call."""
    name: SideName
    """Which of the two."""
    digest: str
    """SHA-256 of the weights as loaded."""
    alignment: Alignment
    """How text becomes token ids, the same for both models."""
    n_positions: int | None
    """Longest text that the model can read, tokens; None if it has no limit."""
    ends: tuple[int, ...]
    """Tokens that end a text in either model; may be none."""

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end a text in either model, so that both stop alike.

        Raises:
            PairError: Neither model names one.
        """
        if not self.ends:
            raise PairError(
                "neither model names a token that ends a text, so generation would never stop. Set "
                "eos_token on the tokenizer, or pass stop_ids."
            )
        return self.ends


def end_tokens(*models: tuple[nn.Module, Tokenizer]) -> tuple[int, ...]:
    """Tokens that end a text according to any of several models and tokenizers."""
    ends: set[int] = set()
    for model, tokenizer in models:
        configured = getattr(hugging_face_model(model).generation_config, "eos_token_id", None)
        for ids in (tokenizer.eos_token_id, configured):
            listed = ids if isinstance(ids, Sequence) else [ids]
            ends |= {stop for stop in listed if isinstance(stop, int)}
    return tuple(sorted(ends))


def position_limit(model: nn.Module) -> int | None:
    """Number of positions of a model; None if it has no limit.

    Dynamic NTK scaling stretches the configured number by its factor.
    """
    config = hugging_face_model(model).config
    limit = getattr(config, "max_position_embeddings", None)
    rope = getattr(config, "rope_parameters", None) or {}
    if limit is not None and "dynamic" in str(rope.get("rope_type")):
        return int(limit * rope.get("factor", 1.0))
    return limit
