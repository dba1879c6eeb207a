"""Deep or not, without reading every layer: the same answers as the full pass, counted."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Result
from elicit.revision.convention import DepthConvention
from elicit.revision.lens import Lens
from elicit.revision.profile import lens_name
from elicit.revision.searching import EarlyReader
from elicit.revision.sides import sides_of
from elicit.revision.states import chunked, read_places
from elicit.revision.summing import by_problem
from elicit.revision.traces import Traces
from elicit.runs import Execution


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
    execution: Execution = Execution(),
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
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: The model has too few layers for the convention, a lens is another model's,
            the budget holds no token, or some logits are no prediction.
        CaptureError: A model cannot read a row, or its logits are not its head's.
    """
    convention = convention or DepthConvention()
    deep_from = convention.deep_from(pair.n_layers)
    (side,) = sides_of(pair, models=(model,), lens=lens)
    reader = EarlyReader(
        side, pair.n_layers, convention, depths=depths, certify=certify, budget=execution.memory
    )
    cells, progress = execution.checkpoint, execution.progress
    progress.start(len(traces), "finding deep tokens")
    row, pos = read_places(traces)
    value = torch.empty(len(row), dtype=torch.long)
    counts = torch.zeros(2, dtype=torch.long)
    try:
        for number, (places, part) in enumerate(chunked(traces, execution.max_tokens)):
            found = cells.get_or_compute(
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
