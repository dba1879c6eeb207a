"""The command line, `elicit`."""

from elicit.cli.app import app, main

__all__ = ["app", "main"]
