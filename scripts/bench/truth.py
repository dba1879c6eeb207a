"""How often a conclusion of `elicit` is false, what it finds, and what its intervals cover.

    python scripts/bench/truth.py --json FILE
    python scripts/bench/truth.py --only patch,coverage --pairs 20

False findings are counted over pairs with nothing to find. `patch` is run on real pairs: a model
and itself with noise of several sizes on all its matrices, in both architectures of the embedded
pairs, and the pairs that were trained further on what they knew. For every command the procedure
that concludes is run on simulated effects of problems, for a full run of each would be too dear:
what comes before it, forward passes and texts, is tested elsewhere. A row is `name, value, unit,
goal, ok`; rows without a goal are there to be read.
"""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from grafting import Row, row
from jaxtyping import Float
from scipy.stats import norm

from elicit import organisms, patching
from elicit.grafting._conclusion import _named, _role
from elicit.organisms import decision
from elicit.pair import ModelPair, load_pair
from elicit.patching import Contrast, PatchGrid, across
from elicit.patching.conclusion import conclude_grid
from elicit.patching.values import SweepValues
from elicit.results import Estimate
from elicit.sites import mlp_out
from elicit.stats import Inference, joint_estimate, joint_tests, problem_mean
from elicit.tasks import load_task
from elicit.verdicts import rungs
from elicit.verdicts.tests import Options, Pushes, judge
from elicit.weights import replaced

PARTS, LEVEL, FOUND = 12, 0.05, 0.8
SIZES = (30, 60, 120)
EFFECTS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5)
"""Planted effects, in standard deviations of one problem, or as shares of problems."""
QUICK = Inference(n_resamples=200)
Table = Float[np.ndarray, "problem part"]


# --- simulated effects of problems


def latent(rng: np.random.Generator, n: int, parts: int = PARTS) -> Table:
    """Normal numbers of which those of one problem are alike (correlation 0.3)."""
    return np.sqrt(0.3) * rng.normal(size=(n, 1)) + np.sqrt(0.7) * rng.normal(size=(n, parts))


def events(rng: np.random.Generator, n: int, up: float, down: float = 0.0) -> Table:
    """Differences of 0/1 answers."""
    z = latent(rng, n)
    return 1.0 * (z > norm.ppf(1 - up)) - 1.0 * (z < norm.ppf(down) if down else 0.0)


KINDS: dict[str, tuple[Callable[[np.random.Generator, int], Table], float]] = {
    "normal": (latent, 0.0),
    "exponential less its mean": (lambda rng, n: -norm.logsf(latent(rng, n)) - 1, 0.0),
    "lognormal less its mean": (lambda rng, n: np.exp(latent(rng, n)) - np.exp(0.5), 0.0),
    "sparse, 10 % of problems": (lambda rng, n: events(rng, n, 0.1), 0.1),
    "rare, 5 % of problems": (lambda rng, n: events(rng, n, 0.05), 0.05),
    "answers, 20 % up and 5 % down": (lambda rng, n: events(rng, n, 0.2, 0.05), 0.15),
}


def coverage(sets: int) -> Iterator[Row]:
    """How often 12 joint intervals hold their 12 means at once."""
    for name, (draw, mean) in KINDS.items():
        for n in (8, 12, 20, 40, 80):
            held = disagree = 0
            for seed in range(sets):
                rows = draw(np.random.default_rng([seed, n]), n)
                _, low, high, p = joint_tests(rows, n_resamples=200, seed=seed)
                held += bool(((low <= mean) & (mean <= high)).all())
                disagree += bool((((low > 0) | (high < 0)) != (p < LEVEL)).any())
            goal = "" if "less its mean" in name else ">= 0.92"
            yield row(f"coverage, {name}, {n} problems", held / sets, "share of families", goal)
            if disagree:
                yield row(f"p and interval disagree, {name}, {n}", disagree / sets, "share", "<= 0")


# --- patching: real pairs and simulated sweeps


def contrast_of(pair: ModelPair, name: str, n: int) -> Contrast:
    """The decision to reason on some problems of a pair."""
    task = load_task(organisms.resolve(f"organism:{name}").problems).subset(n, seed=0)
    return Contrast.from_pairs(pair.alignment, decision(task))


def noise_pairs(pairs: int) -> Iterator[Row]:
    """A place named on pairs with nothing to find: noise on weights, and training on the known."""
    options = {"inference": QUICK}
    sweep = across(sites=["resid_post"], positions=[-2, -1])
    for name in ("continued", "b-continued"):
        pair = load_pair(f"organism:{name}")
        contrast = contrast_of(pair, name, 16)
        grids = [
            patching.patch(pair, contrast, replace(sweep, direction=way), **options)
            for way in ("post_to_base", "base_to_post")
        ]
        named = sum(grid.peak() is not None for grid in grids)
        yield row(f"patch, {name}: places named in two directions", named, "", "<= 0")
        same = replace(pair, post=load_pair(f"organism:{name}").base)
        named, clear = 0, 0
        for seed in range(pairs):
            generator = torch.Generator().manual_seed(seed)
            size = (0.05, 0.2, 0.5)[seed % 3]
            noisy = {
                one: one.data + size * one.data.std() * torch.randn(one.shape, generator=generator)
                for one in same.post.parameters()
                if one.ndim == 2
            }
            with replaced(noisy):
                grid = patching.patch(same, contrast, sweep, **options)
            clear += bool(grid.gap_clear[0] and grid.candidate() and grid.candidate().clear)
            named += grid.peak() is not None
        yield row(f"patch, noise on {name}'s base: place named", named / pairs, "share", "<= 0.05")
        yield row(f"patch, the same by intervals alone, {pairs} pairs", clear / pairs, "share")


