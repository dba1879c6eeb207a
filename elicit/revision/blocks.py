"""The residual streams of all layers with the final predictions, some tokens at a time.

One forward gives every layer at once, so that all lenses of a model are fitted or read on it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.capture import Head, head_of, stream
from elicit.pair import ModelPair
from elicit.results import Progress
from elicit.revision.errors import RevisionError
from elicit.revision.gradient import lens_kl
from elicit.revision.lens import Lens
from elicit.revision.reading import Final, tokens_per_block
from elicit.revision.readout import Readout
from elicit.revision.traces import Traces
from elicit.sites import resid_post, resid_pre
from elicit.stats import simultaneous_intervals

Which = Literal["base", "post"]


@dataclass(frozen=True, eq=False)
class Side:
    """One model of a pair, with its head."""

    model: nn.Module
    """The bridge."""
    name: str
    """Hub id, folder or organism name."""
    head: Head
    """Its final norm and unembedding, over the ids that both models know."""


def side_of(pair: ModelPair, which: Which) -> Side:
    """One model of a pair.

    Args:
        pair: The two models.
        which: Whose.
    """
    model = pair.base if which == "base" else pair.post
    name = pair.base_name if which == "base" else pair.post_name
    return Side(model, name, head_of(model, d_vocab=pair.d_vocab))


class Rooms:
    """Room for blocks of logits read through any of a few heads, within one budget."""

    def __init__(self, heads: dict[str, Head], *, n_tokens: int, budget: int) -> None:
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
class Block:
    """Some tokens of one model; gone when the next block is asked for."""

    row: Int[Tensor, " token"]
    """Number of each token's row in what is read."""
    resid: tuple[Float[Tensor, "token d_model"], ...]
    """Residual stream after 0, 1, ... n_layers blocks."""
    final: Final
    """The model's own predictions."""


def read_blocks(
    side: Side,
    traces: Traces,
    rooms: Rooms,
    own: Readout,
    *,
    n_layers: int,
    pad_id: int,
    max_tokens: int,
    progress: Progress | None = None,
) -> Iterator[Block]:
    """Every token of some traces that is read, a block at a time.

    Args:
        side: The model.
        traces: Rows, and what is read in them.
        rooms: Where blocks are held.
        own: The room of the model's own head.
        n_layers: Blocks of the model.
        pad_id: Id put where a row has no token.
        max_tokens: Most positions in a forward, padding counted.
        progress: Told the rows done.
    """
    sites = [resid_pre(0), *(resid_post(layer) for layer in range(n_layers))]
    chunks = stream(
        side.model,
        traces.rows,
        at=sites,
        pad_id=pad_id,
        max_tokens=max_tokens,
        progress=progress,
    )
    for chunk in chunks:
        where = [(i, pos) for i, row in enumerate(chunk.rows) for pos in traces.positions[row]]
        if not where:
            continue
        device = own.head.weight.device
        places, pos = torch.tensor(where).T.to(device)
        row = torch.tensor(chunk.rows, device=device)[places]
        resid = [chunk.captured.at[site].to(device)[places, pos] for site in sites]
        for start in range(0, len(where), rooms.n_tokens):
            part = slice(start, start + rooms.n_tokens)
            cut = tuple(layer[part] for layer in resid)
            with torch.no_grad():
                out = rooms.probs(own, len(cut[-1]))
                final = own.final(own.head.norm(cut[-1]), out)
            yield Block(row[part], cut, final)


def kl_by_problem(
    side: Side,
    traces: Traces,
    readings: Sequence[tuple[Lens, Readout]],
    rooms: Rooms,
    own: Readout,
    *,
    layers: Sequence[int],
    n_layers: int,
    pad_id: int,
    max_tokens: int,
    progress: Progress | None = None,
) -> Float[Tensor, "problem reading layer"]:
    """KL(final‖lens) of each problem, the mean over its tokens, nats; float64.

    Args:
        side: The model whose states are read and whose final predictions they are held against.
        traces: Rows, and what is read in them.
        readings: Each lens with the room of the head that reads it.
        rooms: Where blocks are held.
        own: The room of the model's own head.
        layers: Which layers; after the last, n_layers, no lens is applied.
        n_layers: Blocks of the model.
        pad_id: Id put where a row has no token.
        max_tokens: Most positions in a forward, padding counted.
        progress: Told the rows done.

    Raises:
        RevisionError: Some divergence is not finite.
    """
    read = [(name, len(at)) for name, at in zip(traces.problem, traces.positions, strict=True) if at]
    place = {name: i for i, name in enumerate(dict.fromkeys(name for name, _ in read))}
    of_row = torch.tensor([place.get(name, -1) for name in traces.problem])
    count = torch.zeros(len(place), dtype=torch.float64)
    for name, n in read:
        count[place[name]] += n
    total = torch.zeros(len(place), len(readings), len(layers), dtype=torch.float64)
    blocks = read_blocks(
        side,
        traces,
        rooms,
        own,
        n_layers=n_layers,
        pad_id=pad_id,
        max_tokens=max_tokens,
        progress=progress,
    )
    for block in blocks:
        # Summed on the CPU, where the order of a sum never changes.
        problem = of_row[block.row.cpu()]
        for i, (lens, readout) in enumerate(readings):
            for j, layer in enumerate(layers):
                resid = block.resid[layer]
                with torch.no_grad():
                    state = resid if layer == n_layers else lens.state(resid, layer=layer)
                total[:, i, j].index_add_(0, problem, lens_kl(readout, state, block.final).cpu())
    if not bool(total.isfinite().all()):
        bad = sorted({layers[j] for j in (~total.isfinite()).any(0).any(0).nonzero().flatten()})
        raise RevisionError(
            f"the divergence of layers {', '.join(map(str, bad))} is not finite: a prediction is "
            "no distribution, or forbids an id that the final one allows. Check the model's "
            "weights and the lens."
        )
    return total / count[:, None, None]


def intervals_of(
    name: str,
    by_problem: Float[Tensor, "problem row layer"],
    *,
    level: float,
    n_resamples: int,
    seed: int,
) -> dict[str, Float[Tensor, "row layer"]]:
    """Mean over problems with ends that hold for all layers of a row at once, as fields.

    Args:
        name: Of the field; its ends are `name_low` and `name_high`.
        by_problem: Values of each problem; a row of NaN is a reading that was not made.
        level: Joint coverage over layers, in (0, 1).
        n_resamples: Bootstrap resamples of problems.
        seed: Of the resampling.
    """
    shape = by_problem.shape[1:]
    value, low, high = (torch.full(shape, torch.nan, dtype=torch.float64) for _ in range(3))
    for row in range(shape[0]):
        effects = by_problem[:, row]
        if bool(effects.isnan().any()):
            continue
        joint = simultaneous_intervals(
            effects.numpy(), level=level, n_resamples=n_resamples, seed=seed
        )
        for out, found in ((value, joint.value), (low, joint.low), (high, joint.high)):
            out[row] = torch.from_numpy(found)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
