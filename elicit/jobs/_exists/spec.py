"""What `elicit exists` was asked to do, checked before any work."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from elicit.jobs._cued_spec import GradedSpec
from elicit.jobs._option import STATISTICS, TASKS, Option


class ExistsSpec(GradedSpec):
    """Find how far the evidence goes that the base already has what post shows."""

    command: ClassVar[str] = "exists"

    problems: Annotated[
        Path | None,
        Option(
            "Problems as JSONL, 100 or more for a useful verdict. An embedded pair brings its own.",
            TASKS,
            "FILE",
        ),
    ] = None
    strengths: Annotated[
        tuple[float, ...],
        Option(
            "Strengths of steering, in units of the difference of means.",
            metavar="X,…",
            default="0.25,0.5,0.75,1,1.25,1.5,2",
        ),
    ] = ()
    n_random: Annotated[int, Option("Random directions.", metavar="N")] = Field(default=20, ge=1)
    n_redrawn: Annotated[
        int,
        Option(
            "Copies of the base with re-initialised weights, probed as a control; they need "
            "memory.",
            metavar="N",
        ),
    ] = Field(default=3, ge=0)
    margin: Annotated[
        float, Option("Loss of accuracy or coherence that counts as none.", STATISTICS, "P")
    ] = Field(default=0.1, gt=0, lt=1)
    least_share: Annotated[
        float, Option("Share of the gap that sufficiency must exceed.", STATISTICS, "P")
    ] = Field(default=0.5, ge=0, lt=1)
    least_effect: Annotated[float, Option("Smallest effect that matters.", STATISTICS, "X")] = (
        Field(default=0.2, gt=0, lt=1)
    )
