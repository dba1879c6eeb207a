"""What base and post reach with several samples: pass@k above chance, and whose problems."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.rollouts import Rollouts
from elicit.stats import (
    Inference,
    PassCurve,
    covered,
    pass_comparison,
    pass_curve,
    problem_mean,
)
from elicit.tasks import Task, parse_number
from elicit.traces.checkers import Checker
from elicit.traces.errors import TraceError

_TIE = 1e-12


@dataclass(frozen=True, eq=False, kw_only=True)
class Reach(Result):
    """pass@k of both models beside chance, and how much of what post solves base reaches."""

    reading: tuple[str, ...]
    """`base`, `post`."""
    k: Int[Tensor, " k"]
    """Samples of which one must be right."""
    passed: Annotated[Estimate, "reading k"]
    """Mean pass@k, with intervals simultaneous over k."""
    floor: Annotated[Estimate, "reading k"]
    """The same with samples graded against the answers of other problems: chance."""
    above: Annotated[Estimate, "reading k"]
    """passed - floor."""
    verified: Annotated[Estimate, "reading k"]
    """pass@k where a sample counts only if its thought was checked and holds; NaN without a
    checker."""
    valid: Annotated[Estimate, "reading"]
    """Share of the thoughts that could be checked in which every step holds; mean over problems."""
    coverage: Annotated[Estimate, "k"]
    """Share of the problems that post solves, in the greater part of its samples, which base passes
    with k."""
    coverage_above: Annotated[Estimate, "k"]
    """The same above chance."""
    p: float
    """Two-sided p-value of coverage against chance at the largest k, not adjusted: right answers
    reassigned at random among the problems, so that no shape of the differences is assumed."""
    n_solved: int
    """Problems that post solves in the greater part of its samples."""
    crossover: Annotated[Estimate, ""]
    """Least k at which base passes more than post; infinite where it does at none of these."""
    n_samples: int
    """Samples of each problem."""
    n_left_out: int
    """Problems of the task that were left out."""
    level: float
    """Nominal coverage of the intervals."""


def reach(
    task: Task,
    base: Rollouts,
    post: Rollouts,
    *,
    checker: Checker | None = None,
    without: Collection[str] = (),
    inference: Inference = Inference(),
) -> Reach:
    """What both models reach with several samples of each problem.

    Args:
        task: The problems.
        base: Base's samples.
        post: Post's samples, as many.
        checker: Decides whether a thought is valid; None leaves `verified` out.
        without: Ids of problems that are left out, such as those with a truncated sample.
        inference: Coverage, resamples and seed.

    Raises:
        TraceError: The samples are of other tasks, or not equally many, or fewer than two; or
            fewer than two problems are left.

    Source: pass@k of Chen et al. 2021 (arXiv:2107.03374); base against post over k of Yue et al.
        2025 (arXiv:2504.13837). A chance floor, because with few possible answers many samples hit
        the right one without any skill.
    """
    every, known = numbered(task, (base, post))
    n_samples = every[0].shape[1]
    kept = [i for i, problem in enumerate(task) if problem.id not in set(without)]
    if len(kept) < 2:
        raise TraceError(
            f"{len(task) - len(kept)} of {len(task)} problems are left out, and intervals are over "
            "at least two that stay. Leave fewer out."
        )
    right = known[kept]
    k = sorted({2**i for i in range(n_samples.bit_length())} - {0} | {n_samples})
    k = [each for each in k if each <= n_samples]
    answers = [each[kept] for each in every]
    curves = [pass_curve(a, right, k=k, inference=inference) for a in answers]
    checked = [_checked(task, each, checker, n_samples)[kept] for each in (base, post)]
    verified = [
        _verified(a, ok, right, k, inference) for a, ok in zip(answers, checked, strict=True)
    ]
    solved = (answers[1] == right[:, None]).double().mean(1) > 0.5
    coverage, above = _covered(curves[0], solved, inference)
    return Reach(
        reading=("base", "post"),
        k=torch.tensor(k),
        passed=Estimate.stack(curve.passed for curve in curves),
        floor=Estimate.stack(curve.floor for curve in curves),
        above=Estimate.stack(curve.above for curve in curves),
        verified=Estimate.stack(verified),
        valid=Estimate.of_intervals(
            problem_mean(torch.nanmean(ok, dim=1), inference=inference, method="bca")
            for ok in checked
        ),
        coverage=coverage,
        coverage_above=above,
        p=coverage_p(answers[0], right, solved, seed=inference.seed),
        n_solved=int(solved.sum()),
        crossover=pass_comparison(curves[1], curves[0], inference=inference).crossover,
        n_samples=n_samples,
        n_left_out=len(task) - len(kept),
        level=inference.level,
    )


def numbered(
    task: Task, written: Sequence[Rollouts]
) -> tuple[list[Int[Tensor, "problem sample"]], Int[Tensor, " problem"]]:
    """Answers of several samples as numbers, equal for equal values, and the right ones.

    Args:
        task: The problems.
        written: Samples of each model, base first.

    Raises:
        TraceError: The samples are of other tasks, or not equally many, or fewer than two.
    """
    base, post = written
    n_samples = int(base.sample.max()) + 1
    if {base.task_digest, post.task_digest} != {task.digest}:
        raise TraceError(
            "the samples are of different tasks, so their problems could not be paired. Pass the "
            "task that both models sampled."
        )
    if n_samples < 2 or len(base) != len(post) or len(base) != n_samples * len(task):
        raise TraceError(
            f"base has {len(base)} samples and post {len(post)} of {len(task)} problems, and "
            "several samples need as many of each, at least two. Sample both alike."
        )
    numbers: dict[object, int] = {}
    right = torch.tensor([_number(problem.answer, numbers) for problem in task])
    return [_answers(each, numbers, n_samples) for each in (base, post)], right


def _number(answer: str, known: dict[object, int]) -> int:
    """A number for every answer, the same for answers of one value."""
    value = parse_number(answer)
    key = " ".join(answer.split()).casefold() if value is None else value
    return known.setdefault(key, len(known))


def _answers(
    texts: Rollouts, known: dict[object, int], n_samples: int
) -> Int[Tensor, "problem sample"]:
    out = torch.full((len(texts.problem), n_samples), -1, dtype=torch.long)
    for row, answer in enumerate(texts.extracted):
        if answer is not None:
            out[int(texts.place[row]), int(texts.sample[row])] = _number(answer, known)
    return out


def _checked(
    task: Task, texts: Rollouts, checker: Checker | None, n_samples: int
) -> Float[Tensor, "problem sample"]:
    """Whether each thought holds; NaN where nothing could be checked."""
    out = torch.full((len(task), n_samples), torch.nan, dtype=torch.float64)
    for row, text in enumerate(texts.text if checker is not None else ()):
        place = int(texts.place[row])
        found = checker(task.problems[place], text) if checker is not None else None
        if found is not None:
            out[place, int(texts.sample[row])] = float(found)
    return out


def _verified(
    answers: Int[Tensor, "problem sample"],
    checked: Float[Tensor, "problem sample"],
    right: Int[Tensor, " problem"],
    k: list[int],
    inference: Inference,
) -> Estimate:
    if bool(checked.isnan().all()):
        return Estimate.missing(len(k))
    only = torch.where(checked == 1, answers, torch.full_like(answers, -1))
    return pass_curve(only, right, k=k, inference=inference).passed


def coverage_p(
    answers: Int[Tensor, "problem sample"],
    right: Int[Tensor, " problem"],
    solved: Bool[Tensor, " problem"],
    *,
    n_draws: int = 10_000,
    seed: int = 0,
) -> float:
    """Two-sided p-value of how many solved problems all samples together reach, against chance.

    Chance: the right answers dealt out at random among all problems. A share that is reached by
    chance in few problems is skewed, so flipping the signs of differences from it would find too
    much: up to 30 % at a nominal 5 % on pairs without a difference.

    Args:
        answers: Numbers of the answers of the model that may reach them; negative where it gave
            none.
        right: Number of each problem's right answer.
        solved: Problems that the other model solves.
        n_draws: Ways to deal them out that are drawn.
        seed: Seed of the draws.

    Returns:
        NaN where fewer than 2 problems are solved.
    """
    if int(solved.sum()) < 2:
        return float("nan")
    known, own = right.unique(return_inverse=True)
    hits = torch.stack([(answers == each).any(dim=1) for each in known.tolist()], dim=1)
    table = hits[solved].double()
    generator = torch.Generator().manual_seed(seed)
    dealt = torch.stack(
        [own[torch.randperm(len(own), generator=generator)][solved] for _ in range(n_draws)], dim=1
    )
    chance = float(table[:, own].mean())
    reached = float(table.gather(1, own[solved][:, None]).mean())
    apart = (table.gather(1, dealt).mean(dim=0) - chance).abs()
    return (1 + int((apart >= abs(reached - chance) - _TIE).sum())) / (1 + n_draws)


def _covered(curve: PassCurve, solved: Tensor, inference: Inference) -> tuple[Estimate, Estimate]:
    if int(solved.sum()) < 2:
        nothing = Estimate.missing(len(curve.k))
        return nothing, nothing
    found = covered(curve, solved, inference=inference)
    return found.covered, found.above
