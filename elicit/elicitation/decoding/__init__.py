"""What does decoding alone bring out? The same weights, written from in another way."""

from elicit.elicitation.decoding.cot_decoding import CURVES, PICKS, CotDecoding, Pick, cot_decoding

__all__ = [
    "CURVES",
    "CotDecoding",
    "PICKS",
    "Pick",
    "cot_decoding",
]
