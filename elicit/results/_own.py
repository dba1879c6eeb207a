"""Whether a class that a file names is one of this package's own."""

from pathlib import Path

PACKAGE = __name__.partition(".")[0]


def is_own(module: str) -> bool:
    """Whether a module is one of this package's files, found without importing anything."""
    package, *parts = module.split(".")
    if package != PACKAGE or not parts or not all(part.isidentifier() for part in parts):
        return False
    place = Path(__file__).parents[1].joinpath(*parts)
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()
