"""What the parts of a report cost, and which of them are run without being asked for."""

from elicit.grafting import Score, encode, interval_calls
from elicit.jobs._report.spec import ReportSpec
from elicit.pair import ModelPair
from elicit.weights import changed_layers, changed_slots, parts_of, slots_of, spectra_flop

FREE = 2e12
"""Floating-point operations that intervals, or spectra, may take without being asked for."""


def chosen(spec: ReportSpec, pair: ModelPair, forced: list[Score]) -> tuple[ReportSpec, list[str]]:
    """The specification with intervals and spectra decided by their cost, and what was left out.

    The decision counts operations and measures no time, so that a resumed run decides alike.

    Args:
        spec: As given; None lets the cost decide.
        pair: The two models.
        forced: Teacher-forced tasks.
    """
    costs = {"intervals": interval_flop(pair, forced), "spectra": spectrum_flop(pair)}
    decided: dict[str, bool] = {}
    notes: list[str] = []
    for name, what in (
        ("intervals", "Moving all intervals of layers"),
        ("spectra", "Singular values of the weight differences"),
    ):
        if getattr(spec, name) is not None:
            continue
        decided[name] = costs[name] <= FREE
        if not decided[name]:
            notes.append(
                f"{what} would take {costs[name] / 1e12:.2g} TFLOP, above the {FREE / 1e12:g} that "
                f"are spent without being asked for: left out. Add --{name} to include it."
            )
    return spec.model_copy(update=decided), notes


def interval_flop(pair: ModelPair, forced: list[Score]) -> float:
    """Floating-point operations of moving all intervals in both directions."""
    moved = set(changed_layers(pair))
    calls = 2 * interval_calls([layer in moved for layer in range(pair.n_layers)])
    return calls * layer_flop(pair) * sum(encode(pair, score).n_tokens for score in forced)


def spectrum_flop(pair: ModelPair) -> float:
    """Floating-point operations of the singular values of all matrices that differ."""
    slots = slots_of(pair)
    return spectra_flop(slots[name] for name in changed_slots(pair))


def layer_flop(pair: ModelPair) -> float:
    """Floating-point operations of one layer on one token."""
    slots = slots_of(pair)
    size = sum(slots[name].base.numel() for part in parts_of(pair, "layer") for name in part.slots)
    return 2 * size / pair.n_layers
