"""One guard for every public function that may run a model."""

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import CellType, ModuleType
from typing import Any, TypeVar

from torch import nn

from elicit.results import surrounded
from elicit.surroundings._locks import hold
from elicit.surroundings._models import plain
from elicit.surroundings._state import neutral

F = TypeVar("F", bound=Callable[..., Any])

_BLOCK = contextmanager(lambda: iter(())).__code__
"""What every context manager made from a generator shares."""
_EMPTY = CellType()
_inside = threading.local()
"""Whether this thread is inside a guarded call."""


def guarded(function: F, *, hooks_allowed: bool = False) -> F:
    """Run a function in torch's default state, with the models it is given to itself.

    The outermost guarded call of a thread sets the state; calls inside it find it set. A generator
    function runs each of its steps so, not what its caller does between two of them.

    Args:
        function: A function or method; models are found among its arguments, directly, in a pair, a
            side or whatever else has one as an attribute, and in functions that are handed over.
        hooks_allowed: Whether the caller's own hooks may change what it reads.
    """
    if inspect.isgeneratorfunction(inspect.unwrap(function)):

        @functools.wraps(function)
        def stepped(*args: Any, **kwargs: Any) -> Iterator[Any]:
            models = _models_in((*args, *kwargs.values()))
            steps = function(*args, **kwargs)
            while True:
                with _entered(models, hooks_allowed):
                    try:
                        step = next(steps)
                    except StopIteration:
                        return
                yield step

        made: Any = stepped
    else:

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with _entered(_models_in((*args, *kwargs.values())), hooks_allowed):
                return function(*args, **kwargs)

        made = called
    made.is_guarded = True
    return made


def guard_room(
    name: str, *, runs_nothing: Collection[str] = (), reads_hooks: Collection[str] = ()
) -> None:
    """Guard all functions that a room hands out, so that none can be forgotten.

    Context managers are left as they are: what runs in their block is the caller's.

    Args:
        name: The room's module, whose `__all__` is complete.
        runs_nothing: Functions that run no model and compute nothing with activations.
        reads_hooks: Functions that read what the caller's own hooks leave there.
    """
    room = vars(sys.modules[name])
    for each in room["__all__"]:
        function = room.get(each)
        if not inspect.isfunction(function) or each in runs_nothing:
            continue
        if function.__code__ is not _BLOCK and not getattr(function, "is_guarded", False):
            room[each] = guarded(function, hooks_allowed=each in reads_hooks)


@contextmanager
def _entered(models: list[nn.Module], hooks_allowed: bool) -> Iterator[None]:
    """The known state, for one call."""
    with hold(*models):
        if getattr(_inside, "door", False):
            yield
            return
        with ExitStack() as stack:
            notes = stack.enter_context(neutral())
            notes += stack.enter_context(plain(models, hooks_allowed=hooks_allowed))
            stack.enter_context(surrounded(notes))
            _inside.door = True
            stack.callback(setattr, _inside, "door", False)
            yield


_HOLDERS = ("bridge", "base", "post", "model", "pair", "decomposed", "side")
"""Attributes in which arguments carry models."""


def _models_in(values: Iterable[object], depth: int = 0) -> list[nn.Module]:
    """Models among arguments, each once."""
    found: dict[int, nn.Module] = {}
    for value in values:
        if isinstance(value, nn.Module):
            found[id(value)] = value
        elif isinstance(value, ModuleType):
            continue
        elif depth < 3 and hasattr(value, "__dict__") and not callable(value):
            held = vars(value)
            inner = [held[name] for name in _HOLDERS if name in held]
            found |= {id(model): model for model in _models_in(inner, depth + 1)}
        elif depth < 2 and callable(value) and not isinstance(value, type):
            found |= {id(model): model for model in _models_in(_reached(value), depth + 1)}
        elif depth < 1 and isinstance(value, list | tuple | Mapping) and len(value) <= 64:
            items = value.values() if isinstance(value, Mapping) else value
            found |= {id(model): model for model in _models_in(items, depth + 1)}
    return list(found.values())


def _reached(function: Any) -> list[object]:
    """What a function that is handed over can run besides its arguments."""
    if isinstance(function, functools.partial):
        return [function.func, *function.args, *function.keywords.values()]
    if inspect.ismethod(function):
        return [function.__self__]
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    cells = [cell.cell_contents for cell in function.__closure__ or () if cell != _EMPTY]
    names = [name for name in code.co_names if name in function.__globals__]
    return [*cells, *(function.__globals__[name] for name in names)]
