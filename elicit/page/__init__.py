"""HTML page for a pair of models: which layers matter, with uncertainty and limitations."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elicit.page.page import render, write
    from elicit.page.plots import Key, Plot, plot
    from elicit.page.registry import Glance, Mark, PageError, Part, first, register, sentences
    from elicit.page.section import Fragment, Section
    from elicit.page.tables import (
        Cell,
        Column,
        Table,
        effect_cell,
        estimate_cell,
        result_table,
        table_of,
    )

__all__ = [
    "Cell",
    "Column",
    "Fragment",
    "Glance",
    "Key",
    "Mark",
    "PageError",
    "Part",
    "Plot",
    "Section",
    "Table",
    "effect_cell",
    "estimate_cell",
    "first",
    "plot",
    "register",
    "render",
    "result_table",
    "sentences",
    "table_of",
    "write",
]

_HOMES = {
    "Cell": "tables",
    "Column": "tables",
    "Fragment": "section",
    "Glance": "registry",
    "Key": "plots",
    "Mark": "registry",
    "PageError": "registry",
    "Part": "registry",
    "Plot": "plots",
    "Section": "section",
    "Table": "tables",
    "effect_cell": "tables",
    "estimate_cell": "tables",
    "first": "registry",
    "plot": "plots",
    "register": "registry",
    "render": "page",
    "result_table": "tables",
    "sentences": "registry",
    "table_of": "tables",
    "write": "page",
}


def __getattr__(name: str) -> object:
    """Import the module that defines `name` on first access."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
