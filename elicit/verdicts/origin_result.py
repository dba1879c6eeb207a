"""The verdict on origin, with every part that it rests on."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.elicitation import ForcedForm, Transplant
from elicit.results import Estimate, Result
from elicit.texts import TextBits


@dataclass(frozen=True, eq=False, kw_only=True)
class Origin(Result):
    """Whether what post can do was elicited from base or created, each part with its interval."""

    verdict: str
    """`elicited`: an arm told at most the answers closes most of the gap in post's own way.
    `created`: no arm does, the same arms do where the skill is known to be, and post's difference
    holds it. `not elicited`: the same without the last. `partly`: some of the gap, not most.
    `another route`: most of the gap in another way than post's. `undecided`. `no gap`. `lost`: post
    is worse."""
    reason: str
    """What decided, with its numbers."""
    needed: float
    """Test problems with which shares like these would decide; infinite where no number would, NaN
    where problems are not what is missing."""
    bits: float
    """Bits within which the verdict holds: those told to the best arm where it is `elicited`,
    `partly` or `another route`; the most told to an arm that works elsewhere where it is `created`
    or `not elicited`; else NaN."""
    gap: Annotated[Estimate, ""]
    """Post's share of right answers minus base's, on the test problems."""
    best: str
    """The arm that was chosen, on other problems, among those told nothing or the answers; empty
    where there is none."""
    best_share: Annotated[Estimate, ""]
    """Share of the gap that it closes on the test problems."""
    route_shown: Annotated[Estimate, ""]
    """Share of texts that show the behaviour, best arm minus post: near 0 on the same route."""
    route_verified: Annotated[Estimate, ""]
    """The same of texts that are right with steps that hold."""
    arm: tuple[str, ...]
    """Every arm, in the order in which they were tried."""
    sees: tuple[str, ...]
    """What each was told."""
    control: Bool[Tensor, " arm"]
    """Whether it is a control."""
    bits_told: Float[Tensor, " arm"]
    """Upper bound on what it was told, bits."""
    n_trained: Int[Tensor, " arm"]
    """Parameters that were trained."""
    n_tokens: Int[Tensor, " arm"]
    """Tokens written or read to fit and to choose."""
    flops: Float[Tensor, " arm"]
    """Floating-point operations of the same."""
    setting: tuple[str, ...]
    """Setting that was chosen."""
    chosen: Float[Tensor, " arm"]
    """Accuracy on the problems to choose on."""
    accuracy: Annotated[Estimate, "arm"]
    """Accuracy on the test problems, mean over seeds."""
    share: Annotated[Estimate, "arm"]
    """Share of the gap that each closes, each interval alone."""
    joint: Annotated[Estimate, "arm"]
    """The same with intervals that hold for all arms and the forced form at once, for whoever picks
    one out."""
    share_sampled: Annotated[Estimate, "arm"]
    """Share of the gap in accuracy at temperature 1; NaN where that gap is not clear."""
    lowest_seed: Float[Tensor, " arm"]
    """Smallest share among its seeds."""
    highest_seed: Float[Tensor, " arm"]
    """Largest share among its seeds."""
    forced_share: Annotated[Estimate, ""]
    """Share that base closes when it begins as post does; NaN if not tried."""
    carried: Annotated[Estimate, ""]
    """Share of a host's gap to post that post minus base closes there; NaN if not tried."""
    carried_on: str
    """The host, and what was added to it; empty if not tried."""
    text_part: tuple[str, ...]
    """`whole text`, `first tokens`, `after them`."""
    text_bits: Annotated[Estimate, "text_part"]
    """Bits of post's own texts that base lacks, KL(post‖base); NaN if not measured."""
    learning_bits: float
    """Code length of correct texts while base learns them, bits; NaN if not measured."""
    learning_ratio: float
    """The same over that of the pair known to have the skill; NaN if not measured."""
    known_pair: tuple[str, ...]
    """Pairs of known truth on which the same arms were tried."""
    known_truth: tuple[str, ...]
    """What is known of each."""
    known_verdict: tuple[str, ...]
    """Its verdict."""
    known_passed: Bool[Tensor, " known_pair"]
    """Whether that is right."""
    known_share: Annotated[Estimate, "known_pair"]
    """Share that the best arm closes there."""
    pair: str
    """The two models."""
    n_problems: int
    """Test problems."""
    n_choose: int
    """Problems that settings and the best arm were chosen on."""
    level: float
    """Nominal coverage of the intervals."""

    @property
    def words(self) -> str:
        """The verdict with the number that belongs to it."""
        if self.verdict in ("elicited", "partly"):
            return f"{self.verdict} (at least {self.best_share.low.item():.2f})"
        if self.verdict in ("not elicited", "created"):
            within = f"not elicited within {self.bits:,.0f} bits"
            return within if self.verdict == "not elicited" else f"created ({within})"
        if self.verdict == "undecided" and math.isfinite(self.needed):
            return f"undecided (about {self.needed:,.0f} test problems would decide)"
        return self.verdict

    def summary(self) -> dict[str, Any]:
        """Verdict, share of the best arm with its lower end first, bits, and every arm."""
        return {
            "verdict": self.verdict,
            "words": self.words,
            "reason": self.reason,
            "share": _low_first(self.best_share),
            "bits": _plain(self.bits),
            "needed": _plain(self.needed),
            "best": self.best,
            "gap": _low_first(self.gap),
            "arms": {
                name: {
                    "share": _low_first(self.share[i]),
                    "sees": self.sees[i],
                    "control": bool(self.control[i]),
                    "bits": _plain(self.bits_told[i].item()),
                    "setting": self.setting[i],
                }
                for i, name in enumerate(self.arm)
            },
            "forced_form": _low_first(self.forced_share),
            "transplant": _low_first(self.carried),
            "text_bits": {
                part: _low_first(self.text_bits[i]) for i, part in enumerate(self.text_part)
            },
            "known_pairs": {
                name: {"truth": self.known_truth[i], "verdict": self.known_verdict[i]}
                for i, name in enumerate(self.known_pair)
            },
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """What the verdict rests on besides the arms; what is left out limits what can be said."""

    text_bits: TextBits | None = None
    """Bits of post's texts that base lacks; shown, no criterion."""
    forced: ForcedForm | None = None
    """Base made to begin as post does."""
    transplant: Transplant | None = None
    """Post's difference on a host without the skill: without it, or `learning_bits`, nothing is
    called created."""
    learning_bits: float = math.nan
    """Code length of correct texts while base learns them, bits: the same number of texts, in the
    same way, as of `has_skill`."""
    has_skill: Origin | None = None
    """The same arms on a pair known to have the skill: without it nothing is called created or not
    elicited."""
    lacks_skill: Origin | None = None
    """The same arms on a pair known to lack it: if they close the gap there, nothing is called
    elicited."""


def _low_first(estimate: Estimate) -> dict[str, float | None]:
    """The lower end first, which is what may be claimed."""
    value, low, high = estimate.ends
    return {"low": _plain(low), "value": _plain(value), "high": _plain(high)}


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