def made_grid(
    effects: Float[np.ndarray, "cell problem"],
    pushed: Float[np.ndarray, "cell problem"],
    gap: float,
) -> PatchGrid:
    """A sweep of so many MLPs, with its noise control."""
    n = effects.shape[1]
    host = torch.zeros(1, n, dtype=torch.float64)
    values = SweepValues(
        sites=tuple(mlp_out(i) for i in range(len(effects))),
        pos=("all",),
        metric=("logit_diff",),
        width=(1,),
        host=host,
        donor=host + gap,
        patched=torch.from_numpy(effects)[None, None, :, None],
        noise=torch.from_numpy(pushed)[None, :, None],
    )
    problems = Contrast(
        clean=((1, 2),) * n, corrupted=None, answer=((5,),) * n, wrong=((6,),) * n,
        id=tuple(map(str, range(n))), words=(("Q", "A"),) * n,
    )  # fmt: skip
    return conclude_grid(values, contrast=problems, swap=across(), inference=QUICK)


def sweeps(runs: int) -> Iterator[Row]:
    """Simulated sweeps: without an effect, with pushes no larger than noise, with a planted one."""
    for kind in ("of mean 0", "as large as noise, the same in all problems"):
        named = 0
        for seed in range(runs):
            rng = np.random.default_rng(seed)
            shared = 0.5 * rng.normal(size=(PARTS, 1)) * (kind != "of mean 0")
            effects = shared + 0.3 * latent(rng, 20).T
            named += made_grid(effects, 0.5 * rng.normal(size=(PARTS, 20)), 2.0).peak() is not None
        yield row(f"patch, effects {kind}: place named", named / runs, "share", "<= 0.05")
    for n in SIZES:

        def finds(size: float, seed: int, n: int = n) -> bool:
            rng = np.random.default_rng([seed, n])
            effects = latent(rng, n).T
            effects[4] += size
            peak = made_grid(effects, 0.1 * rng.normal(size=(PARTS, n)), 4.0).peak()
            return peak is not None and peak.layer == 4

        yield smallest(f"patch, 1 of {PARTS} cells, {n} problems", finds, runs // 3)


# --- the other commands, at the level of what concludes


def report(runs: int) -> Iterator[Row]:
    """A layer named as corrupted where no layer does anything, though the task has a gap."""

    def named(size: float, seed: int, n: int) -> torch.Tensor:
        rng = np.random.default_rng([seed, n])
        revert, graft = latent(rng, n), latent(rng, n)
        revert[:, 4] += size
        graft[:, 4] -= size
        gap = Estimate.of_intervals([problem_mean(rng.normal(-2, 1, n), inference=QUICK)])
        both = [
            Estimate.stack([joint_estimate(torch.from_numpy(one), inference=QUICK)])
            for one in (revert, graft)
        ]
        return _named("damage", [_role(gap[0], 0.05)], gap, *both, 0.05)

    false = sum(bool(named(0.0, seed, 30).any()) for seed in range(runs))
    yield row("report: a layer called corrupted without effects", false / runs, "share", "<= 0.05")
    for n in SIZES:
        yield smallest(
            f"report, 1 of {PARTS} layers, both ways, {n} problems",
            lambda size, seed, n=n: named(size, seed, n).nonzero().flatten().tolist() == [4],
            runs // 3,
        )


def exists(runs: int) -> Iterator[Row]:
    """`exists` said of a base that a direction does not move."""

    def verdict(gain: float, seed: int, n: int) -> bool:
        rng = np.random.default_rng([seed, n])
        options = Options(inference=QUICK, least_effect=0.2)

        def coin(rate: float, *more: int) -> np.ndarray:
            return (rng.random((*more, n)) < rate).astype(float)

        plain, draws = coin(0.2), Pushes(same=coin(0.2, 20))
        moved = np.maximum(plain, coin(gain))
        ones = np.ones(n)
        shown = rungs.causal_in_base(
            moved, {"plain prompt": plain}, draws, options, coherent=ones, coherent_plain=ones,
            asked=ones, margin=0.1,
        )  # fmt: skip
        enough = rungs.sufficient(
            moved, {"plain prompt": plain}, np.maximum(plain, coin(0.9)), {"shuffled": coin(0.2)},
            draws, options, asked=plain, least_share=0.5,
        )  # fmt: skip
        return all(one.status == "passed" for one in judge([shown, enough], options))

    false = sum(verdict(0.0, seed, 40) for seed in range(runs))
    yield row("exists: said of a base that is not moved", false / runs, "share", "<= 0.05")
    for n in SIZES:
        yield smallest(
            f"exists, share of problems turned (post: 0.9), {n} test problems",
            lambda size, seed, n=n: size <= 1 and verdict(size, seed, n),
            runs // 5,
        )


def steer(runs: int) -> Iterator[Row]:
    """A clear effect of the best of 8 strengths, chosen on one half and tested on the other."""

    def clear(gain: float, seed: int, n: int) -> bool:
        rng = np.random.default_rng([seed, n])
        plain = rng.random((2, n)) < 0.3
        turned = [np.maximum(half, rng.random((8, n)) < gain / 0.7) for half in plain]
        effects = [(one.astype(float) - half).T for one, half in zip(turned, plain, strict=True)]
        redrawn = rng.random((2, 8, n)) < 0.3
        if gain == 0:
            effects = [
                (one.astype(float) - half).T for one, half in zip(redrawn, plain, strict=True)
            ]
        best = int(effects[0].mean(axis=0).argmax())
        tested = torch.from_numpy(np.ascontiguousarray(effects[1][:, [best]]))
        return bool(joint_estimate(tested, inference=QUICK, span=1.0).low[0] > 0)

    false = sum(clear(0.0, seed, 30) for seed in range(runs))
    yield row("steer: a clear effect of a direction without one", false / runs, "share", "<= 0.05")
    for n in SIZES:
        yield smallest(
            f"steer, gain in rate, {n} test problems",
            lambda size, seed, n=n: size <= 0.7 and clear(size, seed, n),
            runs // 3,
        )


def revise(runs: int) -> Iterator[Row]:
    """A clear difference of depth between models whose depths differ by chance, rarely."""
    false = points = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        moved = rng.integers(-1, 2, (24, 20)) * (rng.random((24, 20)) < 0.002)
        depth = torch.from_numpy(moved.mean(axis=1, keepdims=True))
        found = joint_estimate(depth, inference=QUICK, span=1.0)
        false += bool(found.clear[0])
        points += bool(found.low[0] == found.high[0])
    yield row("revise: a clear difference of depth", false / runs, "share", "<= 0.05")
    yield row("revise: intervals that are points", points / runs, "share", "<= 0")
    for n in SIZES:

        def finds(size: float, seed: int, n: int = n) -> bool:
            rng = np.random.default_rng([seed, n])
            depth = torch.from_numpy(rng.normal(size, 1, (n, 1)))
            return bool(joint_estimate(depth, inference=QUICK, span=1.0).low[0] > 0)

        yield smallest(f"revise, difference of depth, {n} problems", finds, runs // 3)


def features(runs: int) -> Iterator[Row]:
    """A clear difference of the best of 64 features, chosen on one half and tested on the other."""

    def clear(size: float, seed: int, n: int) -> bool:
        rng = np.random.default_rng([seed, n])
        halves = [rng.normal(size=(n, 64)) for _ in range(2)]
        for half in halves:
            half[:, 7] += size
        best = int(halves[0].mean(axis=0).argmax())
        return problem_mean(halves[1][:, best], inference=QUICK).low > 0

    false = sum(clear(0.0, seed, 30) for seed in range(runs))
    yield row("features: the best of 64 without a difference", false / runs, "share", "<= 0.05")
    for n in SIZES:
        yield smallest(
            f"features, 1 of 64, {n} test problems",
            lambda size, seed, n=n: clear(size, seed, n),
            runs // 3,
        )


def smallest(name: str, finds: Callable[[float, int], bool], runs: int) -> Row:
    """Smallest effect that is found in 80 % of the runs; NaN if the largest is not."""
    for size in EFFECTS:
        if sum(finds(size, seed) for seed in range(runs)) >= FOUND * runs:
            return row(f"smallest found: {name}", size, "effect")
    return row(f"smallest found: {name}", float("nan"), "effect")


ROWS: dict[str, Callable[[int], Iterator[Row]]] = {
    "patch": noise_pairs,
    "sweeps": sweeps,
    "report": report,
    "exists": exists,
    "steer": steer,
    "revise": revise,
    "features": features,
    "coverage": coverage,
}


def main() -> None:
    """Count, print and write the rows."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pairs", type=int, default=100, help="pairs, families or runs of a row")
    parser.add_argument("--only", default=",".join(ROWS), help="parts, by name")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.only.split(","):
        for found in ROWS[name](arguments.pairs):
            rows.append(found)
            mark = {None: "    ", True: "ok  ", False: "MISS"}[found["ok"]]  # pyright: ignore[reportArgumentType]
            sys.stdout.write(
                f"{mark} {found['name']}: {found['value']} {found['unit']} {found['goal']}\n"
            )
            sys.stdout.flush()
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
