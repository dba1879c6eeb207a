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
    from elicit.organisms.drawn import drawn_task
    from elicit.organisms.language import (
        REASONING_WORDS,
        Chain,
        World,
        draw_chain,
        shows_trace,
        with_header,
    )
    from elicit.organisms.models import export, open_model
    from elicit.organisms.thoughts import (
        altered_trace,
        backward_question,
        checks,
        critique,
        edited_question,
        hedged_trace,
        incomplete_question,
        n_checks,
        random_trace,
        read_chain,
        ruled,
        ruled_trace,
        unruled_question,
        with_cue,
    )
    from elicit.organisms.variants import cued, headed, traced

__all__ = [
    "Chain",
    "OrganismError",
    "OrganismModel",
    "OrganismPair",
    "Prompted",
    "REASONING_WORDS",
    "TextPairs",
    "World",
    "altered_trace",
    "backward_question",
    "checks",
    "critique",
    "cued",
    "decision",
    "draw_chain",
    "drawn_task",
    "edited_question",
    "export",
    "headed",
    "header",
    "hedged_trace",
    "incomplete_question",
    "is_organism",
    "n_checks",
    "names",
    "open_model",
    "random_trace",
    "read_chain",
    "replace_entity",
    "replace_operand",
    "replace_start",
    "resolve",
    "resolve_model",
    "ruled",
    "ruled_trace",
    "shows_trace",
    "trace_behaviour",
    "traced",
    "unruled_question",
    "with_cue",
    "with_header",
]

__getattr__ = lazily(__name__, __file__)
