"""Where a decision enters and when predictions settle, in a sentence each."""

from elicit.patching import PatchGrid
from elicit.results import number
from elicit.revision import Settling
from elicit.verdicts.audit._answer import negative, spread


def enters(grid: PatchGrid | None) -> str:
    """Where the decision enters, if that was seen."""
    if grid is None or grid.lacking() or (peak := grid.peak()) is None:
        return ""
    share = [number(100 * end, digits=0) for end in peak.share.ends]
    return (
        f"Patched, its decision enters at {peak.site}: post’s activation there moves base "
        f"{share[0]} % [{share[1]}, {share[2]}] of the way."
    )


def settles(settled: Settling | None) -> str:
    """Which model settles later, if that is clear."""
    if settled is None or not bool(settled.depth_diff[0].clear):
        return ""
    depth = settled.depth_diff[0]
    later = depth.value.item() > 0
    return (
        f"Post’s predictions settle {spread(depth if later else negative(depth))} layers "
        f"{'later' if later else 'earlier'} than base’s."
    )
