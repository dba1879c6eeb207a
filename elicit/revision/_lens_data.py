"""What lenses are fitted and evaluated on: residual streams with the final predictions.

One forward gives every layer at once, so that all lenses of a model are fitted or read on it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.revision._readers import Reader
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens
from elicit.runs import Execution
from elicit.stats import mean_by_problem
from elicit.texts import (
    Final,
    LogitBuffers,
    Readout,
    TokenRows,
    chunked,
    concatenate,
    final_kl,
    read_chunks,
)


@dataclass(frozen=True, eq=False)
class Streams:
    """Residual streams of some tokens of one model."""

    row: Int[Tensor, " token"]
    """Row of each token."""
    resid: Float[Tensor, "layer token d_model"]
    """Residual stream after 0, 1, ... n_layers blocks."""

    def of_rows(self, rows: Sequence[int]) -> "Streams":
        """The tokens of some rows."""
        kept = torch.isin(self.row, torch.tensor(list(rows), device=self.row.device))
        return Streams(self.row[kept], self.resid[:, kept])


@dataclass(frozen=True, eq=False, kw_only=True)
class LensData:
    """One model's residual streams on some token rows."""

    reader: Reader
    """The model."""
    rows: TokenRows
    """Token rows, and where they are read."""
    max_tokens: int
    """Most positions in a forward, padding counted."""

    @property
    def n_bytes(self) -> int:
        """Bytes of all streams together."""
        width = self.reader.own.d_model * self.reader.own.weight.element_size()
        return (self.reader.n_layers + 1) * self.rows.n_tokens * width

    def streams(self, rows: Sequence[int] | None = None) -> Iterator[Streams]:
        """Streams of one forward after the other."""
        rows = range(len(self.rows)) if rows is None else rows
        for numbers, part in chunked(self.rows.part(rows), self.max_tokens):
            resid = _residual(self.reader, part)
            row = torch.tensor([rows[i] for i in numbers])[part.index[0]]
            yield Streams(row.to(resid.device), resid)
            # Unnamed, the streams are freed before the next are read.
            del resid

    def keep(self, *, memory: int) -> Streams | None:
        """Streams of all rows at once, if they fit."""
        if self.n_bytes > memory:
            return None
        parts = list(self.streams())
        resid = torch.cat([part.resid for part in parts], dim=1)
        return Streams(torch.cat([part.row for part in parts]), resid)


def blocks_of(
    streams: Iterable[Streams], buffers: LogitBuffers, own: Readout
) -> Iterator[tuple[Float[Tensor, "layer token d_model"], Final]]:
    """Streams with the model's final predictions, a block at a time; valid until the next."""
    for part in streams:
        for span in buffers.spans(len(part.row)):
            resid = part.resid[:, span]
            with torch.no_grad():
                final = own.final(own.unembed.norm(resid[-1]), buffers.probs(resid.shape[1]))
            yield resid, final


def kl_by_problem(
    data: LensData,
    readings: Sequence[tuple[Lens, Readout]],
    buffers: LogitBuffers,
    *,
    own: Readout | None = None,
    layers: Sequence[int],
    key: str,
    execution: Execution = Execution(),
) -> Float[Tensor, "problem reading layer"]:
    """KL(final‖lens) of each problem, the mean over its tokens, nats; float64.

    `own`: the buffer of the model's own unembedding; the first if None. `layers`: which layers;
    after the last, n_layers, no lens is applied.

    Raises:
        RevisionError: A divergence is not finite.
    """
    n_layers, own = data.reader.n_layers, own or buffers.readouts[0]

    @torch.no_grad()
    def read(part: TokenRows) -> dict[str, Tensor]:
        streams = Streams(part.index[0], _residual(data.reader, part))
        return concatenate(
            {"kl": torch.stack([torch.stack(each) for each in measured(resid, final)])}
            for resid, final in blocks_of([streams], buffers, own)
        )

    def measured(resid: Tensor, final: Final) -> list[list[Tensor]]:
        return [
            [
                final_kl(
                    readout, resid[n] if n == n_layers else lens.state(resid[n], layer=n), final
                )
                for n in layers
            ]
            for lens, readout in readings
        ]

    kl = read_chunks(
        data.rows,
        read,
        key=key,
        label=f"reading layers of {data.reader.title}",
        execution=execution,
    )["kl"]
    finite = kl.isfinite().all(dim=-1).all(dim=0)
    if not bool(finite.all()):
        bad = [layers[i] for i in (~finite).nonzero()[:, 0].tolist()]
        raise RevisionError(
            f"the divergence of layers {', '.join(map(str, bad))} is not finite: a prediction is "
            "not a distribution, or rules out an id that the final one allows. Check the model's "
            "weights and the lens."
        )
    names = [data.rows.problem[i] for i in data.rows.index[0].tolist()]
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    problem = torch.tensor([number[name] for name in names])
    return mean_by_problem(kl, problem, len(number)).movedim(-1, 0)


def _residual(reader: Reader, rows: TokenRows) -> Float[Tensor, "layer token d_model"]:
    """Residual streams where the unembedding is."""
    return reader.states(rows).to(reader.own.weight.device)
