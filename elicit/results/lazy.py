"""Rooms whose names load when they are first used: importing a room costs nothing by itself."""

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path


def lazily(package: str, source: str) -> Callable[[str], object]:
    """`__getattr__` of a package for the names that its `if TYPE_CHECKING` block imports.

    So they are written once for the reader, the type checker and the interpreter.

    Args:
        package: `__name__` of the package.
        source: Its `__file__`.
    """
    homes = {
        alias.name: node.module
        for block in ast.parse(Path(source).read_text(encoding="utf-8")).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }

    def load(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return load
