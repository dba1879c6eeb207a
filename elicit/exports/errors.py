"""Errors of exports."""

from collections.abc import Iterator
from contextlib import contextmanager

from elicit.results import ElicitError


class ExportError(ElicitError):
    """Something that cannot be written for another tool."""


@contextmanager
def needs(package: str, extra: str, what: str) -> Iterator[None]:
    """A block that imports a package which only this export needs.

    Args:
        package: Its name on the index.
        extra: Extra of this package that brings it.
        what: What is written with it.

    Raises:
        ExportError: It is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ExportError(
            f"{what} is written with the package {package}, which is not installed, so nothing was "
            f"written. Run: python -m pip install 'elicit-interp[{extra}]'"
        ) from error
