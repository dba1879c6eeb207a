"""Tiny trained pairs with a planted answer: truth cards, task files, weights, language."""

from importlib import import_module
from typing import TYPE_CHECKING

from elicit.organisms.catalog import (
    OrganismModel,
    OrganismPair,
    is_organism,
    names,
    resolve,
    resolve_model,
)
from elicit.organisms.errors import OrganismError

if TYPE_CHECKING:
    from elicit.organisms.behaviour import trace_behaviour
    from elicit.organisms.contrasts import (
        Prompted,
        TextPairs,
        decision,
        header,
        replace_entity,
        replace_operand,
        replace_start,
    )
    from elicit.organisms.language import REASONING_WORDS, World, shows_trace, with_header
    from elicit.organisms.models import export, open_model
    from elicit.organisms.variants import headed, traced

__all__ = [
    "OrganismError",
    "OrganismModel",
    "OrganismPair",
    "Prompted",
    "REASONING_WORDS",
    "TextPairs",
    "World",
    "decision",
    "export",
    "headed",
    "header",
    "is_organism",
    "names",
    "open_model",
    "replace_entity",
    "replace_operand",
    "replace_start",
    "resolve",
    "resolve_model",
    "shows_trace",
    "trace_behaviour",
    "traced",
    "with_header",
]

_LAZY = {
    "trace_behaviour": "behaviour",
    **dict.fromkeys(("export", "open_model"), "models"),
    **dict.fromkeys(("REASONING_WORDS", "World", "shows_trace", "with_header"), "language"),
    **dict.fromkeys(("headed", "traced"), "variants"),
}


def __getattr__(name: str) -> object:
    """Load torch and numpy only when weights or texts are needed."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"elicit.organisms.{_LAZY.get(name, 'contrasts')}")
    return getattr(module, name)
