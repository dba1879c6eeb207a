"""What patching found, in one sentence before the numbers."""

from collections.abc import Sequence

from elicit.page.patching.names import pos_text
from elicit.patching import Factorial, PatchGrid
from elicit.results import Result

_READINGS = {
    "wrote": "post writes it there, and base’s own layers can read it",
    "reader": "post’s later layers read what base’s layers already wrote",
}


def patch_verdict(results: Sequence[Result]) -> str:
    """Where the difference enters, and whether it is written or read; empty if nothing is named."""
    grids = [each for each in results if isinstance(each, PatchGrid) and each.question == "across"]
    named = [peak for grid in grids if (peak := grid.peak()) is not None]
    if not named:
        return ""
    places = {(peak.layer, peak.pos) for peak in named}
    if len(places) > 1:
        told = " and ".join(_place(layer, pos) for layer, pos in sorted(places))
        return f"The two directions name different places: {told}."
    way = "in both directions" if len(named) == len(grids) > 1 else "in one direction"
    said = f"What post does differently enters at {_place(*places.pop())}, seen {way}"
    splits = [each for each in results if isinstance(each, Factorial)]
    read = _READINGS.get(splits[0].reading()[-1]) if splits else None
    return f"{said}; {read}." if read else f"{said}."


def _place(layer: int, pos: str) -> str:
    """Layer and token, in words."""
    index, _, word = pos.partition(" ")
    token = f"the last token of the prompt, “{word}”" if index == "-1" and word else pos_text(pos)
    return f"{f'layer {layer}' if layer >= 0 else 'the embedding'}, {token}"
