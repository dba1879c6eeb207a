"""Means and covariances of activations over any number of tokens, in O(d_model²) memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.capture._stream import Chunk, stream
from elicit.capture.errors import CaptureError
from elicit.capture.sums import CrossMoments, Moments
from elicit.pair import Side
from elicit.runs import Execution
from elicit.sites import Site

Keep = Literal["all", "not_first"] | Callable[[Chunk], Bool[Tensor, "batch pos"]]
"""Which tokens count: all, all but the first of each row, or a mask for each chunk. Padding never
counts."""


def moments(
    side: Side,
    rows: Sequence[Sequence[int]],
    *,
    sites: Sequence[Site],
    keep: Keep = "all",
    execution: Execution = Execution(),
    device: str | torch.device | None = None,
) -> Mapping[Site, Moments]:
    """Moments of activations over all tokens of many rows, in one pass over the model.

    Args:
        side: The model.
        rows: Token ids of each row.
        sites: Sites to read, each once; all heads of a site are one long vector.
        keep: Which tokens count.
        execution: Tokens per forward pass, memory, checkpoint and progress.
        device: Where the sums are kept; the model's device if None.

    Raises:
        SiteError: The model does not have a site.
        CaptureError: There is nothing to read, a site is a pattern, `keep` leaves no token, or a
            value is not finite.
    """
    check_vectors(sites)
    sums: dict[Site, Moments] = {}
    for chunk in _chunks(side, rows, sites, execution):
        kept = kept_tokens(chunk, keep)
        for site in sites:
            x = vectors(chunk, site, kept)
            if site not in sums:
                sums[site] = Moments(x.shape[1], device=device or _home(x.device))
            with _named(site):
                sums[site].update(x)
    _check_any(next(iter(sums.values())).n, len(rows))
    return sums


def cross_moments(
    base: Side,
    post: Side,
    rows: Sequence[Sequence[int]],
    *,
    sites: Sequence[Site],
    post_sites: Sequence[Site] | None = None,
    keep: Keep = "all",
    execution: Execution = Execution(),
    device: str | torch.device | None = None,
) -> Mapping[Site, CrossMoments]:
    """Moments of two models' activations on the same tokens, base's as `x` and post's as `y`.

    Args:
        base: One model.
        post: The other, or the same one for two sites of one model; that one then runs once.
        rows: Token ids of each row, read by both.
        sites: Sites to read in base, each once.
        post_sites: Site to read in post for each of `sites`; the same sites if None.
        keep: Which tokens count; a function is called with base's chunks.
        execution: Tokens per forward pass, memory, checkpoint and progress.
        device: Where the sums are kept; base's device if None.

    Returns:
        Moments by base's site.

    Raises:
        SiteError: A model does not have a site.
        CaptureError: There is nothing to read, a site is a pattern, `post_sites` has another
            length, `keep` leaves no token, or a value is not finite.
    """
    there = tuple(sites if post_sites is None else post_sites)
    check_vectors(sites)
    check_vectors(tuple(dict.fromkeys(there)))
    if len(there) != len(sites):
        raise CaptureError(
            f"sites has {len(sites)} and post_sites has {len(there)} sites, so they cannot be "
            "paired one by one. Pass one site of post for each of base."
        )
    sums: dict[Site, CrossMoments] = {}
    for of_base, of_post in _both(base, post, rows, sites, there, execution):
        kept = kept_tokens(of_base, keep)
        for site, post_site in zip(sites, there, strict=True):
            x, y = vectors(of_base, site, kept), vectors(of_post, post_site, kept)
            if site not in sums:
                sums[site] = CrossMoments(x.shape[1], y.shape[1], device=device or _home(x.device))
            with _named(site):
                sums[site].update(x, y)
    _check_any(next(iter(sums.values())).n, len(rows))
    return sums


def _chunks(
    side: Side, rows: Sequence[Sequence[int]], sites: Sequence[Site], execution: Execution
) -> Iterator[Chunk]:
    pad_id = side.alignment.pad_id
    return stream(side.bridge, rows, sites=sites, pad_id=pad_id, execution=execution)


def _both(
    base: Side,
    post: Side,
    rows: Sequence[Sequence[int]],
    sites: Sequence[Site],
    there: Sequence[Site],
    execution: Execution,
) -> Iterator[tuple[Chunk, Chunk]]:
    """The same rows read in both models, chunk by chunk."""
    if base.bridge is post.bridge:
        union = tuple(dict.fromkeys([*sites, *there]))
        return ((chunk, chunk) for chunk in _chunks(base, rows, union, execution))
    # Both plan their chunks from the same lengths, so they stay in step.
    return zip(
        _chunks(base, rows, sites, execution),
        _chunks(post, rows, there, execution.quiet()),
        strict=True,
    )


def kept_tokens(chunk: Chunk, keep: Keep) -> Bool[Tensor, "batch pos"]:
    """Which positions of a chunk count; never padding.

    `keep`: all tokens, all but the first of each row, or a function that gives a mask.

    Raises:
        CaptureError: `keep` is something else, or its mask has another shape.
    """
    real = chunk.encoded.real
    if keep == "all":
        return real
    if keep == "not_first":
        return real & (chunk.encoded.position_ids > 0)
    if isinstance(keep, str) or not callable(keep):
        raise CaptureError(
            f"keep is {keep!r}, so it is not known which tokens count. Pass 'all', 'not_first', or "
            "a function that gives a mask for a chunk."
        )
    mask = keep(chunk)
    if mask.shape != real.shape or mask.dtype != torch.bool:
        raise CaptureError(
            f"keep gave a mask of {mask.dtype} and shape {tuple(mask.shape)} for a chunk of shape "
            f"{tuple(real.shape)}, so it does not say which tokens count. Return a boolean for "
            "every position."
        )
    return real & mask.to(real.device)


def vectors(
    chunk: Chunk, site: Site, kept: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "token width"]:
    """Activations of a chunk as one list of vectors, row after row; heads are one long vector.

    Args:
        chunk: What was read.
        site: One of the sites read.
        kept: Positions that count.
    """
    value = chunk.captured.at[site]
    return rearrange(value[kept.to(value.device)], "token ... -> token (...)")


def check_vectors(sites: Sequence[Site]) -> None:
    """Refuse sites that are no vector at each token, and repeated ones.

    Raises:
        CaptureError: A site is a pattern, or there twice.
    """
    for site in sites:
        if site.kind == "pattern":
            raise CaptureError(
                f"{site} has as many values at a token as there are tokens before it, so it is no "
                "vector of one width. Read it with capture or stream."
            )
    twice = next((site for index, site in enumerate(sites) if site in sites[:index]), None)
    if twice is not None:
        raise CaptureError(
            f"{twice} is requested twice and has one entry in the result. Name each site once."
        )


def _home(device: torch.device) -> torch.device:
    """Where sums of activations on a device are kept: Apple's GPU has no float64."""
    return torch.device("cpu") if device.type == "mps" else device


def _check_any(n: int, n_rows: int) -> None:
    """Refuse moments of no token."""
    if not n:
        raise CaptureError(
            f"keep leaves no token of {n_rows} rows, so there is nothing to take a mean of. Keep "
            "more tokens, or pass longer rows."
        )


@contextmanager
def _named(site: Site) -> Iterator[None]:
    """Say at which site something is wrong."""
    try:
        yield
    except CaptureError as error:
        raise CaptureError(f"At {site}, {error}") from error
