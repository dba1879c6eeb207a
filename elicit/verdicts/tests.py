"""From numbers of problems to a verdict: what must hold, how sure it is, and what follows.

Nothing here knows of models, so that the chance of a false verdict can be counted by simulation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Literal

import numpy as np
from jaxtyping import Float

from elicit.stats import (
    Inference,
    Interval,
    holm,
    max_t,
    minimum_detectable_effect,
    paired_permutation,
    problem_mean,
    wilson,
)

Status = Literal["passed", "trivial", "not distinguishable", "under-powered", "not run"]
FREED = "controls at strengths of their own"
"""Name of the strongest control where each pushes as far as suits it."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How verdicts are reached."""

    inference: Inference
    """Intervals, sign flips and seed; 1 - level is what all p-values of a ladder are held to."""
    least_effect: float
    """Smallest effect that matters: evidence that would miss it is under-powered."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pushes:
    """What controls that steer do on every problem."""

    same: Float[np.ndarray, "draw problem"]
    """Random directions that push as far as the direction."""
    freed: Float[np.ndarray, "control problem"] | None = None
    """All controls, each at a strength of its own; None where they had none."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing that must hold for a rung."""

    what: str
    """In words."""
    p: float
    """One-sided p-value of its being so: 1 where the effect is not above 0."""
    effect: Interval
    """What must be above 0."""
    detectable: float
    """Smallest effect that so many problems would likely show, or, where a loss is to be excluded,
    the largest that they leave room for when nothing is lost."""
    weak: bool
    """Whether that is too much, so that its not being shown says little."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was measured for a rung, not yet judged."""

    value: Interval | None = None
    """The rung's number; None where it was not measured."""
    control: Interval | None = None
    """The same number under its strongest control."""
    control_name: str = ""
    """Which control that is."""
    claims: tuple[Claim, ...] = ()
    """All that must hold; none where it was not run."""
    reason: str = ""
    """Why it was not run, or what a reader should know."""
    arms: Mapping[str, Interval] | None = None
    """The number under everything else that was tried."""
    trivial: bool = False
    """Whether re-initialised weights pass the rung as well."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Evidence with its verdict."""

    evidence: Evidence
    status: Status
    p: float
    """Of the rung, adjusted over all rungs that were run (Holm); NaN where it was not run."""
    reason: str


def refused(reason: str, *, value: Interval | None = None) -> Evidence:
    """A rung that says nothing, and why."""
    return Evidence(value=value, reason=reason)


def rate(values: Float[np.ndarray, " problem"], options: Options) -> Interval:
    """A mean over problems; of values that are all 0 or 1 a proportion (Wilson)."""
    if np.isin(values, (0.0, 1.0)).all():
        return wilson(int(values.sum()), len(values), level=options.inference.level)
    return _mean(values, options)


def above(
    what: str,
    values: Float[np.ndarray, " problem"],
    reference: Float[np.ndarray, " problem"],
    options: Options,
) -> Claim:
    """That the values are above a reference on the same problems."""
    found = paired_permutation(
        values, reference, n_resamples=options.inference.n_resamples, seed=options.inference.seed
    )
    difference = values - reference
    # One more problem on each side: differences that are all equal have some spread all the same.
    room = np.append(difference, [difference.mean() - 1, difference.mean() + 1])
    detectable = minimum_detectable_effect(room, level=options.inference.level)
    return Claim(
        what=what,
        # The two-sided p is not halved, so that a one-sided claim errs half as often as it may.
        p=found.p if found.value > 0 else 1.0,
        effect=_mean(difference, options),
        detectable=detectable,
        weak=detectable > options.least_effect,
    )


def kept(
    what: str,
    values: Float[np.ndarray, " problem"],
    reference: Float[np.ndarray, " problem"],
    options: Options,
    *,
    margin: float,
) -> Claim:
    """That less than a margin is lost against a reference on the same problems.

    A problem counts as lost if its value fell at all, and none is set against those that rose: too
    strict rather than too lenient, and exact where losses are few, as they are if this is true.

    `values`: one a problem, in [0, 1]. `margin`: share of problems that would be too much to lose.

    Source: one-sided binomial test of the share lost.
    """
    from scipy.special import bdtr

    n, lost = len(values), int((values < reference).sum())
    unseen = 1 - (1 - options.inference.level) ** (1 / n)
    return Claim(
        what=what,
        p=float(bdtr(lost, n, margin)),
        effect=_mean(values - reference + margin, options),
        detectable=unseen,
        weak=unseen > margin,
    )


