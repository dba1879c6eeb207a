"""Token rows, and what a model predicts at each of their tokens, a block of logits at a time."""

from elicit.surroundings import guard_room
from elicit.texts.buffers import LogitBuffers
from elicit.texts.chunks import concatenate, read_chunks
from elicit.texts.divergence import ModelDivergences, model_divergences
from elicit.texts.errors import TextError
from elicit.texts.gradient import KLGradient, final_kl, final_kl_gradient
from elicit.texts.predictions import LN2, Final, Reading, tokens_per_block
from elicit.texts.readout import Readout
from elicit.texts.residuals import chunked, residual_states
from elicit.texts.rows import TokenRows
from elicit.texts.tokens import token_texts

__all__ = [
    "LN2",
    "Final",
    "KLGradient",
    "LogitBuffers",
    "ModelDivergences",
    "Readout",
    "Reading",
    "TextError",
    "TokenRows",
    "chunked",
    "concatenate",
    "final_kl",
    "final_kl_gradient",
    "model_divergences",
    "read_chunks",
    "residual_states",
    "token_texts",
    "tokens_per_block",
]

guard_room(__name__, runs_nothing={"token_texts", "chunked", "concatenate", "tokens_per_block"})
