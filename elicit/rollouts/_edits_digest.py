"""Digest of edits, so that checkpoints under other edits are told apart."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from elicit.edits import Edit, Shift, Where
from elicit.results import ResultError, digest_json, digest_tensors, encode
from elicit.rollouts.errors import RolloutError


def edits_digest(edits: Sequence[Edit], *, by_identity: bool = False) -> str:
    """SHA-256 of edits: tensors by value, functions by their digest.

    Args:
        edits: In order of application.
        by_identity: Whether a function without a digest is identified by its object, which is valid
            only within one process.

    Raises:
        RolloutError: An edit has a function without a digest.
    """
    arrays: dict[str, Tensor] = {}
    plain = tuple(
        _digested(edit, by_identity) if isinstance(edit, Shift) else edit for edit in edits
    )
    fields = encode(plain, "edits", arrays)
    return digest_json([fields, digest_tensors(arrays)])


@dataclass(frozen=True)
class _DigestedShift:
    """A shift with its function's digest in place of the function."""

    site: str
    where: Where
    rows: tuple[int, ...] | None
    scale: float | Tensor
    width: int | None
    shift: str


def _digested(edit: Shift, by_identity: bool) -> Shift | _DigestedShift:
    """The fields of a shift, with its function identified by name if it is not a value."""
    digest = getattr(edit.shift, "digest", None)
    if digest is None:
        try:
            encode(edit.shift, "shift", {})
        except ResultError as error:
            if not by_identity:
                raise RolloutError(
                    f"{edit} has a function without a digest, so its checkpoints could not "
                    "be told from those of another function. Give it an attribute `digest`, a "
                    "string that names all it depends on, or pass no checkpoint."
                ) from error
            digest = f"object {id(edit.shift)}"
        else:
            return edit
    return _DigestedShift(
        str(edit.site), edit.where, edit.rows, edit.scale, edit.width, str(digest)
    )
