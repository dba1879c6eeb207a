"""The geometry of a weight difference: how large, how many directions, how much of it matters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import Encoded, ModelPair
from elicit.results import Result
from elicit.runs import Execution
from elicit.surroundings import guarded
from elicit.weights._outputs import output_change
from elicit.weights._spectra import spectrum
from elicit.weights.parts import changed_slots
from elicit.weights.slots import Slot, slots_of


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightChange(Result):
    """What post-training did to each parameter tensor."""

    matrix: tuple[str, ...]
    """Checkpoint name of each tensor; pieces of fused projections carry their letter."""
    place: tuple[str, ...]
    """Short name of the place, `L3.q`, `L3.norm`, `embed`."""
    layer: Int[Tensor, " matrix"]
    """Layer of each tensor, -1 outside the layers."""
    relative_norm: Float[Tensor, " matrix"]
    """Frobenius norm of the difference over the norm of base's tensor."""
    activation_norm: Float[Tensor, " matrix"]
    """The same in the metric of what the tensor reads in base: RMS of the change of its output over
    the RMS of the output. NaN where nothing was measured."""
    spectral_norm: Float[Tensor, " matrix"]
    """Largest singular value of the difference over that of base's tensor; NaN for vectors."""
    stable_rank: Float[Tensor, " matrix"]
    """Squared Frobenius over squared spectral norm of the difference; 0 without a difference."""
    entropy_rank: Float[Tensor, " matrix"]
    """exp of the entropy of the difference's normalised singular values (Roy & Vetterli 2007)."""
    rank_90: Float[Tensor, " matrix"]
    """Directions that hold 90 % of the difference's squared norm."""
    zero_share: Float[Tensor, " matrix"]
    """Share of entries that did not change at all."""
    intruders: Float[Tensor, " matrix"]
    """Of post's ten leading left singular vectors, those with |cosine| below 0.5 to every one of
    base's (Shuttleworth et al. 2024, arXiv:2410.21228). NaN for vectors and embeddings."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerChange:
    """Size of each layer's weight change, its tensors taken together."""

    layer: Int[Tensor, " layer"]
    """Layers in order."""
    relative_norm: Float[Tensor, " layer"]
    """Root mean square, over the layer's tensors, of their relative norms."""
    activation_norm: Float[Tensor, " layer"]
    """The same of their activation-weighted norms; NaN where none was measured."""
    from_zero: Bool[Tensor, " layer"]
    """Whether some tensor was 0 in base and is not in post, so that it has no relative size."""


def by_layer(change: WeightChange) -> LayerChange:
    """Relative size of each layer's change: root mean square over its tensors."""
    layers = sorted({layer for layer in change.layer.tolist() if layer >= 0})
    rows = [change.layer == layer for layer in layers]

    def together(values: Tensor) -> Tensor:
        picked = [values[row] for row in rows]
        means = [v[v.isfinite()].double().square().mean().sqrt() for v in picked]
        return torch.stack(means) if means else torch.zeros(0, dtype=torch.float64)

    return LayerChange(
        layer=torch.tensor(layers, dtype=torch.int64),
        relative_norm=together(change.relative_norm),
        activation_norm=together(change.activation_norm),
        from_zero=torch.tensor([bool(change.relative_norm[row].isinf().any()) for row in rows]),
    )


