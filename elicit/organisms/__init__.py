"""Tiny trained pairs with a planted answer: truth cards, task files, weights, language."""

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
from elicit.results import lazily

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

__getattr__ = lazily(__name__, __file__)
