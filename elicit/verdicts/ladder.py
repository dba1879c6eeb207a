"""The ladder of evidence: what each rung says of the behaviour in the base."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.results import Estimate, Provenance, Result
from elicit.stats import Interval
from elicit.verdicts.probing import Decoded
from elicit.verdicts.rungs import CLAIMS, RUNGS
from elicit.verdicts.tests import Judged, Options

Verdict = Literal["exists", "not shown", "under-powered", "no gap"]
ALIGNMENT, EXISTENCE = ("E1", "E2"), ("E3", "E4")
"""Rungs on which each of two questions rests. None entails another: E0, that something can be read,
is no evidence that anything uses it, and base and post may use different codes for the same."""

UNITS = (
    "share of prompts classified correctly",
    "share of the model’s own probe’s separation",
    "share of texts",
    "share of texts",
    "share of the gap",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Ladder(Result):
    """How far the evidence goes that the base already has what the post-trained model shows."""

    behaviour: str
    """What is looked for."""
    rung: tuple[str, ...]
    """`E0` to `E4`, each asking for more than the one before."""
    claim: tuple[str, ...]
    """What each rung says."""
    status: tuple[str, ...]
    """`passed`; `trivial`, where re-initialised weights pass as well; `not distinguishable` from
    its controls; `under-powered`; or `not run`."""
    reason: tuple[str, ...]
    """Why it is so, or what else a reader should know."""
    unit: tuple[str, ...]
    """What each rung's number counts."""
    value: Annotated[Estimate, "rung"]
    """The rung's number on held-out problems, with the interval of this rung alone; NaN where it
    was not run."""
    control_name: tuple[str, ...]
    """The strongest of the rung's controls."""
    control: Annotated[Estimate, "rung"]
    """Control: the same number under that control, with the interval of this rung alone."""
    effect: Annotated[Estimate, "rung"]
    """What must be above 0 and is least sure to be: of all that the rung claims, that with the
    largest p-value; with the interval of this rung alone."""
    p: Float[Tensor, " rung"]
    """P-value of the rung, adjusted over all rungs that were run (Holm)."""
    detectable: Float[Tensor, " rung"]
    """Effect of that claim that so many problems would show with a chance of 80 %; of a loss, the
    largest that they leave room for when nothing is lost."""
    place: tuple[str, ...]
    """Site and strength of each rung, chosen on other problems."""
    arm: tuple[str, ...]
    """Everything that was tried beside, with its rung."""
    arm_value: Annotated[Estimate, "arm"]
    """Its number, with the interval of each alone."""
    model: tuple[str, ...]
    """Models that the base's direction was tried in; without post where the two are the same."""
    site: tuple[str, ...]
    """Sites that it was tried at, on the problems to choose on."""
    strength: Float[Tensor, " strength"]
    """Strengths that it was tried at, in units of the difference of the means."""
    sweep: Float[Tensor, "model site strength"]
    """Share of the problems to choose on that it turned: shown in base, in post shown or not shown,
    whichever is the rarer there. The strengths in post have the sign of that."""
    p_site: Float[Tensor, "rung site"]
    """P-value of every site's being above 0 for the rung, adjusted for having looked at all sites,
    and strengths (max-T), so that no choice of a site enters it. E0 and E1: on the problems tested
    on, against the strongest control of the site. E2 to E4: of the best strength, on the problems
    to choose on, against the unsteered model. Reported beside: no verdict rests on it."""
    curve: tuple[str, ...]
    """Whose areas under the ROC curve are told: probes of base and of post, and the controls of the
    base's."""
    auroc: Annotated[Estimate, "curve site"]
    """Area under the ROC curve of probes on held-out problems; 0.5 is chance. Intervals are
    simultaneous over curves and sites."""
    n_choose: int
    """Problems that everything was fitted and chosen on."""
    n_test: int
    """Other problems, of which every number of a rung is."""
    level: float
    """Nominal coverage of the intervals."""
    problem: tuple[str, ...] = ()
    """Ids of the problems tested on."""
    measure: tuple[str, ...] = ()
    """What is known of each of them: a coherent text that shows the behaviour, and a right answer,
    of the base, of the base under its direction and under that with its entries shuffled, and of
    post."""
    outcome: Float[Tensor, "measure problem"] | None = None
    """1 where it holds of the problem's text, else 0."""

    @property
    def verdict(self) -> Verdict:
        """Whether the base has the behaviour and it suffices: rests on E3 and E4 alone.

        `no gap` where post gains nothing on the base; `exists` where both passed; `not shown` where
        one is not distinguishable from its controls; else `under-powered`.
        """
        found = self._of(EXISTENCE)
        if "not run" in found:
            return "no gap"
        return "exists" if found == {"passed"} else _negative(found)

    @property
    def alignment(self) -> Literal["shared", "not shown", "under-powered", "not measured"]:
        """Whether base and post use the same code for it: rests on E1 and E2 alone."""
        found = self._of(ALIGNMENT)
        if "not run" in found:
            return "not measured"
        return "shared" if found == {"passed"} else _negative(found)

    def _of(self, rungs: tuple[str, ...]) -> set[str]:
        return {s for r, s in zip(self.rung, self.status, strict=True) if r in rungs}

    @property
    def highest_rung(self) -> str | None:
        """The highest rung that holds with all below it; None if the first does not."""
        found = None
        for rung, status in zip(self.rung, self.status, strict=True):
            if status not in ("passed", "trivial"):
                break
            found = rung
        return found

    @property
    def highest_passed(self) -> str | None:
        """The highest rung that passed, whatever those below it did; None if none did."""
        found = [r for r, s in zip(self.rung, self.status, strict=True) if s == "passed"]
        return found[-1] if found else None

    def summary(self) -> dict[str, object]:
        """Rungs as JSON has them, the highest first named."""
        rungs = {
            rung: {
                "claim": self.claim[i],
                "status": self.status[i],
                **self.value[i].to_json(),
                "control": self.control[i].to_json(),
                "control_name": self.control_name[i],
                "p": _finite(self.p[i].item()),
                "p_all_sites": _smallest(self.p_site[i]),
                "detectable": _finite(self.detectable[i].item()),
                "unit": self.unit[i],
                "place": self.place[i],
                "reason": self.reason[i],
            }
            for i, rung in enumerate(self.rung)
        }
        return {
            "behaviour": self.behaviour,
            "verdict": self.verdict,
            "alignment": self.alignment,
            "highest_rung": self.highest_rung,
            "highest_passed": self.highest_passed,
            "rungs": rungs,
            "n_choose": self.n_choose,
            "n_test": self.n_test,
            "level": self.level,
        }


