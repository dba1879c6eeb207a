"""Error rates of the verdict on origin: from known truth, and from measured outcomes resampled.

    python scripts/bench/origin.py --json FILE                 (600 draws a row, about 3 minutes)
    python scripts/bench/origin.py --json FILE --organisms     (and outcomes of embedded pairs)
    elicit mechanisms --pair organism:created --out RUN
    python scripts/bench/origin.py --json FILE --runs RUN ...  (of finished runs, trained arms too)

Of known truth: outcomes of ten arms are drawn with the shares of the gap that a row names, on as
many problems to choose on as to test on, and the positive control is assumed to have passed unless
a row says otherwise. Of measured outcomes: problems of the two parts are drawn with replacement,
and of trained arms the seeds; what post's difference carries to another host, and what its texts
take to learn, are kept as measured. A row is `name, value, unit, goal, ok`; a goal beyond which a
rate lies by less than three standard errors of the draws counts as kept.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elicit.elicitation import Mechanism
from elicit.results import load_result
from elicit.verdicts import ArmOutcomes, Origin, Outcomes, judge_origin
from elicit.verdicts.origin import _outcomes, _worked

Row = dict[str, object]
NEVER = "anything but elicited"
Draw = Callable[[np.random.Generator], Outcomes]


def row(name: str, value: float, goal: str = "", *, draws: int = 0) -> Row:
    """One rate beside its goal, e.g. `<= 0.05`; three standard errors of the draws are granted."""
    ok: bool | None = None
    if goal:
        sign, limit = goal.split()
        border = float(limit)
        room = 3 * sqrt(border * (1 - border) / draws) if draws else 0.0
        ok = value <= border + room if sign == "<=" else value >= border - room
    return {"name": name, "value": round(value, 4), "unit": "share", "goal": goal, "ok": ok}


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Rates from which outcomes of independent problems are drawn."""

    shares: tuple[float, ...]
    """Share of the gap that each arm closes."""
    n: int
    """Problems to choose on, and as many to test on."""
    base: float = 0.25
    """Chance that base is right."""
    post: float = 1.0
    """Chance that post is."""
    one_set: bool = False
    """Whether the best arm is chosen on the test problems, which it must not be."""
    shown: float = 1.0
    """Chance that an arm's text shows the behaviour; post's always does."""
    worked: bool = True
    """Whether the positive control passed."""

    def draw(self, rng: np.random.Generator) -> Outcomes:
        """Outcomes of one experiment."""

        def rolls(chance: float) -> torch.Tensor:
            return torch.from_numpy((rng.random(self.n) < chance).astype(float))

        arms = []
        for i, share in enumerate(self.shares):
            chance = min(max(self.base + share * (self.post - self.base), 0.0), 1.0)
            right, other = rolls(chance), rolls(chance)
            arms.append(
                ArmOutcomes(
                    name=f"arm {i}",
                    sees="nothing" if i % 2 else "answers",
                    control=False,
                    bits=10.0 * i,
                    chosen=float((right if self.one_set else other).mean()),
                    n_choose=self.n,
                    right=right,
                    shown=rolls(self.shown),
                    verified=torch.full((self.n,), torch.nan).double(),
                )
            )
        return Outcomes(
            base=rolls(self.base),
            post=rolls(self.post),
            post_shown=torch.ones(self.n).double(),
            post_verified=torch.full((self.n,), torch.nan).double(),
            arms=tuple(arms),
            forced=rolls(min(max(self.base + min(self.shares) * (self.post - self.base), 0), 1)),
            worked=tuple(arm.name for arm in arms) if self.worked else None,
        )


def rates(draw: Draw, n_draws: int, seed: int = 0) -> dict[str, float]:
    """How often each verdict is given."""
    rng = np.random.default_rng(seed)
    found = Counter(judge_origin(draw(rng)).verdict for _ in range(n_draws))
    return {verdict: count / n_draws for verdict, count in found.items()}


