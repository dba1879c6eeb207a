"""What may be concluded, and how surely: verdicts that rest on several questions at once."""

from elicit.verdicts import existence
from elicit.verdicts.design import LadderDesign
from elicit.verdicts.errors import VerdictError
from elicit.verdicts.existence import assess
from elicit.verdicts.ladder import Ladder
from elicit.verdicts.tests import fewest_draws

__all__ = ["Ladder", "LadderDesign", "VerdictError", "assess", "existence", "fewest_draws"]
