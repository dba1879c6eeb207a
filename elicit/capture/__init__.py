"""Read activations; continue a forward from any layer; run many changed forwards at once."""

from elicit.capture._stream import Chunk, check_rows, plan_chunks, stream
from elicit.capture.engine.active import ActiveLanes, active_lanes, changed
from elicit.capture.engine.block import Heads, Layer
from elicit.capture.engine.decompose import Decomposed, decompose
from elicit.capture.engine.indexes import sent
from elicit.capture.engine.inputs import Inputs
from elicit.capture.engine.lanes import LaneResult, Lanes, Work, kept_sites
from elicit.capture.engine.run import run_lanes
from elicit.capture.engine.trunk import (
    LaneTrunk,
    Tap,
    Trunk,
    full_logits,
    read_sites,
    record,
    run_block,
    run_layers,
    run_trunk,
    slot_logits,
)
from elicit.capture.errors import CaptureError, UnknownArchitectureError
from elicit.capture.plain import modifications_of
from elicit.capture.read import Captured, Reader, capture
from elicit.capture.reduce import check_vectors, cross_moments, moments, vectors
from elicit.capture.served import check_engine, served
from elicit.capture.store import ActivationStore, StoreError
from elicit.capture.sums import CrossMoments, Moments
from elicit.capture.unembed import Unembed, logits_at, unembed_of
from elicit.surroundings import guard_room

__all__ = [
    "ActivationStore",
    "ActiveLanes",
    "CaptureError",
    "Captured",
    "Chunk",
    "CrossMoments",
    "Decomposed",
    "Heads",
    "Inputs",
    "LaneResult",
    "LaneTrunk",
    "Lanes",
    "Layer",
    "Moments",
    "Reader",
    "StoreError",
    "Tap",
    "Trunk",
    "Unembed",
    "UnknownArchitectureError",
    "Work",
    "active_lanes",
    "capture",
    "changed",
    "check_engine",
    "check_rows",
    "check_vectors",
    "cross_moments",
    "decompose",
    "full_logits",
    "slot_logits",
    "kept_sites",
    "logits_at",
    "modifications_of",
    "moments",
    "plan_chunks",
    "read_sites",
    "record",
    "run_block",
    "run_lanes",
    "sent",
    "run_layers",
    "run_trunk",
    "served",
    "stream",
    "unembed_of",
    "vectors",
]

guard_room(
    __name__,
    runs_nothing={
        "modifications_of",
        "decompose",
        "check_rows",
        "check_vectors",
        "kept_sites",
        "plan_chunks",
        "vectors",
    },
    reads_hooks={"capture"},
)