def known_truth(n_draws: int) -> list[Row]:
    """Rows from rates that are known."""
    rows = []

    def add(what: str, truth: Truth, verdict: str, goal: str = "") -> None:
        rate = rates(truth.draw, n_draws).get(verdict, 0.0)
        rows.append(row(f"{what}, n = {truth.n}: {verdict}", rate, goal, draws=n_draws))

    small = {"base": 0.3, "post": 0.55}
    for n in (8, 20, 60, 120, 240):
        border = Truth(shares=(0.5,) * 10, n=n)
        add("all ten arms at the border", border, "elicited", "<= 0.05")
        add("all ten at the border, gap .30 to .55", replace(border, **small), "elicited",
            "<= 0.05")  # fmt: skip
        add("all ten at the border", border, "not elicited", "<= 0.05")
        one = Truth(shares=(0.5,) + (0.0,) * 9, n=n)
        add("one of ten at the border", one, "not elicited", "<= 0.05")
        add("chosen and judged on the same problems, all at the border",
            replace(border, one_set=True), "elicited")  # fmt: skip
        null = Truth(shares=(0.0,) * 10, n=n, base=0.3, post=0.3)
        add("a pair without a gap", null, "no gap", ">= 0.95")
        add("a pair without a gap, arms that gain", replace(null, post=0.31, shares=(40.0,) * 10),
            "elicited", "<= 0.05")  # fmt: skip
        none = Truth(shares=(0.0,) * 10, n=n)
        add("no arm closes anything", none, "elicited", "<= 0.05")
        add("no arm closes anything", none, "not elicited", ">= 0.95" if n >= 60 else "")
        add("no arm closes anything, no control", replace(none, worked=False), "not elicited",
            "<= 0")  # fmt: skip
        add("no arm closes anything, gap .30 to .55", replace(none, **small), "not elicited",
            ">= 0.27" if n == 240 else "")  # fmt: skip
        found = Truth(shares=(0.8,) + (0.0,) * 9, n=n)
        goal = {60: ">= 0.8", 120: ">= 0.95", 240: ">= 0.99"}.get(n, "")
        add("one of ten closes .8", found, "elicited", goal)
        add("one of ten closes .8, gap .30 to .55", replace(found, **small), "elicited")
        add("one of ten closes .8", found, "not elicited", "<= 0.01" if n >= 60 else "<= 0.05")
        add("one of ten closes .8 by another route", replace(found, shown=0.0), "elicited",
            "<= 0.05")  # fmt: skip
    return rows


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Outcomes of one pair on a part to choose on and one to test on."""

    outcomes: Outcomes
    chosen: tuple[np.ndarray, ...]
    """Of each arm, right on the problems to choose on."""
    by_seed: tuple[np.ndarray, ...]
    """Of each arm, `[problem seed]` on the test problems."""

    def draw(self, rng: np.random.Generator, *, n: int | None = None) -> Outcomes:
        """Problems of both parts, and seeds, drawn with replacement."""
        read = self.outcomes
        n_test, n_choose = n or len(read.base), n or len(self.chosen[0])
        at = rng.integers(len(read.base), size=n_test)
        asked = rng.integers(len(self.chosen[0]), size=n_choose)
        arms = []
        for arm, chosen, by_seed in zip(read.arms, self.chosen, self.by_seed, strict=True):
            seeds = rng.integers(by_seed.shape[1], size=by_seed.shape[1])
            arms.append(
                replace(
                    arm,
                    chosen=float(chosen[asked].mean()),
                    n_choose=n_choose,
                    right=torch.from_numpy(by_seed[at][:, seeds].mean(1)),
                    shown=arm.shown[at],
                    verified=arm.verified[at],
                )
            )
        return replace(
            read,
            base=read.base[at],
            post=read.post[at],
            post_shown=read.post_shown[at],
            post_verified=read.post_verified[at],
            arms=tuple(arms),
            forced=None if read.forced is None else read.forced[at],
        )


def of_mechanisms(arms: Sequence[Mechanism], outcomes: Outcomes) -> Measured:
    """Outcomes of saved results, for resampling."""
    return Measured(
        outcomes=outcomes,
        chosen=tuple(one.chosen.double().numpy() for one in arms),
        by_seed=tuple(one.right.double().numpy() for one in arms),
    )


def of_run(folder: Path) -> Measured:
    """Outcomes of a finished `elicit mechanisms`."""
    verdict = load_result(folder / "origin")
    known = load_result(folder / "known_elicited")
    assert isinstance(verdict, Origin) and isinstance(known, Origin)
    arms = [load_result(folder / f"mechanism_{name}") for name in verdict.arm]
    arms = [one for one in arms if isinstance(one, Mechanism)]
    forced: Any = load_result(folder / "forced_form")
    first = arms[0]
    outcomes = Outcomes(
        base=first.base.double(),
        post=first.post.double(),
        # Texts of post are not kept; those of its end of the dial are the same.
        post_shown=next(one for one in arms if one.name == "dial").shown,
        post_verified=torch.full((len(first.post),), torch.nan).double(),
        arms=tuple(map(_outcomes, arms)),
        forced=forced.right,
        carried=verdict.carried.low.item(),
        learning=verdict.learning_ratio,
        worked=_worked(known),
    )
    return of_mechanisms(arms, outcomes)


def of_runs(folders: Sequence[Path], n_draws: int) -> list[Row]:
    """Finished runs, their problems and seeds drawn with replacement."""
    rows = []
    for folder in folders:
        found = load_result(folder / "origin")
        assert isinstance(found, Origin)
        measured = of_run(folder)
        n = len(measured.outcomes.base)
        rows += resampled(found.pair, measured, found.verdict, n_draws, sorted({30, n}))
    return rows


def resampled(
    name: str, measured: Measured, wanted: str, n_draws: int, sizes: Sequence[int]
) -> list[Row]:
    """How often a measured pair has the verdict that its truth asks for, at several sizes."""
    rows = []
    for n in sizes:
        found = rates(lambda rng, n=n: measured.draw(rng, n=n), n_draws)
        goal = ">= 0.95" if n >= 60 else ""
        # A gap of .09 that a prompt closes eight times, by another route than post's.
        reached = 1 - found.get("elicited", 0.0) if wanted == NEVER else found.get(wanted, 0.0)
        rows.append(row(f"{name}, n = {n}: {wanted}", reached, goal, draws=n_draws))
        rows += [
            row(f"{name}, n = {n}: {verdict}", rate)
            for verdict, rate in sorted(found.items())
            if verdict != wanted
        ]
    return rows


def of_organisms(n_draws: int, n_problems: int = 120) -> list[Row]:
    """Embedded pairs with the arms that need no training: prompts, and post's opener."""
    from elicit import organisms
    from elicit.elicitation import Bench, Tried, forced_form
    from elicit.pair import load_pair
    from elicit.rollouts import Generation
    from elicit.tasks import load_task
    from elicit.traces import EquationsHold

    pairs = {
        ("base", "rl"): "elicited",
        ("base", "when-l3"): "elicited",
        ("b-base", "b-rl"): "elicited",
        ("created-base", "created"): "not elicited",
        ("decoupled", "rl"): "not elicited",
        ("base", "answers-only"): NEVER,
        ("base", "continued"): "no gap",
        ("base", "base"): "no gap",
    }
    rows: list[Row] = []
    for (base, post), wanted in pairs.items():
        pair = load_pair(f"organism:{base}", f"organism:{post}", allow_identical=True)
        world = "b-rl" if base.startswith("b-") else "rl"
        task = load_task(organisms.resolve(world).problems, name="problems")
        choose, test, fit = _parts(task, n_problems)
        bench = Bench(
            pair=pair, fit=fit, choose=choose, test=test, n_samples=0,
            behaviour=organisms.trace_behaviour(), checker=EquationsHold(modulus=10),
            generation=Generation(max_new_tokens=72, batch_size=128),
        )  # fmt: skip
        own = {
            side.name: bench.tried(bench.writes(side), test, sampled=False)
            for side in (bench.base, bench.post)
        }
        arms, chosen = [], []
        for name, asked in bench.behaviour.asked(test).items():
            other = bench.behaviour.asked(choose)[name]
            tried: list[Tried] = [
                bench.tried(bench.writes(bench.base), replace(each, name=f"{name} {i}"),
                            sampled=False)
                for i, each in enumerate((other, asked))
            ]  # fmt: skip
            chosen.append(tried[0].right.numpy())
            arms.append(_arm(name, tried[1], tried[0].right))
        forced = None
        if not pair.identical:
            forced = forced_form(pair, test, generation=bench.generation).right
        outcomes = Outcomes(
            base=own["base"].right,
            post=own["post"].right,
            post_shown=own["post"].shown,
            post_verified=own["post"].verified,
            arms=tuple(arms),
            forced=forced,
            identical=pair.identical,
            worked=tuple(arm.name for arm in arms),
        )
        measured = Measured(
            outcomes=outcomes,
            chosen=tuple(chosen),
            by_seed=tuple(arm.right.numpy()[:, None] for arm in arms),
        )
        rows += resampled(
            f"{base} → {post}", measured, wanted, n_draws, sorted({30, 60, n_problems})
        )
    return rows


