"""Whether the wrapped model still computes what the plain one did."""

import inspect
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.pair.batches import Encoded, pad
from elicit.pair.errors import PairError
from elicit.pair.handles import Bridge, HuggingFaceModel

FP32_TOLERANCE = 1e-4
"""Largest difference in a logit that float32 may show between the wrapped and the plain model."""
_LARGE = 32.0
"""Logits beyond this size have their tolerance scaled up: float32 rounds relative to size."""
_HALF_TOLERANCE = 0.02
"""bfloat16 and float16, relative to the largest logit: a few roundings of 2**-8 each."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Logits of a plain model on a few short rows, one of them left-padded."""

    rows: Encoded
    """The token ids that were read, on the model's device."""
    inputs: dict[str, Tensor]
    """Mask and, where the architecture takes them, position ids."""
    logits: Float[Tensor, "batch pos d_vocab"]
    """What the plain model answered."""


def probe_rows(d_vocab: int) -> Encoded:
    """Two short rows of random ids, the second left-padded; the same ones every time."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(d_vocab, (10,), generator=generator).tolist()
    return pad([draws[:6], draws[6:]], pad_id=0, padding="left")


def plain_logits(model: HuggingFaceModel) -> Reference:
    """Logits of a plain Hugging Face model, to be taken before a bridge wraps it in place.

    Raises:
        PairError: In float64 the plain model's own logits are NaN, as transformers' eager attention
            makes them wherever a row is padded on the left.
    """
    embedding = model.get_input_embeddings().weight
    device = embedding.device if isinstance(embedding, Tensor) else torch.device("cpu")
    rows = probe_rows(int(model.config.get_text_config().vocab_size)).to(device)
    inputs = {"attention_mask": rows.mask}
    if "position_ids" in inspect.signature(model.forward).parameters:
        inputs["position_ids"] = rows.position_ids
    with torch.no_grad():
        logits = model(input_ids=rows.ids, use_cache=False, **inputs).logits
    if logits.dtype == torch.float64 and not bool(logits[rows.real].isfinite().all()):
        raise PairError(
            "The logits of the plain model in float64 are NaN or infinite on a batch with a row "
            "padded on the left, before anything wraps it, so texts written in batches would be "
            "garbage. Load it in float32, or pass check_parity=False if no batch of yours is "
            "padded on the left."
        )
    return Reference(rows, inputs, logits)


def largest_difference(
    ours: Float[Tensor, "batch pos d_vocab"], reference: Reference
) -> tuple[float, float]:
    """Largest difference in any logit of a real token, and the largest that is tolerated.

    float32: `FP32_TOLERANCE`, scaled up where logits pass 32. Half precision: 2 % of the largest
    logit, because the two forwards may round in another order.
    """
    real = reference.rows.real
    there = reference.logits[real].float()
    difference = (ours[real].float() - there).abs().max().item()
    size = there.abs().max().item()
    if reference.logits.dtype in (torch.float32, torch.float64):
        return difference, FP32_TOLERANCE * max(1.0, size / _LARGE)
    return difference, _HALF_TOLERANCE * max(1.0, size)


def check_parity(bridge: Bridge, reference: Reference, name: str) -> float:
    """Refuse a bridge that computes something else than the model it wraps.

    Returns:
        Largest difference in a logit.

    Raises:
        PairError: Some logit differs by more than the tolerance of `largest_difference`.
    """
    with torch.no_grad():
        logits = bridge(reference.rows.ids, use_cache=False, **reference.inputs)
    difference, tolerated = largest_difference(logits, reference)
    if not difference <= tolerated:
        raise PairError(
            f"TransformerLens's logits for {name} differ from Hugging Face's by up to "
            f"{difference:.3g} (at most {tolerated:.3g} is rounding), so activations and edits "
            "would belong to another model. Try attn_implementation='eager' and "
            "dtype=torch.float32; if it stays, this architecture is not wrapped soundly by this "
            "version of TransformerLens."
        )
    return difference
