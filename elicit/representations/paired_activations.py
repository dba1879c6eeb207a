"""Activations of both models on the same tokens, chunk by chunk, without outliers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.capture import Chunk, CrossMoments, check_vectors, stream, vectors
from elicit.pair import ModelPair
from elicit.representations.errors import RepresentationError
from elicit.representations.labels import check_finite, check_widths
from elicit.runs import Execution
from elicit.sites import Site
from elicit.surroundings import guarded

OUTLIER = 10.0
"""A token whose norm exceeds this multiple of the median at a site is left out."""
_HOLD = 2**30
"""Bytes of activations kept between passes; beyond that the models run again."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Tokens:
    """Tokens of one chunk at every site, in both models."""

    row: Int[Tensor, " token"]
    """Row of each token."""
    x: tuple[Float[Tensor, "token d_model"], ...]
    """Base's vectors, by site."""
    y: tuple[Float[Tensor, "token d_model"], ...]
    """Post's vectors, by site."""


class PairedTokens:
    """Re-iterable tokens of rows, without first tokens and outliers."""

    @guarded
    def __init__(
        self,
        pair: ModelPair,
        rows: Sequence[Sequence[int]],
        *,
        sites: Sequence[Site],
        execution: Execution = Execution(),
    ) -> None:
        """Read norms once to find outliers.

        Raises:
            SiteError: A model does not have a site.
            CaptureError: A model cannot read a row.
            RepresentationError: Sites differ in width, an activation is not finite, or no token is
                left.
        """
        check_vectors(sites)
        self.pair, self.rows, self.sites = pair, rows, tuple(sites)
        self.execution = execution
        self._held: list[Tokens] | None = []
        norms, held = [], 0
        for result in self._read():
            norms.append(
                torch.stack([value.double().norm(dim=1) for value in (*result.x, *result.y)])
            )
            held += sum(value.numel() * value.element_size() for value in (*result.x, *result.y))
            if self._held is not None:
                self._held.append(result)
                self._held = self._held if held <= _HOLD else None
        every = torch.cat(norms, dim=1)
        if not every.shape[1]:
            raise RepresentationError(
                f"none of the {len(rows)} rows has a token after its first, so there is nothing to "
                "compare. Pass longer rows."
            )
        usual = every.median(dim=1, keepdim=True).values
        # An outlier at any site is left out at all: sites are compared on the same tokens.
        keep = ~(every > OUTLIER * usual).any(dim=0)
        self.n_outliers = int((~keep).sum())
        self.n = int(keep.sum())
        self._keep = keep.split([part.shape[1] for part in norms])

    def __iter__(self) -> Iterator[Tokens]:
        """The chunks, each with the tokens that count."""
        chunks = self._read() if self._held is None else iter(self._held)
        for result, keep in zip(chunks, self._keep, strict=True):
            yield Tokens(
                row=result.row[keep],
                x=tuple(value[keep] for value in result.x),
                y=tuple(value[keep] for value in result.y),
            )

    def moments(self) -> tuple[CrossMoments, ...]:
        """Moments of both models at every site."""
        result: list[CrossMoments] = []
        for tokens in self:
            result = result or [
                CrossMoments(x.shape[1], y.shape[1])
                for x, y in zip(tokens.x, tokens.y, strict=True)
            ]
            for moments, x, y in zip(result, tokens.x, tokens.y, strict=True):
                moments.update(x, y)
        return tuple(result)

    def _read(self) -> Iterator[Tokens]:
        """Every token but the first of each row."""
        pad_id = self.pair.alignment.pad_id
        chunks = [
            stream(model, self.rows, sites=self.sites, pad_id=pad_id, execution=execution)
            for model, execution in (
                (self.pair.base, self.execution),
                (self.pair.post, self.execution.quiet()),
            )
        ]
        for mine, theirs in zip(*chunks, strict=True):
            later = mine.encoded.real & (mine.encoded.position_ids > 0)
            line = later.nonzero()[:, 0].cpu()
            yield Tokens(
                row=torch.tensor(mine.rows)[line],
                x=self._vectors(mine, later),
                y=self._vectors(theirs, later),
            )

    def _vectors(
        self, chunk: Chunk, kept: Bool[Tensor, "batch pos"]
    ) -> tuple[Float[Tensor, "token d_model"], ...]:
        result = tuple(vectors(chunk, site, kept).cpu() for site in self.sites)
        check_widths(self.sites, [value.shape[1] for value in result])
        for site, value in zip(self.sites, result, strict=True):
            check_finite(value[None], [str(site)])
        return result
