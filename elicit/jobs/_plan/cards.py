"""Cards by name: memory, peak rates and bandwidth from their data sheets, and what is reached."""

from dataclasses import dataclass

from elicit.jobs._spec import SpecError

HALF_EFFICIENCY = 0.35
"""Share of a card's peak in half precision that reading whole rows is assumed to reach."""
FULL_EFFICIENCY = 0.6
"""The same in float32, where the peak is lower and easier to reach."""
BANDWIDTH_EFFICIENCY = 0.6
"""Share of the bandwidth that reading the weights for one token a row is assumed to reach."""
BUS_EFFICIENCY = 0.8
"""Share of the bus to host memory that copies of weights are assumed to reach, as from pinned
memory (25 of 32 GB/s on PCIe 4, 50 of 64 on PCIe 5). An offload copies weights there first, which
takes what the host's memory allows."""
LAYER_SECONDS = 4e-4
"""Time that starting one layer is assumed to take from Python, hooks included, seconds."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One accelerator."""

    name: str
    memory: float
    """GiB."""
    half: float
    """Peak of dense products in bfloat16, TFLOP/s (without sparsity)."""
    full: float
    """Peak in float32 without TF32, which is off in every run, TFLOP/s."""
    bandwidth: float
    """Of its memory, GB/s."""
    bus: float
    """To host memory, one way, GB/s: 32 of PCIe 4 or 64 of PCIe 5, both with 16 lanes."""
    source: str
    """Data sheet."""

    def rate(self, itemsize: int) -> float | None:
        """Operations per second assumed for reading; None where no peak is listed.

        Args:
            itemsize: Bytes of a weight.
        """
        if itemsize == 2:
            return 1e12 * self.half * HALF_EFFICIENCY
        return 1e12 * self.full * FULL_EFFICIENCY if itemsize == 4 else None


CARDS = {
    card.name: card
    for card in (
        Card(
            name="L4",
            memory=24.0,
            half=121.0,
            full=30.3,
            bandwidth=300.0,
            bus=32.0,
            source="NVIDIA L4 data sheet",
        ),
        Card(
            name="RTX-4090",
            memory=24.0,
            half=165.2,
            full=82.6,
            bandwidth=1008.0,
            bus=32.0,
            source="NVIDIA Ada GPU architecture white paper",
        ),
        Card(
            name="A100-40GB",
            memory=40.0,
            half=312.0,
            full=19.5,
            bandwidth=1555.0,
            bus=32.0,
            source="NVIDIA A100 data sheet (SXM)",
        ),
        Card(
            name="L40S",
            memory=48.0,
            half=362.0,
            full=91.6,
            bandwidth=864.0,
            bus=32.0,
            source="NVIDIA L40S data sheet",
        ),
        Card(
            name="A100-80GB",
            memory=80.0,
            half=312.0,
            full=19.5,
            bandwidth=2039.0,
            bus=32.0,
            source="NVIDIA A100 data sheet (SXM)",
        ),
        Card(
            name="H100",
            memory=80.0,
            half=989.0,
            full=67.0,
            bandwidth=3350.0,
            bus=64.0,
            source="NVIDIA H100 data sheet (SXM)",
        ),
        Card(
            name="H200",
            memory=141.0,
            half=989.0,
            full=67.0,
            bandwidth=4800.0,
            bus=64.0,
            source="NVIDIA H200 data sheet (SXM)",
        ),
    )
}
"""By name, smallest memory first."""


def card_of(name: str) -> Card:
    """The card of a name, whatever its case.

    Raises:
        SpecError: There is none.
    """
    found = {known.casefold(): card for known, card in CARDS.items()}.get(name.casefold())
    if found is None:
        raise SpecError(
            f"there is no card {name!r} with known rates, so minutes on it would be a guess. Name "
            f"one of {', '.join(CARDS)}."
        )
    return found
