"""The residual streams of all layers with the final predictions, some tokens at a time.

One forward gives every layer at once, so that all lenses of a model are fitted or read on it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.capture import Unembed, unembed_of
from elicit.pair import ModelPair
from elicit.revision.errors import RevisionError
from elicit.revision.gradient import lens_kl
from elicit.revision.lens import Lens
from elicit.revision.reading import Final, tokens_per_block
from elicit.revision.readout import Readout
from elicit.revision.states import chunked, read_places, residual_states
from elicit.revision.traces import Traces
from elicit.runs import NoProgress, Progress
from elicit.stats import Inference, simultaneous_intervals

Which = Literal["base", "post"]


@dataclass(frozen=True, eq=False)
class HeadedModel:
    """One model of a pair, with its head."""

    model: nn.Module
    """The bridge."""
    name: str
    """Hub id, folder or organism name."""
    head: Unembed
    """Its final norm and unembedding, over the ids that both models know."""


def headed_model(pair: ModelPair, which: Which) -> HeadedModel:
    """One model of a pair.

    Args:
        pair: The two models.
        which: Whose.
    """
    model = pair.base if which == "base" else pair.post
    name = pair.base_name if which == "base" else pair.post_name
    return HeadedModel(model, name, unembed_of(model, d_vocab=pair.d_vocab))


class Rooms:
    """Room for blocks of logits read through any of a few heads, within one budget."""

    def __init__(self, heads: dict[str, Unembed], *, n_tokens: int, budget: int) -> None:
        """Take the room.

        Args:
            heads: Each head by its name; the same one may have two names.
            n_tokens: Tokens there are; a block never has more.
            budget: Bytes that all blocks together may take.

        Raises:
            RevisionError: Not even one token fits.
        """
        distinct = {id(head): head for head in heads.values()}
        d_vocab = max(head.d_vocab for head in distinct.values())
        weight = next(iter(distinct.values())).weight
        # One block for each head, and one for the final predictions.
        fits = tokens_per_block(
            d_vocab,
            budget=budget,
            buffers=len(distinct) + 1,
            itemsize=8 if weight.dtype == torch.float64 else 4,
        )
        self.n_tokens = min(fits, n_tokens)
        made = {key: Readout(head, self.n_tokens) for key, head in distinct.items()}
        self.of = {name: made[id(head)] for name, head in heads.items()}
        wide = next(iter(made.values())).wide
        self._probs = torch.empty(d_vocab * self.n_tokens, dtype=wide, device=weight.device)

    def probs(self, readout: Readout, n: int) -> Float[Tensor, "d_vocab token"]:
        """Room for the final predictions of `n` tokens."""
        return self._probs[: readout.head.d_vocab * n].view(readout.head.d_vocab, n)


@dataclass(frozen=True, eq=False)
class Streams:
    """Residual streams of some tokens of one model."""

    row: Int[Tensor, " token"]
    """Number of each token's row in what is read."""
    resid: Float[Tensor, "layer token d_model"]
    """Residual stream after 0, 1, ... n_layers blocks."""

    def of_rows(self, rows: Sequence[int]) -> "Streams":
        """The tokens of some rows.

        Args:
            rows: Their numbers.
        """
        wanted = torch.isin(self.row, torch.tensor(list(rows), device=self.row.device))
        return Streams(self.row[wanted], self.resid[:, wanted])


@dataclass(frozen=True, eq=False)
class Block(Streams):
    """Some tokens with the model's own predictions; gone when the next block is asked for."""

    final: Final


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """One model's residual streams on some traces."""

    side: HeadedModel
    """The model."""
    traces: Traces
    """Rows, and what is read in them."""
    n_layers: int
    """Blocks of the model."""
    pad_id: int
    """Id put where a row has no token."""
    max_tokens: int
    """Most positions in a forward, padding counted."""

    @property
    def n_bytes(self) -> int:
        """What all streams together take."""
        width = self.side.head.d_model * self.side.head.weight.element_size()
        return (self.n_layers + 1) * self.traces.n_tokens * width

    def read(
        self, rows: Sequence[int] | None = None, *, progress: Progress | None = None
    ) -> Iterator[Streams]:
        """Streams of one forward after the other.

        Args:
            rows: Which rows; None reads all.
            progress: Told the rows done.
        """
        rows = range(len(self.traces)) if rows is None else rows
        progress = progress or NoProgress()
        device = self.side.head.weight.device
        progress.start(len(rows), f"reading layers of {self.side.name}")
        try:
            for places, part in chunked(self.traces.part(rows), self.max_tokens):
                resid = residual_states(
                    self.side.model, part, n_layers=self.n_layers, pad_id=self.pad_id
                ).to(device)
                numbers = torch.tensor([rows[place] for place in places])
                yield Streams(numbers[read_places(part)[0]].to(device), resid)
                # Unnamed, the streams are freed before the next are read.
                del resid
                progress.advance(len(places))
        finally:
            progress.stop()

    def keep(self, *, budget: int) -> Streams | None:
        """Streams of all rows at once, if they fit.

        Args:
            budget: Bytes that they may take.
        """
        if self.n_bytes > budget:
            return None
        parts = list(self.read())
        resid = torch.cat([part.resid for part in parts], dim=1)
        return Streams(torch.cat([part.row for part in parts]), resid)


