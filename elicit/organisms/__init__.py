"""Tiny trained pairs with a planted answer: names to folders, truth cards, task files, weights."""

from typing import TYPE_CHECKING

from elicit.organisms.catalog import (
    OrganismError,
    OrganismModel,
    OrganismPair,
    is_organism,
    names,
    resolve,
    resolve_model,
)

if TYPE_CHECKING:
    from elicit.organisms.language import trace_behaviour
    from elicit.organisms.models import export, open_model

__all__ = [
    "OrganismError",
    "OrganismModel",
    "OrganismPair",
    "export",
    "is_organism",
    "names",
    "open_model",
    "resolve",
    "resolve_model",
    "trace_behaviour",
]


def __getattr__(name: str) -> object:
    """Load torch only when weights or tasks are needed."""
    if name == "trace_behaviour":
        from elicit.organisms import language

        return language.trace_behaviour
    if name in ("export", "open_model"):
        from elicit.organisms import models

        return getattr(models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
