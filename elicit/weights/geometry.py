"""The geometry of a weight difference: how large, how many directions, how much of it matters."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from elicit.pair import Encoded, ModelPair, hugging_face_model
from elicit.results import Result
from elicit.runs import NoProgress, Progress
from elicit.weights.slots import Slot, slots_of

INTRUDER_TOP = 10
INTRUDER_COSINE = 0.5


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


def weight_change(
    pair: ModelPair,
    *,
    texts: Sequence[Encoded] = (),
    spectra: bool = True,
    progress: Progress | None = None,
) -> WeightChange:
    """Size, rank and weight of the change of every parameter tensor.

    Args:
        pair: The two models.
        texts: Batches that base reads to weigh each difference by its inputs; none leaves
            `activation_norm` NaN.
        spectra: Whether singular values are computed: cubic in the width, minutes from d_model
        4096.
        progress: Counts the tensors.

    Source: norms as in methods on model editing; intruder dimensions as cited at the field.
    """
    progress = progress or NoProgress()
    slots = slots_of(pair)
    moments = second_moments(pair, texts) if texts else {}
    rows: list[dict[str, float]] = []
    progress.start(len(slots), "comparing weights")
    for name, slot in slots.items():
        rows.append(_one(slot, moments.get(name), spectra=spectra))
        progress.advance(what=f"comparing weights: {name}")
    progress.stop()

    def column(key: str) -> Tensor:
        return torch.tensor([row[key] for row in rows], dtype=torch.float64)

    places = [slot.place for slot in slots.values()]
    return WeightChange(
        provenance=pair.provenance(),
        matrix=tuple(slots),
        place=tuple(
            f"L{place.layer}.{place.matrix}" if place.layer >= 0 else place.matrix
            for place in places
        ),
        layer=torch.tensor([place.layer for place in places]),
        relative_norm=column("relative_norm"),
        activation_norm=column("activation_norm"),
        spectral_norm=column("spectral_norm"),
        stable_rank=column("stable_rank"),
        entropy_rank=column("entropy_rank"),
        rank_90=column("rank_90"),
        zero_share=column("zero_share"),
        intruders=column("intruders"),
    )


def _one(slot: Slot, moment: Tensor | None, *, spectra: bool) -> dict[str, float]:
    nan = float("nan")
    base, post = slot.base.detach().double(), slot.post.detach().double()
    delta = post - base
    size = base.norm().item()
    row = {
        "relative_norm": delta.norm().item() / size
        if size
        else float("inf")
        if delta.any()
        else 0.0,
        "activation_norm": nan,
        "spectral_norm": nan,
        "stable_rank": nan,
        "entropy_rank": nan,
        "rank_90": nan,
        "zero_share": (delta == 0).double().mean().item(),
        "intruders": nan,
    }
    if moment is not None:
        change, whole = _energy(delta, moment), _energy(base, moment)
        row["activation_norm"] = (change / whole) ** 0.5 if whole else nan
    if spectra and delta.ndim == 2:
        row |= _spectrum(base, post, delta, outside=slot.place.layer < 0)
    return row


def _energy(weight: Tensor, moment: Tensor) -> float:
    """Mean squared norm of the tensor's output; the read side is the one that fits the moment."""
    reads_rows = weight.shape[1] != moment.shape[0]
    weight = weight.T if reads_rows else weight
    return torch.einsum("oi,ij,oj->", weight, moment, weight).item()


def _spectrum(base: Tensor, post: Tensor, delta: Tensor, *, outside: bool) -> dict[str, float]:
    singular = _singular(delta)
    top = singular.max().item()
    energy = singular**2
    share = singular / singular.sum() if top else singular
    row = {
        "spectral_norm": top / max(_singular(base).max().item(), 1e-300),
        "stable_rank": (energy.sum() / energy.max()).item() if top else 0.0,
        "entropy_rank": torch.special.entr(share).sum().exp().item() if top else 0.0,
        "rank_90": float((energy.cumsum(0) < 0.9 * energy.sum()).sum().item() + 1) if top else 0.0,
    }
    if not outside:
        row["intruders"] = float(_intruders(base, post)) if top else 0.0
    return row


def _singular(matrix: Tensor) -> Tensor:
    """Singular values, largest first, from the Gram matrix of the smaller side in float64."""
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    return torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().flip(0)


def _intruders(base: Tensor, post: Tensor) -> int:
    _, ours = torch.linalg.eigh(base @ base.T)
    _, theirs = torch.linalg.eigh(post @ post.T)
    rank = min(base.shape)
    cosines = (theirs[:, -INTRUDER_TOP:].T @ ours[:, -rank:]).abs()
    return int((cosines.amax(dim=1) < INTRUDER_COSINE).sum())


def second_moments(
    pair: ModelPair, texts: Sequence[Encoded]
) -> dict[str, Float[Tensor, "d_in d_in"]]:
    """Mean outer product of what each matrix of base reads on some texts, by tensor name.

    `texts`: padded batches; padding is left out.
    """
    slots = slots_of(pair)
    requested = {
        id(slot.base): name
        for name, slot in slots.items()
        if slot.base.ndim == 2 and slot.place.layer >= 0
    }
    sums: dict[str, Tensor] = {}
    mask = torch.ones(0)
    with _reading(pair.base, requested, sums, lambda: mask), torch.no_grad():
        count = 0
        for batch in texts:
            batch = batch.to(pair.device)
            mask = batch.real
            count += int(mask.sum())
            hugging_face_model(pair.base)(
                input_ids=batch.ids,
                attention_mask=batch.mask,
                position_ids=batch.position_ids,
                use_cache=False,
                logits_to_keep=1,
            )
    return {name: total / max(count, 1) for name, total in sums.items()}


@contextmanager
def _reading(
    model: nn.Module, requested: Mapping[int, str], sums: dict[str, Tensor], mask: "object"
) -> Iterator[None]:
    """Add up outer products of the inputs of every module that owns a requested matrix."""
    handles = []

    def watch(module: nn.Module, name: str) -> None:
        def enter(_module: nn.Module, args: tuple) -> None:
            if not args or not isinstance(args[0], Tensor):
                return
            real = mask()  # pyright: ignore[reportCallIssue]
            if args[0].shape[:2] != real.shape:
                return
            rows = args[0].detach()[real].double()
            total = rows.T @ rows
            sums[name] = sums[name] + total if name in sums else total

        handles.append(module.register_forward_pre_hook(enter))

    seen: set[int] = set()
    for module in model.modules():
        weight = module._parameters.get("weight")
        if weight is not None and id(weight) in requested and id(module) not in seen:
            seen.add(id(module))
            watch(module, requested[id(weight)])
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
