"""Options of `elicit exists`, validated before any work."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from elicit.jobs._cued_spec import GradedSpec
from elicit.jobs._option import STATISTICS, TASKS, Option


class ExistsSpec(GradedSpec):
    """Test whether the base already has the behaviour that post shows."""

    command: ClassVar[str] = "exists"
    help_examples: ClassVar[tuple[str, ...]] = (
        "--pair organism:rl",
        "--pair organism:rl --sites resid_post.3,resid_post.4",
    )

    problems: Annotated[
        Path | None,
        Option(
            "Problems, 100 or more recommended. An embedded pair has its problems.",
            TASKS,
            "FILE",
            required="without --pair",
        ),
    ] = None
    strengths: Annotated[
        tuple[float, ...],
        Option(
            "Steering strengths, in units of the difference of means.",
            metavar="X,…",
            default="0.25,0.5,0.75,1,1.25,1.5,2",
        ),
    ] = ()
    n_random: Annotated[int, Option("Random directions.", metavar="N")] = Field(default=20, ge=1)
    n_dosed: Annotated[
        int,
        Option(
            "Problems on which each control chooses a strength of its own, which is reported "
            "beside; 0 leaves that out.",
            metavar="N",
        ),
    ] = Field(default=24, ge=0)
    n_redrawn: Annotated[
        int,
        Option(
            "Copies of the base with re-initialised weights, probed as a control; they take "
            "memory.",
            metavar="N",
        ),
    ] = Field(default=3, ge=0)
    margin: Annotated[
        float, Option("Loss of accuracy or coherence that counts as negligible.", STATISTICS, "P")
    ] = Field(default=0.1, gt=0, lt=1)
    least_share: Annotated[
        float, Option("Share of the gap that a sufficient direction must exceed.", STATISTICS, "P")
    ] = Field(default=0.5, ge=0, lt=1)
    least_effect: Annotated[float, Option("Smallest effect of interest.", STATISTICS, "X")] = Field(
        default=0.2, gt=0, lt=1
    )
