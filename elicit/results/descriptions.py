"""Descriptions of a result's fields, from the strings under them."""

import ast
import functools
import inspect
import textwrap
from dataclasses import is_dataclass

from elicit.results.axes import schema


@functools.cache
def descriptions(cls: type) -> dict[str, str]:
    """Docstring under each field, by field name; empty where the source cannot be read."""
    found: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if is_dataclass(owner):
            found.update(_own_descriptions(owner))
    return found


def _own_descriptions(cls: type) -> dict[str, str]:
    """Docstrings under the fields that `cls` itself declares."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        # Typed at a prompt: there is no source, and a result is as good without its captions.
        return {}
    body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef)), [])
    found: dict[str, str] = {}
    for node, after in zip(body, body[1:], strict=False):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            found[node.target.id] = inspect.cleandoc(after.value.value)
    return found


def captions(cls: type) -> dict[str, str]:
    """Description of each column of a table: of its field, and of the ends of an estimate."""
    described = descriptions(cls)
    found = dict(described)
    for array in schema(cls).arrays:
        field, _, end = array.name.partition(".")
        if array.is_end and field in described:
            side = "Lower" if end == "low" else "Upper"
            found[array.column] = f"{side} end of the interval of: {described[field]}"
    return found