@guarded
def weight_change(
    pair: ModelPair,
    *,
    texts: Sequence[Encoded] = (),
    spectra: bool = True,
    execution: Execution = Execution(),
) -> WeightChange:
    """Size, rank and weight of the change of every parameter tensor.

    Only tensors that differ are computed with; all others changed by 0.

    Args:
        pair: The two models.
        texts: Batches that base reads to weigh each difference by its inputs; none leaves
            `activation_norm` NaN.
        spectra: Whether singular values are computed: cubic in the width, minutes from d_model
        4096.
        execution: Checkpoint and progress, one step per layer.

    Source: norms as in methods on model editing; intruder dimensions as cited at the field.
    """
    slots, names = slots_of(pair), changed_slots(pair)
    changed = {name: slot for name, slot in slots.items() if name in names}
    layers: dict[int, list[str]] = {}
    for name, slot in slots.items():
        layers.setdefault(slot.place.layer, []).append(name)
    execution.progress.start(1 + len(layers), "comparing weights")
    outputs = _outputs(pair, changed, texts, execution)
    execution.progress.advance()
    rows: dict[str, Tensor] = {}
    for layer, inside in layers.items():
        where = f"layer {layer}" if layer >= 0 else "outside the layers"
        execution.progress.advance(0, f"comparing weights: {where}")

        def compute(inside: list[str] = inside) -> dict[str, Tensor]:
            measured = [_one(slots[n], changed=n in changed, spectra=spectra) for n in inside]
            return {"values": torch.tensor(measured, dtype=torch.float64)}

        if any(name in changed for name in inside):
            key = f"weights/{'spectra' if spectra else 'norms'}/{layer}"
            values = execution.checkpoint.get_or_compute(key, compute)["values"]
        else:
            values = compute()["values"]
        rows |= dict(zip(inside, values, strict=True))
        execution.progress.advance()
    execution.progress.stop()
    table = torch.stack([rows[name] for name in slots])
    columns = dict(zip(_COLUMNS, table.unbind(1), strict=True))
    places = [slot.place for slot in slots.values()]
    return WeightChange(
        provenance=pair.provenance(),
        matrix=tuple(slots),
        place=tuple(
            f"L{place.layer}.{place.matrix}" if place.layer >= 0 else place.matrix
            for place in places
        ),
        layer=torch.tensor([place.layer for place in places]),
        activation_norm=outputs,
        **columns,
    )


_VALUES = 1 << 22
"""Entries that are turned into float64 at a time."""
_COLUMNS = ("relative_norm", "spectral_norm", "stable_rank", "entropy_rank", "rank_90",
            "zero_share", "intruders")  # fmt: skip


def _outputs(
    pair: ModelPair, changed: Mapping[str, Slot], texts: Sequence[Encoded], execution: Execution
) -> Float[Tensor, " matrix"]:
    """Relative change of every matrix's output; 0 where it did not change, NaN unmeasured."""
    slots = slots_of(pair)

    def compute() -> dict[str, Tensor]:
        read = output_change(pair, changed, texts)
        values = [
            read.get(name, float("nan")) if name in changed or not _is_matrix(slot) else 0.0
            for name, slot in slots.items()
        ]
        return {"values": torch.tensor(values, dtype=torch.float64)}

    if not texts:
        return torch.full((len(slots),), torch.nan, dtype=torch.float64)
    return execution.checkpoint.get_or_compute("weights/outputs", compute)["values"]


def _is_matrix(slot: Slot) -> bool:
    return slot.base.ndim == 2 and slot.place.layer >= 0


def _one(slot: Slot, *, changed: bool, spectra: bool) -> list[float]:
    """The columns of one tensor."""
    nan, matrix = float("nan"), slot.base.ndim == 2
    row = dict.fromkeys(_COLUMNS, nan)
    if not changed:
        row |= {"relative_norm": 0.0, "zero_share": 1.0}
        if spectra and matrix:
            row |= dict.fromkeys(("spectral_norm", "stable_rank", "entropy_rank", "rank_90"), 0.0)
            row["intruders"] = 0.0 if slot.place.layer >= 0 else nan
        return list(row.values())
    whole = change = same = 0.0
    parts = (tensor.flatten().split(_VALUES) for tensor in slot.values)
    for ours, theirs in zip(*parts, strict=True):  # an embedding is never whole in float64
        ours, delta = ours.double(), theirs.double() - ours.double()
        whole += ours.square().sum().item()
        change += delta.square().sum().item()
        same += (delta == 0).sum().item()
    row["relative_norm"] = (change / whole) ** 0.5 if whole else float("inf")
    row["zero_share"] = same / slot.base.numel()
    if spectra and matrix:
        base, post = (tensor.double() for tensor in slot.values)
        row |= spectrum(base, post, post - base, outside=slot.place.layer < 0)
    return list(row.values())