def blocks_of(streams: Iterable[Streams], rooms: Rooms, own: Readout) -> Iterator[Block]:
    """Tokens with the model's own predictions, a block at a time.

    Args:
        streams: The tokens.
        rooms: Where blocks are held.
        own: The room of the model's own head.
    """
    for part in streams:
        for start in range(0, len(part.row), rooms.n_tokens):
            cut = slice(start, start + rooms.n_tokens)
            resid = part.resid[:, cut]
            with torch.no_grad():
                final = own.final(own.head.norm(resid[-1]), rooms.probs(own, resid.shape[1]))
            yield Block(part.row[cut], resid, final)


def kl_by_problem(
    source: Source,
    readings: Sequence[tuple[Lens, Readout]],
    rooms: Rooms,
    own: Readout,
    *,
    layers: Sequence[int],
    progress: Progress | None = None,
) -> Float[Tensor, "problem reading layer"]:
    """KL(final‖lens) of each problem, the mean over its tokens, nats; float64.

    Args:
        source: The model whose states are read, and the text.
        readings: Each lens with the room of the head that reads it.
        rooms: Where blocks are held.
        own: The room of the model's own head.
        layers: Which layers; after the last, n_layers, no lens is applied.
        progress: Told the rows done.

    Raises:
        RevisionError: Some divergence is not finite.
    """
    traces, n_layers = source.traces, source.n_layers
    read = [
        (name, len(at)) for name, at in zip(traces.problem, traces.positions, strict=True) if at
    ]
    place = {name: i for i, name in enumerate(dict.fromkeys(name for name, _ in read))}
    of_row = torch.tensor([place.get(name, -1) for name in traces.problem])
    count = torch.zeros(len(place), dtype=torch.float64)
    for name, n in read:
        count[place[name]] += n
    total = torch.zeros(len(place), len(readings), len(layers), dtype=torch.float64)
    for block in blocks_of(source.read(progress=progress), rooms, own):
        # Summed on the CPU, where the order of a sum never changes.
        problem = of_row[block.row.cpu()]
        for i, (lens, readout) in enumerate(readings):
            for j, layer in enumerate(layers):
                resid = block.resid[layer]
                with torch.no_grad():
                    state = resid if layer == n_layers else lens.state(resid, layer=layer)
                total[:, i, j].index_add_(0, problem, lens_kl(readout, state, block.final).cpu())
    if not bool(total.isfinite().all()):
        bad = sorted(
            {layers[int(j)] for j in (~total.isfinite()).any(0).any(0).nonzero().flatten()}
        )
        raise RevisionError(
            f"the divergence of layers {', '.join(map(str, bad))} is not finite: a prediction is "
            "no distribution, or forbids an id that the final one allows. Check the model's "
            "weights and the lens."
        )
    return total / count[:, None, None]


def intervals_of(
    name: str, by_problem: Float[Tensor, "problem row layer"], *, inference: Inference = Inference()
) -> dict[str, Float[Tensor, "row layer"]]:
    """Mean over problems with ends that hold for all layers of a row at once, as fields.

    Args:
        name: Of the field; its ends are `name_low` and `name_high`.
        by_problem: Values of each problem; a row of NaN is a reading that was not made.
        inference: Coverage and resamples of the intervals, and the seed.
    """
    shape = by_problem.shape[1:]
    value, low, high = (torch.full(shape, torch.nan, dtype=torch.float64) for _ in range(3))
    for row in range(shape[0]):
        effects = by_problem[:, row]
        if bool(effects.isnan().any()):
            continue
        joint = simultaneous_intervals(
            effects.numpy(),
            level=inference.level,
            n_resamples=inference.n_resamples,
            seed=inference.seed,
        )
        for out, found in ((value, joint.value), (low, joint.low), (high, joint.high)):
            out[row] = torch.from_numpy(found)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
