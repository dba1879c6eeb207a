"""Does the base already reason, what elicits it, and which layers did post-training change?"""

import importlib
import pkgutil

_HOMES = {
    "ElicitError": "results",
    "Estimate": "results",
    "Execution": "runs",
    "Generation": "rollouts",
    "Inference": "stats",
    "ModelPair": "pair",
    "Problem": "tasks",
    "Result": "results",
    "Side": "pair",
    "Task": "tasks",
    "audit": "jobs",
    "edited": "edits",
    "load_pair": "pair",
    "load_result": "results",
    "load_task": "tasks",
}
"""Names of the package itself, by the room that holds them; the rooms are its other names."""
_ROOMS = {room.name for room in pkgutil.iter_modules(__path__) if not room.name.startswith("_")} - {
    "cli"
}

__all__ = sorted([*_HOMES, *_ROOMS])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    """Load a room when one of its names is first used: `import elicit` alone stays quick."""
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'elicit' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The names a user types."""
    return sorted(__all__)
