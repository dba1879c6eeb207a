"""One page for a pair of models: which layers matter, how sure that is, and what cannot be said."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elicit.report.job import ReportRun, run_report
    from elicit.report.page import render, write
    from elicit.report.spec import ReportSpec
    from elicit.report.text import summary_sentence

__all__ = ["ReportRun", "ReportSpec", "render", "run_report", "summary_sentence", "write"]

_HOMES = {
    "ReportRun": "job",
    "ReportSpec": "spec",
    "render": "page",
    "run_report": "job",
    "summary_sentence": "text",
    "write": "page",
}


def __getattr__(name: str) -> object:
    """Load the module that holds `name` when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
