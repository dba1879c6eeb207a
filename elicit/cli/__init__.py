"""The command line: `elicit report`, `elicit graft`, `elicit organisms`."""

from elicit.cli.app import app, main

__all__ = ["app", "main"]
