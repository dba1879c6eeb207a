"""Specification of `elicit graft`."""

from typing import Annotated, ClassVar, Literal

from elicit.jobs._option import Option
from elicit.jobs._report.spec import ScoredSpec


class GraftSpec(ScoredSpec):
    """Score both models, and one of them with parts of the other."""

    command: ClassVar[str] = "graft"
    help_examples: ClassVar[tuple[str, ...]] = (
        "--pair organism:shuffled-l3",
        "--pair organism:rl --parts L0-L2,L3.attn --direction revert",
    )

    parts: Annotated[
        tuple[str, ...],
        Option(
            "Parts to move, one at a time: L3, L3.attn, L3.q, L0-L2, embed, L1+L4.",
            metavar="PART,…",
            flags=("--part",),
            default="every layer",
        ),
    ] = ()
    direction: Annotated[
        Literal["revert", "graft"],
        Option("revert: post with a part of base; graft: base with a part of post."),
    ] = "graft"
