"""Does the base already reason, what elicits it, and which layers did post-training change?"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elicit import (
        capture,
        directions,
        edits,
        elicitation,
        features,
        grafting,
        metrics,
        organisms,
        patching,
        report,
        representations,
        revision,
        sites,
        stats,
        verdicts,
        weights,
    )
    from elicit.edits import edited
    from elicit.pair import ModelPair, load_pair
    from elicit.results import ElicitError, Result, load_result
    from elicit.tasks import Problem, Task, load_task

__all__ = [
    "ElicitError",
    "ModelPair",
    "Problem",
    "Result",
    "Task",
    "capture",
    "directions",
    "edited",
    "edits",
    "elicitation",
    "features",
    "grafting",
    "load_pair",
    "load_result",
    "load_task",
    "metrics",
    "organisms",
    "patching",
    "report",
    "representations",
    "revision",
    "sites",
    "stats",
    "verdicts",
    "weights",
]

_HOMES = {
    "ElicitError": "results",
    "ModelPair": "pair",
    "Problem": "tasks",
    "Result": "results",
    "Task": "tasks",
    "edited": "edits",
    "load_pair": "pair",
    "load_result": "results",
    "load_task": "tasks",
}
_ROOMS = {
    "capture",
    "directions",
    "edits",
    "elicitation",
    "features",
    "grafting",
    "metrics",
    "organisms",
    "patching",
    "report",
    "representations",
    "revision",
    "sites",
    "stats",
    "verdicts",
    "weights",
}


def __getattr__(name: str) -> object:
    """Load a room when one of its names is first used: `import elicit` alone stays quick."""
    if name in _ROOMS:
        return importlib.import_module(f"elicit.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"elicit.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'elicit' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The names a user types."""
    return sorted(__all__)
