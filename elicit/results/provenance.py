"""Where a number comes from: which weights, which versions, which arguments."""

import functools
import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, fields

from elicit.results.codec import refuse_unlike
from elicit.results.errors import ResultError
from elicit.results.store import plain

# Distribution names: read from their metadata, because importing them would cost seconds.
_DISTRIBUTIONS = {
    "elicit": "elicit-interp",
    "numpy": "numpy",
    "sae_lens": "sae-lens",
    "torch": "torch",
    "transformer_lens": "transformer-lens",
    "transformers": "transformers",
}


_around: ContextVar[tuple[str, ...]] = ContextVar("surroundings", default=())


@contextmanager
def surrounded(notes: Sequence[str]) -> Iterator[None]:
    """Let every provenance that is made in a block say what was switched off for it.

    Args:
        notes: A clause for each thing.
    """
    token = _around.set(tuple(notes))
    try:
        yield
    finally:
        _around.reset(token)


def matmul_precision() -> str:
    """Precision in which torch multiplies float32 matrices; `highest` is float32 itself."""
    import torch

    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # torch's switches disagree
        return "mixed"


def surroundings() -> list[str]:
    """What is switched off around the call that is going on."""
    return list(_around.get())


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Names and versions found once per process."""
    found = [("python", platform.python_version())]
    for name, distribution in _DISTRIBUTIONS.items():
        try:
            found.append((name, importlib.metadata.version(distribution)))
        except importlib.metadata.PackageNotFoundError:
            found.append((name, "not installed"))
    return tuple(found)


def installed_versions() -> dict[str, str]:
    """Versions of elicit and of what its numbers depend on, found without importing any of it."""
    return dict(_versions())


@dataclass(frozen=True)
class ModelId:
    """Name of a model and digest of its weights."""

    name: str
    """Hub id, folder or organism name, as the user gave it."""
    digest: str
    """SHA-256 over names, dtypes, shapes and bytes of its weights."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Origin of a result: enough to tell whether two results may differ.

    It holds no clock time on purpose: results of the same run are the same bytes, whenever it ran.
    A run's times are in its `run.json`.

    Raises:
        ResultError: `arguments` holds something that JSON cannot.
    """

    base: ModelId | None = None
    """The base model."""
    post: ModelId | None = None
    """The post-trained model."""
    versions: dict[str, str] = field(default_factory=installed_versions)
    """Version of each library that the numbers depend on."""
    seed: int | None = None
    """Seed of every random choice; None where nothing was drawn."""
    dtype: str | None = None
    """Dtype the models computed in, for example `float32`."""
    device: str | None = None
    """Device the models ran on, for example `cpu`."""
    matmul_precision: str = field(default_factory=matmul_precision)
    """Precision of products of float32 matrices; `highest` is float32 itself."""
    surroundings: list[str] = field(default_factory=surroundings)
    """What the caller had switched on and was switched off for this result, a clause each."""
    arguments: dict[str, object] = field(default_factory=dict)
    """Arguments of the question, JSON values only."""
    task_digests: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each set of problems, by its name."""

    def __post_init__(self) -> None:
        """Hold the arguments as JSON reads them back, so that saved and loaded are equal."""
        object.__setattr__(self, "arguments", plain(self.arguments, "arguments"))

    def to_json(self) -> dict[str, object]:
        """Provenance as a JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "Provenance":
        """Provenance from what `to_json` gave.

        Raises:
            ResultError: Keys are missing or unknown, or a value has another type.
        """
        names = {item.name for item in fields(cls)}
        if set(value) != names:
            raise ResultError(
                f"A provenance has the keys {sorted(names)} and this one has {sorted(value)}, "
                "so it is from another version of elicit. Recompute the result with this version."
            )
        try:
            models = {
                role: None if value[role] is None else ModelId(**value[role])  # pyright: ignore[reportCallIssue]
                for role in ("base", "post")
            }
            refuse_unlike(cls, {**value, **models})
            return cls(**{**value, **models})  # pyright: ignore[reportArgumentType]
        except TypeError as error:
            raise ResultError(
                "A provenance does not name its models by `name` and `digest`, so it is from "
                "another version of elicit. Recompute the result with this version."
            ) from error
