"""Shapes and types, checked by jaxtyping and beartype in one pass.

jaxtyping's own decorator checks the arguments, calls, and checks them again beside what comes back.
Here one function does all of it, made at the first call: the same checks at a fraction of the time.
In each test the first calls of every function are checked; the thousandth of an inner loop says no
more than they. `--full` uses jaxtyping's own at every call, so that neither can go wrong alone.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any, get_type_hints

import jaxtyping
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError
from jaxtyping._storage import pop_shape_memo, push_shape_memo

THEIRS = jaxtyping.jaxtyped
FIRST = 32
"""Calls of a function that are checked in each test."""
_test = 0


def next_test() -> None:
    """From now on first calls are counted anew."""
    global _test
    _test += 1


def jaxtyped(*, typechecker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What the import hook puts on each function and class.

    Functions inside functions are left out: made anew at each call, their checks would be, too.
    """

    def decorate(made: Any) -> Any:
        if isinstance(made, type):
            if dataclasses.is_dataclass(made) and made.__init__.__globals__ is not globals():
                made.__init__ = decorate(made.__init__)
            return made
        if "<locals>" in made.__qualname__:
            return made
        # Beartype checks what a generator yields, after the names of its axes are gone.
        if not isinstance(made, FunctionType) or inspect.isgeneratorfunction(made):
            return THEIRS(made, typechecker=typechecker)
        return _checked(made, typechecker)

    return decorate


def _checked(function: FunctionType, typechecker: Callable[[Any], Any]) -> Callable[..., Any]:
    config = jaxtyping.config
    checked: Callable[..., Any] | None = None
    counted, left = -1, FIRST

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        nonlocal checked, counted, left
        if counted != _test:
            counted, left = _test, FIRST
        if config.jaxtyping_disable or not left:
            return function(*args, **kwargs)
        left -= 1
        if checked is None:
            checked = typechecker(_resolved(function))
        push_shape_memo({})
        try:
            return checked(*args, **kwargs)
        except BeartypeCallHintViolation as error:
            raise TypeCheckError(f"Type-check error: {error}") from error
        finally:
            pop_shape_memo()

    return call


def _resolved(function: FunctionType) -> FunctionType:
    """A copy whose annotations are objects; what only a type checker can import may be anything."""
    names = function.__globals__
    copy = FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__, copy.__module__ = function.__qualname__, function.__module__
    for name, annotation in function.__annotations__.items():
        holder = SimpleNamespace(__annotations__={"it": annotation})
        try:
            copy.__annotations__[name] = get_type_hints(holder, names, include_extras=True)["it"]
        except Exception:
            copy.__annotations__[name] = Any
    return copy
