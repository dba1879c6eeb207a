"""What a job has before it begins: its inputs, and what they are known by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from elicit.jobs._asked import Asked

I = TypeVar("I")  # noqa: E741


@dataclass(frozen=True)
class Prepared(Generic[I]):
    """Inputs of a job, checked against the models."""

    inputs: I
    identity: Mapping[str, object]
    """Digests of everything but models and options that determines the values."""
    notes: Sequence[str] = ()
    """Remarks on how the inputs were read."""
    asked: Callable[[I], Sequence[Asked]] = lambda inputs: ()
    """What the inputs ask of the models, for the box at the top of the page."""
