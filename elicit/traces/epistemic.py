"""Epistemic markers of both models' thoughts: how often, and whether where the reader is unsure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.stats import Inference, joint_estimate, linearised_ratio
from elicit.traces.errors import TraceError
from elicit.traces.hedges import hedging
from elicit.traces.hedging import Hedging
from elicit.traces.ledger import MODELS, Ledger
from elicit.traces.markers import MARKERS, marker_rates
from elicit.traces.reading import Reading, Readings


@dataclass(frozen=True, eq=False, kw_only=True)
class Epistemic(Result):
    """Epistemic markers in the thoughts that each model reads, and the entropy at what they hedge.

    A rate says how a model writes; the slope says whether it hedges where it is unsure. Training on
    confident solutions can lower the rate and leave the entropy where it was.
    """

    reading: tuple[str, ...]
    """`base`, `post`."""
    marker: tuple[str, ...]
    """The markers, and `any` of them in the last row."""
    per_100_tokens: Annotated[Estimate, "marker reading"]
    """Occurrences in 100 tokens, with intervals simultaneous over markers."""
    difference: Annotated[Estimate, "marker"]
    """Post minus base on the problems of both, with intervals simultaneous over markers."""
    count: Int[Tensor, "marker reading"]
    """Occurrences in all thoughts."""
    n_tokens: Int[Tensor, " reading"]
    """Tokens of all thoughts."""
    slope: Annotated[Estimate, "reading"]
    """Rise of the chance of a marker before a value for each nat of entropy at the value; NaN where
    no step has a number, or the tokenizer does not tell where tokens end."""
    above_controls: Annotated[Estimate, "reading"]
    """The same less the mean slope of words about as frequent; NaN without them."""
    auroc: Annotated[Estimate, "reading"]
    """Chance that a value after a marker has more entropy than one without; NaN without markers."""
    entropy: Float[Tensor, "reading bin"]
    """Mean entropy of each bin of values, nats; NaN where a model has fewer bins."""
    rate_by_entropy: Annotated[Estimate, "reading bin"]
    """Share of a bin's values after a marker, with intervals simultaneous over bins."""
    n_values: Int[Tensor, " reading"]
    """Values read."""
    n_marked: Int[Tensor, " reading"]
    """Values after a marker."""


def epistemic(
    pair: ModelPair,
    readings: Readings,
    *,
    markers: Sequence[str] = MARKERS,
    inference: Inference = Inference(),
) -> Epistemic:
    """Epistemic markers of both models' thoughts, arithmetic on the ledgers.

    Args:
        pair: The two models, for the provenance.
        readings: Base's reading and post's.
        markers: Words or phrases, counted as whole words in any case.
        inference: Coverage, resamples and seed.

    Raises:
        TraceError: Markers are empty or there twice.

    Source: Kim et al. 2026 (arXiv:2603.24472) for the markers, which that work counts as substrings
        and without regard to length; here as words, by length, and against the entropy.
    """
    books = [reading.ledger for reading in readings.both]
    sizes = [_sizes(book) for book in books]
    rates = [
        marker_rates(book.text, size, torch.arange(len(book)), markers=markers, inference=inference)
        for book, size in zip(books, sizes, strict=True)
    ]
    shared = [name for name in books[0].problem if name in set(books[1].problem)]
    linear = []
    for book, rate, size in zip(books, rates, sizes, strict=True):
        at = torch.tensor([book.problem.index(name) for name in shared])
        below = size[at].double()[:, None].expand(len(at), len(rate.marker))
        linear.append(
            100 * linearised_ratio(rate.count.T[at].double(), below, torch.arange(len(at)))
        )
    hedged = [_hedging(reading, markers, inference) for reading in readings.both]
    width = max([len(each.entropy) for each in hedged if each is not None], default=1)
    return Epistemic(
        provenance=pair.provenance(
            inference.seed,
            {"question": "epistemic", "markers": list(markers), "level": inference.level},
            task_digests=readings.digests,
        ),
        reading=MODELS,
        marker=rates[0].marker,
        per_100_tokens=Estimate.stack([rate.per_100_tokens for rate in rates], dim=1),
        difference=joint_estimate(linear[1] - linear[0], inference=inference),
        count=torch.stack([rate.count.sum(dim=1) for rate in rates], dim=1),
        n_tokens=torch.stack([size.sum() for size in sizes]),
        slope=_of(hedged, "slope"),
        above_controls=_of(hedged, "above_controls"),
        auroc=_of(hedged, "auroc"),
        entropy=torch.stack(
            [_wide(torch.empty(0) if h is None else h.entropy, width) for h in hedged]
        ),
        rate_by_entropy=Estimate.stack(
            Estimate.missing(width)
            if h is None
            else h.rate_by_entropy.map(lambda x: _wide(x, width))
            for h in hedged
        ),
        n_values=torch.tensor([0 if h is None else h.n_values for h in hedged]),
        n_marked=torch.tensor([0 if h is None else h.n_marked for h in hedged]),
    )


def _sizes(book: Ledger) -> Int[Tensor, " thought"]:
    return torch.bincount(book.token_thought, minlength=len(book)).clamp(min=1)


def _hedging(reading: Reading, markers: Sequence[str], inference: Inference) -> Hedging | None:
    """Markers against the entropy at values; None where no value can be placed."""
    book = reading.ledger
    if bool((book.token_char < 0).any()):
        return None
    try:
        return hedging(reading, markers=markers, inference=inference)
    except TraceError:
        return None


def _of(hedged: Sequence[Hedging | None], name: str) -> Estimate:
    return Estimate.stack(
        Estimate.missing() if each is None else getattr(each, name) for each in hedged
    )


def _wide(values: Tensor, width: int) -> Tensor:
    return torch.cat(
        [values.double(), torch.full((width - len(values),), torch.nan, dtype=torch.float64)]
    )
