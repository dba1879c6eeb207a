"""Read activations; go on with a forward from any layer; run many changed forwards at once."""

from elicit.capture.anatomy import Anatomy, UnknownArchitectureError, anatomy_of
from elicit.capture.head import Head, head_of
from elicit.capture.lanes import Landed, Lanes, Spent, changed, fly, kept_sites
from elicit.capture.read import Captured, capture
from elicit.capture.reduce import cross_moments, moments
from elicit.capture.shared import SharedTrunk, read_sites, run_trunk
from elicit.capture.store import ActivationStore, StoreError
from elicit.capture.stream import Chunk, stream
from elicit.capture.sums import CrossMoments, Moments
from elicit.capture.trunk import CaptureError, Trunk, full_logits, logits_at, record, run_layers

__all__ = [
    "ActivationStore",
    "Anatomy",
    "CaptureError",
    "Captured",
    "Chunk",
    "CrossMoments",
    "Head",
    "Landed",
    "Lanes",
    "Moments",
    "SharedTrunk",
    "Spent",
    "StoreError",
    "Trunk",
    "UnknownArchitectureError",
    "anatomy_of",
    "capture",
    "changed",
    "cross_moments",
    "fly",
    "full_logits",
    "head_of",
    "kept_sites",
    "logits_at",
    "moments",
    "read_sites",
    "record",
    "run_layers",
    "run_trunk",
    "stream",
]