def _mean(values: Float[np.ndarray, " problem"], options: Options) -> Interval:
    """A mean of shares or their differences; where all are alike, with room for unseen others."""
    return problem_mean(values, inference=options.inference, span=1.0)


def best_part(
    effects: Float[np.ndarray, "problem ..."], options: Options
) -> Float[np.ndarray, "..."]:
    """P-value of every part's being above 0, adjusted for having looked at all parts.

    Source: Westfall & Young 1993, single-step max-T.
    """
    flat = effects.reshape(len(effects), -1)
    p = max_t(flat, n_resamples=options.inference.n_resamples, seed=options.inference.seed)
    return np.where(flat.mean(axis=0) > 0, p, 1.0).reshape(effects.shape[1:])


def strongest(
    controls: Mapping[str, Float[np.ndarray, " problem"]],
) -> tuple[str, Float[np.ndarray, " problem"]]:
    """The control with the highest mean on the tested problems: chosen in the controls' favour."""
    name = max(controls, key=lambda one: float(controls[one].mean()))
    return name, controls[name]


def high_draw(
    draws: Float[np.ndarray, "draw problem"], inference: Inference
) -> Float[np.ndarray, " problem"]:
    """The random draw that a further one would exceed with chance at most one minus the level."""
    order = np.argsort(draws.mean(axis=1), kind="stable")
    rank = ceil(round(inference.level * (len(draws) + 1), 9))
    return draws[order[min(rank, len(draws)) - 1]]


def freed_arm(
    freed: Float[np.ndarray, "draw problem"] | None, options: Options
) -> dict[str, Interval]:
    """The high one of controls at strengths of their own; nothing where they had none."""
    return {} if freed is None else {FREED: rate(high_draw(freed, options.inference), options)}


def nearly(
    values: Float[np.ndarray, " problem"],
    freed: Float[np.ndarray, "draw problem"] | None,
    options: Options,
) -> str:
    """A remark where a control at a strength of its own does about as much; else nothing."""
    if freed is None:
        return ""
    high = high_draw(freed, options.inference)
    if above("", values, high, options).p < 1 - options.inference.level:
        return ""
    return (
        f"; a control that may push at a strength of its own reaches {high.mean():.2f} (here "
        f"{values.mean():.2f}), so that this direction is special in needing less of a push, and "
        "not in what it can do"
    )


def fewest_draws(inference: Inference) -> int:
    """Draws from which the highest is exceeded by another one with chance at most 1 - level."""
    return ceil(round(1 / (1 - inference.level), 9)) - 1


def judge(found: Sequence[Evidence], options: Options) -> tuple[Judged, ...]:
    """The verdict on every rung, p-values adjusted over all that were run.

    A rung stands only if all its claims do, so its p-value is the largest of theirs.

    Source: Berger 1982 for the largest p-value (intersection-union); Holm 1979 over rungs.
    """
    run = [i for i, one in enumerate(found) if one.claims]
    adjusted = dict.fromkeys(range(len(found)), np.nan)
    if run:
        worst = [max(claim.p for claim in found[i].claims) for i in run]
        adjusted.update(zip(run, holm(worst).tolist(), strict=True))
    return tuple(_judged(one, adjusted[i], options) for i, one in enumerate(found))


def _judged(found: Evidence, p: float, options: Options) -> Judged:
    if not found.claims:
        return Judged(evidence=found, status="not run", p=p, reason=found.reason)
    alpha = 1 - options.inference.level
    if p < alpha:
        status = "trivial" if found.trivial else "passed"
        return Judged(evidence=found, status=status, p=p, reason=found.reason)
    failing = max(found.claims, key=lambda claim: (claim.p, not claim.weak))
    n_problems = failing.effect.n
    told = (
        f"not shown: {failing.what} ({_number(failing.effect.value)} "
        f"[{_number(failing.effect.low)}, {_number(failing.effect.high)}]; with {n_problems} "
        f"problems {_number(failing.detectable)} would be detected)"
    )
    return Judged(
        evidence=found,
        status="under-powered" if failing.weak else "not distinguishable",
        p=p,
        reason=f"{told}. {found.reason[:1].upper()}{found.reason[1:]}" if found.reason else told,
    )


def _number(value: float) -> str:
    return "∞" if value == inf else f"{value:.2f}".replace("-", "−")
