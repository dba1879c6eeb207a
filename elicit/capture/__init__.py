"""Read activations; go on with a forward from any layer; run many changed forwards at once."""

from elicit.capture.trunk import CaptureError, Trunk, full_logits, logits_at, record, run_layers

__all__ = ["CaptureError", "Trunk", "full_logits", "logits_at", "record", "run_layers"]
