"""What may be concluded, and how surely: verdicts that rest on several questions at once."""

from elicit.verdicts import existence
from elicit.verdicts.errors import VerdictError
from elicit.verdicts.ladder import Ladder

__all__ = ["Ladder", "VerdictError", "existence"]
