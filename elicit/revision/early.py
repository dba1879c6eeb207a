"""Deep or not, without reading every layer: the same answers as the full pass, counted."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Cells, NoCells, NoProgress, Progress, Result
from elicit.revision.certificate import Certificate
from elicit.revision.convention import DepthConvention
from elicit.revision.lens import Lens, normed
from elicit.revision.profile import lens_name
from elicit.revision.reading import BUDGET, Final, tokens_per_block
from elicit.revision.readout import Readout
from elicit.revision.sides import MAX_TOKENS, Side, sides_of
from elicit.revision.states import chunked, read_places, residual_states
from elicit.revision.summing import by_problem
from elicit.revision.traces import Traces


@dataclass(frozen=True, eq=False, kw_only=True)
class DeepThinking(Result):
    """Which tokens of one model settle deep, and what it cost to know."""

    convention: DepthConvention
    """What settled and deep mean."""
    model: str
    """Model that was read."""
    lens: str
    """How its layers were read."""
    n_layers: int
    """Blocks of the model."""
    deep_from: int
    """First layer at which settling is deep."""
    row: Int[Tensor, " token"]
    """Row of each position read."""
    pos: Int[Tensor, " token"]
    """Its place in the row."""
    deep: Bool[Tensor, " token"]
    """Whether its prediction settles deep."""
    depth: Int[Tensor, " token"] | None = None
    """Layer at which it settles; None unless depths were asked for."""
    problem: tuple[str, ...]
    """Problem of each trace."""
    dtr: Float[Tensor, " trace"]
    """Share of each trace's tokens that settle deep; NaN where none is read."""
    n_projected: int
    """Readings of one token at one layer below the last that went over the whole vocabulary."""
    n_certified: int
    """Readings that were spared because a few logits proved the token not settled."""
    n_full: int
    """Readings that the full pass makes."""

    @property
    def saved(self) -> float:
        """Share of the full pass's readings that were not made."""
        return 1 - self.n_projected / self.n_full


def deep_thinking(
    pair: ModelPair,
    traces: Traces,
    *,
    model: str = "post",
    convention: DepthConvention | None = None,
    lens: Lens | None = None,
    depths: bool = False,
    certify: bool = True,
    budget: int = BUDGET,
    max_tokens: int = MAX_TOKENS,
    cells: Cells | None = None,
    progress: Progress | None = None,
) -> DeepThinking:
    """Which tokens settle deep, reading each only until that is known.

    By the first hit a token is not deep as soon as one layer below the deep ones has settled: these
    are tried from the deepest down, and the order cannot change the answer. Before a layer's whole
    vocabulary is asked, a few logits may prove that the token is not settled there.

    Args:
        pair: The two models.
        traces: Rows and where they are read.
        model: Which model, base or post.
        convention: What settled and deep mean; the paper's as corrected if None.
        lens: How layers are read; the logit lens if None.
        depths: Whether the settling depth is found too; layers are then tried from the first up.
        certify: Whether proofs may spare readings; without them more is read, with the same answer.
        budget: Bytes that blocks of logits may take.
        max_tokens: Positions in a chunk of rows.
        cells: Keeps finished chunks, so that a killed pass goes on where it stopped.
        progress: Told the rows done.

    Raises:
        RevisionError: The model has too few layers for the convention, a lens is another model's,
            the budget holds no token, or some logits are no prediction.
        CaptureError: A model cannot read a row, or its logits are not its head's.
    """
    convention = convention or DepthConvention()
    deep_from = convention.deep_from(pair.n_layers)
    (side,) = sides_of(pair, models=(model,), lens=lens)
    reader = _EarlyReader(
        side, pair.n_layers, convention, depths=depths, certify=certify, budget=budget
    )
    cells, progress = cells or NoCells(), progress or NoProgress()
    progress.start(len(traces), "finding deep tokens")
    row, pos = read_places(traces)
    value = torch.empty(len(row), dtype=torch.long)
    counts = torch.zeros(2, dtype=torch.long)
    try:
        for number, (places, part) in enumerate(chunked(traces, max_tokens)):
            found = cells.cell(
                f"early/{number}", lambda part=part: reader.read(part, pair.alignment.pad_id)
            )
            # Positions of a row stand together, in order.
            value[torch.cat([(row == i).nonzero()[:, 0] for i in places])] = found["value"]
            counts += found["counts"]
            progress.advance(len(places))
    finally:
        progress.stop()
    deep = value >= deep_from if depths else value.bool()
    return DeepThinking(
        convention=convention,
        model=side.name,
        lens=lens_name(side.lens),
        n_layers=pair.n_layers,
        deep_from=deep_from,
        row=row,
        pos=pos,
        deep=deep,
        depth=value if depths else None,
        problem=traces.problem,
        dtr=by_problem(deep.double(), row, len(traces)),
        n_projected=int(counts[0]),
        n_certified=int(counts[1]),
        n_full=len(row) * (pair.n_layers - convention.first_layer),
        provenance=pair.provenance(
            arguments={
                "traces": traces.digest,
                "model": model,
                "convention": str(convention),
                "depths": depths,
            }
        ),
    )


