"""Errors that a user of elicit can act on."""


class ElicitError(Exception):
    """Base of all errors a user can act on: what disagrees, why it matters, what to do."""


class ResultError(ElicitError):
    """A result, or a file that should hold one, is not what it claims to be."""


class RunError(ElicitError):
    """A run directory cannot be opened, continued or written."""


class DamagedFileWarning(UserWarning):
    """A file of a run is truncated, altered or foreign: it was named and is made anew."""
