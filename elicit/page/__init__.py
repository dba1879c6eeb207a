"""HTML page for a pair of models: which layers matter, with uncertainty and limitations."""

from typing import TYPE_CHECKING

from elicit.results import lazily

if TYPE_CHECKING:
    from elicit.page.compared import Compared, ComparedModel, ComparedTask, Example
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
    "Compared",
    "ComparedModel",
    "ComparedTask",
    "Example",
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

__getattr__ = lazily(__name__, __file__)
