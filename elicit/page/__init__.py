"""One page for a pair of models: which layers matter, how sure that is, and what cannot be said."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elicit.page.grafting.text import summary_sentence
    from elicit.page.page import render, write

__all__ = ["render", "summary_sentence", "write"]

_HOMES = {"render": "page", "summary_sentence": "grafting.text", "write": "page"}


def __getattr__(name: str) -> object:
    """Load the module that holds `name` when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
