"""The rule of the verdict on origin, on plain outcomes: no model is read here.

The best arm that was told least is chosen on some problems and judged on others. Chosen and judged
on the same ones, ten arms at the border pass in a fifth to a third of all data sets.

That no arm closes most of the gap needs no correction for their number: all of them have to lie
below the border, and if one truly does not, its own interval is the one that lets it through, in
2.5 % of data sets (an intersection-union test, Berger 1982). Intervals that hold for all arms at
once are there for whoever picks one out.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from elicit.results import Estimate
from elicit.stats import Inference, outcome_difference, outcome_shares
from elicit.verdicts._origin_outcomes import (
    HALF,
    LEARNING,
    LEAST_GAP,
    MOST,
    ROUTE,
    SOME,
    ArmOutcomes,
    Outcomes,
    best_arm,
)

OriginVerdict = Literal[
    "elicited", "created", "not elicited", "partly", "another route", "undecided", "no gap", "lost"
]


@dataclass(frozen=True, eq=False, kw_only=True)
class OriginJudged:
    """A verdict on origin, and what it rests on."""

    verdict: OriginVerdict
    """The verdict."""
    reason: str
    """What decided, with its numbers."""
    needed: float
    """Test problems with which these shares would decide; NaN where problems are not what is
    missing, or nothing is."""
    bits: float
    """Bits within which the verdict holds: told to the best arm, or the most told to an arm that
    works elsewhere; NaN where there is no gap."""
    gap: Estimate
    """Post minus base, share of problems."""
    share: Estimate
    """Share of the gap that each arm closes, each interval alone."""
    joint: Estimate
    """The same with intervals that hold for all arms, and the forced form, at once."""
    forced: Estimate
    """Share that the forced form closes; NaN if not tried."""
    best: int
    """Place of the arm that was chosen; -1 where none may elicit."""
    route_shown: Estimate
    """Share of texts that show the behaviour, best arm minus post."""
    route_verified: Estimate
    """The same of texts that are right with steps that hold."""


def judge_origin(read: Outcomes, *, inference: Inference = Inference()) -> OriginJudged:
    """Where post's ability comes from, by the rule.

    Args:
        read: Outcomes on problems that nothing was fitted or chosen on.
        inference: Coverage of the intervals.
    """
    return _Rule(read, inference.level).judged()


class _Rule:
    def __init__(self, read: Outcomes, level: float) -> None:
        self.read, self.level = read, level
        self.base, self.post = read.base.double().numpy(), read.post.double().numpy()
        self.n, self.arms = len(self.base), read.arms
        self.gap = outcome_difference(self.post, self.base, level=level)
        if read.identical:
            self.gap = np.zeros(3)
        self.gains = np.stack([arm.right.double().numpy() - self.base for arm in self.arms], axis=1)
        refuting = [i for i, arm in enumerate(self.arms) if arm.may_refute]
        forced = [] if read.forced is None else [read.forced.double().numpy() - self.base]
        apart = self.post - self.base
        # The forced form is the last column.
        self.columns = np.stack([*self.gains.T, *forced], axis=1)
        self.refuting = [*refuting, *range(len(self.arms), self.columns.shape[1])]
        self.share = outcome_shares(self.columns, apart, level=level)
        self.joint = outcome_shares(self.columns, apart, level=level, joint=True)
        self.names = [*(arm.name for arm in self.arms), "the forced form"]
        self.best = best_arm(self.arms)

    def judged(self) -> OriginJudged:
        value, low, high = self.gap
        shown = f"gap {_shown(self.gap)}"
        if high < 0:
            return self._told("lost", f"{shown}: post is right less often than base")
        if low <= 0 or self.read.identical:
            more = "" if self.read.identical else f"; a gap of {high:.2f} is not excluded"
            return self._told("no gap", f"{shown}{more}", needed=self._gap_needed(0.0))
        if self.best < 0:
            return self._undecided(f"{shown}; no arm sees nothing or the answers alone")
        arm = self.arms[self.best]
        own = self.share[:, self.best]
        told = f"{arm.bits:.3g} bit{'s' * (f'{arm.bits:.3g}' != '1')}"
        said = f"{shown}; {arm.name} ({told}) closes {_shown(own)}"
        if own[1] > HALF:
            return self._reached(said, arm)
        highest = max(self.refuting, key=lambda i: self._upper(i), default=-1)
        upper = self._upper(highest)
        if upper < HALF:
            return self._refuted(f"{shown}; no arm closes more than {upper:.2f}", upper)
        if own[1] > SOME and own[2] < MOST:
            needed = self._share_needed(highest) if own[2] > HALF else math.nan
            return self._told("partly", said, bits=arm.bits, needed=needed)
        which = f"{self.names[highest]} may close {_shown(self.share[:, highest])}"
        return self._undecided(f"{said}; {which}", needed=self._share_needed(highest))

    def _reached(self, said: str, arm: ArmOutcomes) -> OriginJudged:
        """Most of the gap is closed: is it a gap, a route and an instrument that count?"""
        if self.gap[1] < LEAST_GAP:
            what = f"{said}, but the gap may be below {LEAST_GAP:g}"
            return self._undecided(what, needed=self._gap_needed(LEAST_GAP))
        if not self.read.absent_passed:
            what = "the same arms also close the gap of a pair known to lack the skill"
            return self._undecided(f"{said}, but {what}")
        alike, how = self._route(arm)
        if alike is None:
            return self._undecided(f"{said}, but {how}", needed=self._route_needed(arm))
        if not alike:
            return self._told("another route", f"{said}, but {how}", bits=arm.bits)
        return self._told("elicited", f"{said}; {how}", bits=arm.bits)

    def _refuted(self, said: str, upper: float) -> OriginJudged:
        """No arm closes most of the gap: would these arms have, and does post carry the skill?"""
        worked = self.read.worked
        if worked is None:
            return self._undecided(f"{said}, but no pair known to have the skill was tried beside")
        bits = [arm.bits for arm in self.arms if arm.may_elicit and arm.name in worked]
        if not bits:
            what = "no arm closes the gap of a pair known to have the skill either"
            return self._undecided(f"{said}, but {what}")
        known = f"{said}, with up to {max(bits):.3g} bits, where {len(bits)} arms work elsewhere"
        if self.read.carried > HALF:
            what = f"post’s difference closes at least {self.read.carried:.2f} on another host"
            return self._told("created", f"{known}; {what}", bits=max(bits))
        if self.read.learning >= LEARNING:
            what = f"correct texts take {self.read.learning:.3g} times the bits to learn"
            return self._told("created", f"{known}; {what}", bits=max(bits))
        return self._told("not elicited", known, bits=max(bits))

    def _route(self, arm: ArmOutcomes) -> tuple[bool | None, str]:
        """Whether an arm answers in the way post does."""
        shown, verified = self._routes(arm)
        said = f"the share of texts that show the behaviour is {_shown(shown)} from post’s"
        post_verifies = float(self.read.post_verified.nanmean()) >= HALF
        if _within(shown):
            return True, said
        if post_verifies and _within(verified):
            return True, f"the share whose steps hold is {_shown(verified)} from post’s"
        if shown[1] > ROUTE or shown[2] < -ROUTE:
            return False, f"{said}: another route"
        return None, f"{said}, so whether it is post’s route is open"

    def _routes(self, arm: ArmOutcomes) -> tuple[np.ndarray, np.ndarray]:
        pairs = ((arm.shown, self.read.post_shown), (arm.verified, self.read.post_verified))
        each = []
        for own, post in pairs:
            known = ~(own.isnan() | post.isnan())
            rows = [one[known].double().numpy() for one in (own, post)]
            each.append(outcome_difference(*rows, level=self.level))
        return each[0], each[1]

    def _upper(self, i: int) -> float:
        """Upper end of a share; infinite where there is none."""
        if i < 0:
            return math.inf
        end = float(self.share[2, i])
        return math.inf if math.isnan(end) else end

    def _gap_needed(self, border: float) -> float:
        return _problems(self.post - self.base - border, self._t())

    def _share_needed(self, i: int) -> float:
        """Problems with which the best arm's share, or else the largest, leaves the border."""
        apart = HALF * (self.post - self.base)
        own = _problems(self.gains[:, self.best] - apart, self._t())
        if self.share[0, self.best] > HALF:
            return own
        return _problems(apart - self.columns[:, i], self._t())

    def _route_needed(self, arm: ArmOutcomes) -> float:
        apart = (arm.shown - self.read.post_shown).double().numpy()
        return _problems(np.sign(ROUTE - abs(apart.mean())) * (ROUTE - abs(apart)), self._t())

    def _t(self) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(max(self.n - 1, 1), (1 + self.level) / 2))

    def _undecided(self, reason: str, *, needed: float = math.nan) -> OriginJudged:
        return self._told("undecided", reason, needed=needed)

    def _told(
        self,
        verdict: OriginVerdict,
        reason: str,
        *,
        needed: float = math.nan,
        bits: float = math.nan,
    ) -> OriginJudged:
        n = len(self.arms)
        routes = [np.full(3, np.nan)] * 2
        if self.best >= 0:
            routes = self._routes(self.arms[self.best])
        forced = self.share[:, n] if self.share.shape[1] > n else np.full(3, np.nan)
        return OriginJudged(
            verdict=verdict,
            reason=reason,
            needed=needed,
            bits=bits,
            gap=Estimate.of(self.gap),
            share=Estimate.of(self.share[:, :n]),
            joint=Estimate.of(self.joint[:, :n]),
            forced=Estimate.of(forced),
            best=self.best,
            route_shown=Estimate.of(routes[0]),
            route_verified=Estimate.of(routes[1]),
        )


def _within(ends: np.ndarray) -> bool:
    return bool(ends[1] >= -ROUTE and ends[2] <= ROUTE)


def _problems(towards: np.ndarray, critical: float) -> float:
    """Problems with which the interval of such a mean excludes 0; infinite where it is not above.

    More than there are, because these did not decide; four for those that intervals add.
    """
    mean = float(towards.mean()) if len(towards) else 0.0
    if not mean > 0:
        return math.inf
    enough = math.ceil(critical**2 * float((towards**2).mean()) / mean**2) + 4
    return float(max(enough, len(towards) + 1))


def _shown(ends: np.ndarray) -> str:
    value, low, high = (float(end) for end in ends)
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]".replace("-", "−")
