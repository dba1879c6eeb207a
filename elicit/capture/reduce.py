"""Means and covariances of activations over any number of tokens, in O(d_model²) memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from elicit.capture.errors import CaptureError
from elicit.capture.stream import Chunk, stream
from elicit.capture.sums import CrossMoments, Moments
from elicit.runs import Execution
from elicit.sites import Site

Keep = Literal["all", "not_first"] | Callable[[Chunk], Bool[Tensor, "batch pos"]]
"""Which tokens count: all, all but the first of each row, or a mask for each chunk. Padding never
counts."""


def moments(
    model: nn.Module,
    rows: Sequence[Sequence[int]],
    *,
    at: Sequence[Site],
    pad_id: int,
    keep: Keep = "all",
    execution: Execution = Execution(),
    device: str | torch.device | None = None,
) -> Mapping[Site, Moments]:
    """Moments of activations over all tokens of many rows, in one pass over the model.

    Args:
        model: A bridge in raw mode.
        rows: Token ids of each row.
        at: Sites to read, each once; all heads of a site are one long vector.
        pad_id: Id put where a row has no token.
        keep: Which tokens count.
        execution: Tokens per forward pass, memory, checkpoint and progress.
        device: Where the sums are kept; the model's device if None.

    Raises:
        SiteError: The model does not have a site.
        CaptureError: There is nothing to read, a site is a pattern, `keep` leaves no token, or a
            value is not finite.
    """
    check_vectors(at)
    found: dict[Site, Moments] = {}
    chunks = stream(model, rows, at=at, pad_id=pad_id, execution=execution)
    for chunk in chunks:
        kept = kept_tokens(chunk, keep)
        for site in at:
            x = vectors(chunk, site, kept)
            if site not in found:
                found[site] = Moments(x.shape[1], device=device or _home(x.device))
            with _named(site):
                found[site].update(x)
    _check_any(next(iter(found.values())).n, len(rows))
    return found


def cross_moments(
    base: nn.Module,
    post: nn.Module,
    rows: Sequence[Sequence[int]],
    *,
    at: Sequence[Site],
    pad_id: int,
    post_at: Sequence[Site] | None = None,
    keep: Keep = "all",
    execution: Execution = Execution(),
    device: str | torch.device | None = None,
) -> Mapping[Site, CrossMoments]:
    """Moments of two models' activations on the same tokens, base's as `x` and post's as `y`.

    Args:
        base: A bridge in raw mode.
        post: Another, or the same one for two sites of one model; that one then runs once.
        rows: Token ids of each row, fed to both.
        at: Sites to read in base, each once.
        pad_id: Id put where a row has no token.
        post_at: Site to read in post for each of `at`; the same sites if None.
        keep: Which tokens count; a mask is asked for on base's chunks.
        execution: Tokens per forward pass, memory, checkpoint and progress.
        device: Where the sums are kept; base's device if None.

    Returns:
        Moments by base's site.

    Raises:
        SiteError: A model does not have a site.
        CaptureError: There is nothing to read, a site is a pattern, `post_at` has another length,
            `keep` leaves no token, or a value is not finite.
    """
    there = tuple(at if post_at is None else post_at)
    check_vectors(at)
    check_vectors(tuple(dict.fromkeys(there)))
    if len(there) != len(at):
        raise CaptureError(
            f"at has {len(at)} sites and post_at has {len(there)}, so they cannot be paired one by "
            "one. Pass one site of post for each of base."
        )
    found: dict[Site, CrossMoments] = {}
    for mine, theirs in _both(base, post, rows, at, there, pad_id, execution):
        kept = kept_tokens(mine, keep)
        for site, post_site in zip(at, there, strict=True):
            x, y = vectors(mine, site, kept), vectors(theirs, post_site, kept)
            if site not in found:
                found[site] = CrossMoments(x.shape[1], y.shape[1], device=device or _home(x.device))
            with _named(site):
                found[site].update(x, y)
    _check_any(next(iter(found.values())).n, len(rows))
    return found


def _both(
    base: nn.Module,
    post: nn.Module,
    rows: Sequence[Sequence[int]],
    at: Sequence[Site],
    there: Sequence[Site],
    pad_id: int,
    execution: Execution,
) -> Iterator[tuple[Chunk, Chunk]]:
    """The same rows read in both models, chunk by chunk."""
    if base is post:
        union = tuple(dict.fromkeys([*at, *there]))
        chunks = stream(base, rows, at=union, pad_id=pad_id, execution=execution)
        return ((chunk, chunk) for chunk in chunks)
    # Both plan their chunks from the same lengths, so they stay in step.
    return zip(
        stream(base, rows, at=at, pad_id=pad_id, execution=execution),
        stream(post, rows, at=there, pad_id=pad_id, execution=execution.quiet()),
        strict=True,
    )


def kept_tokens(chunk: Chunk, keep: Keep) -> Bool[Tensor, "batch pos"]:
    """Which positions of a chunk count; never padding.

    Args:
        chunk: What was read.
        keep: All tokens, all but the first of each row, or a function that gives a mask.

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
    return value[kept.to(value.device)].flatten(1)


def check_vectors(at: Sequence[Site]) -> None:
    """Refuse sites that are no vector at each token, and repeated ones.

    Args:
        at: Sites to read.

    Raises:
        CaptureError: A site is a pattern, or there twice.
    """
    for site in at:
        if site.kind == "pattern":
            raise CaptureError(
                f"{site} has as many values at a token as there are tokens before it, so it is no "
                "vector of one width. Read it with capture or stream."
            )
    twice = next((site for index, site in enumerate(at) if site in at[:index]), None)
    if twice is not None:
        raise CaptureError(
            f"{twice} is asked for twice and has one place in what comes back. Name each site once."
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
