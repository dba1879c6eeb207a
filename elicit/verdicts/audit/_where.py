"""Where a change sits, in words: one direction alone, where a decision enters, when it settles."""

from elicit.patching import PatchGrid
from elicit.results import number
from elicit.revision import Settling
from elicit.verdicts.audit._answer import negative, spread

ONE_WAY = {
    (False, False): (
        "layer {layer} is enough",
        "layer {layer} alone gives base the gain",
        "it is enough and not needed, so other layers can stand in for it",
    ),
    (False, True): (
        "layer {layer} is needed",
        "the gain needs layer {layer}, and more than that",
        "it is needed and not enough by itself",
    ),
    (True, False): (
        "layer {layer} does the damage",
        "layer {layer} alone does base the damage",
        "it is enough for the damage, which other layers hold too",
    ),
    (True, True): (
        "reverting layer {layer} heals",
        "reverting layer {layer} alone heals post",
        "it heals, and does no damage to base by itself",
    ),
}
"""What a clear effect in one direction alone says, by whether something was lost and whether it
is reverting that shows it: in short, as a clause, and in full."""


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
