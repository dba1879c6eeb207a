"""Run lanes in batches."""

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture.engine.lane_batch import LaneBatch
from elicit.capture.engine.lanes import LaneResult, Lanes, Work
from elicit.capture.engine.trunk import LaneTrunk
from elicit.capture.errors import CaptureError
from elicit.sites import Site


def chunks(trunk: LaneTrunk, lanes: Lanes, max_tokens: int) -> Iterator[Int[Tensor, " lane"]]:
    """Lanes that run together: those that leave at like positions, within a budget of tokens.

    `max_tokens`: tokens per batch, at least 1; one lane always runs.

    Raises:
        CaptureError: `max_tokens` is below 1.
    """
    if max_tokens < 1:
        raise CaptureError(f"max_tokens is {max_tokens}, and a lane has at least 1. Pass more.")
    order = torch.argsort(
        lanes.low * (2 * trunk.decomposed.shape.n_layers + 2) + lanes.joins(), stable=True
    )
    sizes = (trunk.n_pos - lanes.low[order]).tolist()
    begin, used = 0, 0
    for place, size in enumerate(sizes):
        if place > begin and used + size > max_tokens:
            yield order[begin:place]
            begin, used = place, 0
        used += size
    if sizes:
        yield order[begin:]


def run_lanes(
    trunk: LaneTrunk,
    lanes: Lanes,
    sources: Mapping[Site, Float[Tensor, "source pos ..."]],
    reads: Int[Tensor, "row read"],
    *,
    max_tokens: int = 8192,
    work: Work | None = None,
) -> Iterator[LaneResult]:
    """Run lanes in batches, each from where it leaves the trunk to the columns that are read.

    Args:
        trunk: The trunk they leave; it must have kept `kept_sites(lanes.groups)`.
        lanes: Which rows, sites and columns; see `changed` for those not worth running.
        sources: What is put at each whole site; rows as in `lanes.source_row`, columns as in the
            trunk.
        reads: Columns read, by row of the trunk.
        max_tokens: Tokens per batch: bounds memory, whatever the number of lanes.
        work: Counts the work.

    Raises:
        CaptureError: A lane's columns are not columns of the trunk.
    """
    lanes, reads = lanes.on_host(), reads.cpu()
    if len(lanes) and bool(
        ((lanes.low < 0) | (lanes.high > trunk.n_pos) | (lanes.low >= lanes.high)).any()
    ):
        raise CaptureError(
            f"a lane overwrites columns outside 0 to {trunk.n_pos - 1}, or none, so it would "
            "change nothing. Pass columns of the batch."
        )
    for which in chunks(trunk, lanes, max_tokens):
        with torch.no_grad():
            resid = LaneBatch(trunk, lanes.pick(which), sources, reads, work or Work()).run()
        yield LaneResult(lane=which, resid=resid)