def _negative(found: set[str]) -> Literal["not shown", "under-powered"]:
    """What is said of rungs of which one did not pass."""
    return "not shown" if "not distinguishable" in found else "under-powered"


def _finite(value: float) -> float | None:
    """A number that JSON has."""
    return value if math.isfinite(value) else None


def _smallest(p: Float[Tensor, " site"]) -> float | None:
    """P-value of the best site; None where none has one."""
    known = p[p.isfinite()]
    return known.min().item() if len(known) else None


@dataclass(frozen=True, eq=False, kw_only=True)
class Tried:
    """Sites and strengths of the search, and where each rung is tested."""

    places: tuple[str, ...]
    """Site and strength of each rung."""
    sites: tuple[str, ...]
    """Sites that were tried."""
    strengths: Sequence[float]
    """Strengths that were tried."""
    sweeps: Sequence[np.ndarray]
    """What was tried in base, and in post unless it is the same."""
    p_site: Float[np.ndarray, "rung site"]
    """P-value of every rung at every site."""


def ladder_of(
    judged: Sequence[Judged],
    *,
    behaviour: str,
    tried: Tried,
    decoded: Decoded,
    n: tuple[int, int],
    options: Options,
    provenance: Provenance,
) -> Ladder:
    """Verdicts as a result.

    `n`: problems to choose on, and to test on.
    """
    values = _estimate([one.evidence.value for one in judged])
    controls = _estimate([one.evidence.control for one in judged])
    worst = [max(one.evidence.claims, key=lambda claim: claim.p, default=None) for one in judged]
    effects = _estimate([None if claim is None else claim.effect for claim in worst])
    arms = {
        f"{rung}: {name}": arm
        for rung, one in zip(RUNGS, judged, strict=True)
        for name, arm in (one.evidence.arms or {}).items()
    }
    beside = _estimate(list(arms.values()))
    return Ladder(
        behaviour=behaviour,
        rung=RUNGS,
        claim=CLAIMS,
        status=tuple(one.status for one in judged),
        reason=tuple(one.reason for one in judged),
        unit=UNITS,
        value=values,
        control_name=tuple(one.evidence.control_name for one in judged),
        control=controls,
        effect=effects,
        p=torch.tensor([one.p for one in judged], dtype=torch.float64),
        detectable=torch.tensor(
            [torch.nan if claim is None else claim.detectable for claim in worst],
            dtype=torch.float64,
        ),
        place=tuple(
            place if one.status != "not run" else ""
            for place, one in zip(tried.places, judged, strict=True)
        ),
        arm=tuple(arms),
        arm_value=beside,
        model=("base", "post")[: len(tried.sweeps)],
        site=tried.sites,
        strength=torch.tensor(tried.strengths, dtype=torch.float64),
        sweep=torch.from_numpy(np.stack(tried.sweeps)),
        p_site=torch.from_numpy(tried.p_site),
        curve=decoded.curve,
        auroc=decoded.auroc(options),
        n_choose=n[0],
        n_test=n[1],
        level=options.inference.level,
        provenance=provenance,
    )


def _estimate(intervals: Sequence[Interval | None]) -> Estimate:
    """Values with their ends; NaN where there are none."""
    none = (torch.nan,) * 3
    rows = [none if one is None else (one.value, one.low, one.high) for one in intervals]
    return Estimate.of(torch.tensor(rows, dtype=torch.float64).reshape(-1, 3).T.contiguous())
