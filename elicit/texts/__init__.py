"""Token rows, and what a model predicts at each of their tokens, a block of logits at a time."""

from elicit.surroundings import guard_room
from elicit.texts.bits import TextBits, text_bits
from elicit.texts.buffers import LogitBuffers
from elicit.texts.chunks import concatenate, read_chunks
from elicit.texts.cuts import AnswerForm, CutText, EncodedText, Lane
from elicit.texts.divergence import ModelDivergences, model_divergences
from elicit.texts.encoding import encode_cuts
from elicit.texts.errors import TextError
from elicit.texts.forks import forked
from elicit.texts.gradient import KLGradient, final_kl, final_kl_gradient
from elicit.texts.lanes import LaneReader, TextRead
from elicit.texts.losses import Followed, mean_losses
from elicit.texts.predictions import LN2, Final, Reading, tokens_per_block
from elicit.texts.readout import Readout
from elicit.texts.residuals import chunked, last_states, residual_states
from elicit.texts.rows import TokenRows
from elicit.texts.steps import UNITS, StepRule, thought_span
from elicit.texts.tokens import token_texts

__all__ = [
    "AnswerForm",
    "CutText",
    "EncodedText",
    "LN2",
    "Final",
    "Followed",
    "KLGradient",
    "Lane",
    "LaneReader",
    "LogitBuffers",
    "ModelDivergences",
    "Readout",
    "Reading",
    "StepRule",
    "TextBits",
    "TextError",
    "TextRead",
    "TokenRows",
    "UNITS",
    "chunked",
    "concatenate",
    "encode_cuts",
    "final_kl",
    "forked",
    "last_states",
    "text_bits",
    "final_kl_gradient",
    "mean_losses",
    "model_divergences",
    "read_chunks",
    "residual_states",
    "thought_span",
    "token_texts",
    "tokens_per_block",
]

guard_room(
    __name__,
    runs_nothing={
        "token_texts",
        "chunked",
        "concatenate",
        "encode_cuts",
        "forked",
        "thought_span",
        "tokens_per_block",
    },
)