@dataclass(frozen=True)
class _Search:
    """An order of layers, and at which the answer for a token is known."""

    layers: range
    """Layers in the order in which they are tried."""
    on_hit: bool
    """Whether a token leaves where it is settled, or where it is not."""
    found: dict[int, int]
    """Answer of a token that leaves at a layer."""
    otherwise: int
    """Answer of a token that never leaves."""


def _search(convention: DepthConvention, n_layers: int, *, depths: bool) -> _Search:
    """How the answers of a convention are found with the fewest layers."""
    first, late = convention.first_layer, convention.deep_from(n_layers)
    up, down = range(first, n_layers), range(n_layers - 1, first - 1, -1)
    if convention.reading == "first_hit":
        if depths:
            return _Search(up, True, {layer: layer for layer in up}, n_layers)
        below = range(late - 1, first - 1, -1)
        return _Search(below, True, dict.fromkeys(below, 0), 1)
    if depths:
        return _Search(down, False, {layer: layer + 1 for layer in down}, first)
    above = range(late - 1, n_layers)
    return _Search(above, False, dict.fromkeys(above, 1), 0)


class _EarlyReader:
    """Reads chunks of rows at as few layers as the answers need."""

    def __init__(
        self,
        side: Side,
        n_layers: int,
        convention: DepthConvention,
        *,
        depths: bool,
        certify: bool,
        budget: int,
    ) -> None:
        self.side, self.n_layers, self.convention = side, n_layers, convention
        self.search = _search(convention, n_layers, depths=depths)
        itemsize = 8 if side.head.weight.dtype == torch.float64 else 4
        # Logits of a layer, the final probabilities, and those of the tokens that are still open.
        self.n_tokens = tokens_per_block(
            side.head.d_vocab, budget=budget, buffers=3, itemsize=itemsize
        )
        self.room = Readout(side.head, self.n_tokens)
        self.probs, self.open = torch.empty_like(self.room.flat), torch.empty_like(self.room.flat)
        self.certificate = Certificate(side.head, nats=convention.nats) if certify else None
        self.capped = convention.norm == "once"

    @torch.no_grad()
    def read(self, traces: Traces, pad_id: int) -> dict[str, Tensor]:
        """Answers for one chunk, with the number of readings made and of readings spared."""
        states = residual_states(self.side.model, traces, n_layers=self.n_layers, pad_id=pad_id)
        ids = torch.tensor(
            [
                row[p]
                for row, positions in zip(traces.rows, traces.positions, strict=True)
                for p in positions
            ]
        )
        values, counts = [], torch.zeros(2, dtype=torch.long)
        for start in range(0, traces.n_tokens, self.n_tokens):
            block = slice(start, start + self.n_tokens)
            values.append(self._block(states[:, block], ids[block], counts))
        return {"value": torch.cat(values).cpu(), "counts": counts}

    def _block(
        self,
        states: Float[Tensor, "layer token d_model"],
        ids: Int[Tensor, " token"],
        counts: Int[Tensor, " 2"],
    ) -> Int[Tensor, " token"]:
        """Answers for one block of tokens."""
        n = states.shape[1]
        final = self.room.final(
            normed(self.side.own, states[-1], norm=self.convention.norm),
            self.probs[: self.side.head.d_vocab * n].view(-1, n),
            capped=self.capped,
        )
        if self.certificate is not None:
            self.certificate.begin(final, ids)
        value = torch.full((n,), self.search.otherwise, device=states.device)
        left = torch.arange(n, device=states.device)
        for layer in self.search.layers:
            settled = self._settled(states[layer], layer, left, final, counts)
            leaves = settled == self.search.on_hit
            value[left[leaves]] = self.search.found[layer]
            left = left[~leaves]
            if not len(left):
                break
        return value

    def _settled(
        self,
        resid: Float[Tensor, "token d_model"],
        layer: int,
        left: Int[Tensor, " some"],
        final: Final,
        counts: Int[Tensor, " 2"],
    ) -> Bool[Tensor, " some"]:
        """Whether each open token is settled at a layer."""
        state = self.side.lens.state(resid[left], layer=layer)
        norm = "none" if self.convention.norm == "none" else "once"
        state = normed(self.side.head, state, norm=norm)
        settled = torch.zeros(len(left), dtype=torch.bool, device=left.device)
        asked = torch.arange(len(left), device=left.device)
        if self.certificate is not None:
            proven = self.certificate.not_settled(state, left, capped=self.capped)
            asked = asked[~proven]
        counts += torch.tensor([len(asked), len(left) - len(asked)])
        if not len(asked):
            return settled
        jsd = self.room.divergence(state[asked], self._only(final, left[asked]), capped=self.capped)
        settled[asked] = jsd <= self.convention.nats
        if self.certificate is not None and not bool(settled[asked].all()):
            self.certificate.remember(left[asked], self.room.first())
        return settled

    def _only(self, final: Final, tokens: Int[Tensor, " some"]) -> Final:
        """The final predictions of some tokens of a block."""
        if len(tokens) == final.probs.shape[1]:
            return final
        out = self.open[: len(final.probs) * len(tokens)].view(-1, len(tokens))
        return Final(
            probs=torch.index_select(final.probs, 1, tokens, out=out),
            entropy=final.entropy[tokens],
            top=final.top[tokens],
            top_prob=final.top_prob[tokens],
            log_norm=final.log_norm[tokens],
        )