def _parts(task, n: int):
    """Problems to choose on, to test on, and the rest, with one mix of difficulties."""
    share = min(n / len(task), 0.45)
    return task.split((share, share, 1 - 2 * share), 0)


def _arm(name: str, tried, chosen: torch.Tensor) -> ArmOutcomes:
    return ArmOutcomes(
        name=name, sees="nothing", control=False, bits=8.0, chosen=float(chosen.mean()),
        n_choose=len(chosen), right=tried.right, shown=tried.shown, verified=tried.verified,
    )  # fmt: skip


def main() -> int:
    """Write the rows; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=600)
    parser.add_argument("--organisms", action="store_true")
    parser.add_argument("--only-organisms", action="store_true")
    parser.add_argument("--runs", type=Path, nargs="+", default=())
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [] if args.only_organisms or args.runs else known_truth(args.draws)
    rows += of_runs(args.runs, args.draws)
    if args.organisms or args.only_organisms:
        rows += of_organisms(args.draws)
    args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    for each in rows:
        mark = "" if each["ok"] is None else "ok" if each["ok"] else "MISSED"
        sys.stdout.write(f"{each['value']:8} {each['goal']:>8} {mark:6} {each['name']}\n")
    return int(any(each["ok"] is False for each in rows))


if __name__ == "__main__":
    sys.exit(main())
