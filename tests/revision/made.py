"""Depths and profiles made by hand, so that every number in a picture is known beforehand."""

import torch

from elicit.results import Estimate
from elicit.revision import (
    DepthByGroup,
    DepthConvention,
    Profile,
    Sensitivity,
    Settling,
    depth_by_group,
    sensitivity,
    settling_depth,
)
from elicit.stats import Inference, joint_estimate, mean_by_problem
from elicit.texts import LN2
from tests.page.made import provenance

N_LAYERS = 5


def settling(
    *,
    later: float = 0.0,
    n_problems: int = 8,
    n_tokens: int = 6,
    sources: tuple[str, ...] = ("given",),
    words: tuple[str, ...] = ("so", "a", "=", "3"),
    seed: int = 0,
) -> Settling:
    """Divergences that fall over the layers; post's of some tokens by up to `later` more."""
    generator = torch.Generator().manual_seed(seed)
    n = len(sources) * n_problems * n_tokens
    fall = torch.linspace(1, 0, N_LAYERS + 1)[:, None] ** torch.tensor([1.0, 3.0]).repeat(n // 2)
    base = LN2 * fall * (0.7 + 0.3 * torch.rand(n, generator=generator))
    post = base.clone()
    post[1:-1] = (post[1:-1] + later * torch.rand(n, generator=generator)).clamp(max=LN2)
    jsd = torch.stack([base, post])
    convention = DepthConvention()
    deep_from = convention.deep_from(N_LAYERS)
    depth = settling_depth(jsd.transpose(0, 1), convention)
    row = torch.arange(n_problems).repeat_interleave(n_tokens).repeat(len(sources))
    source_of = torch.arange(len(sources)).repeat_interleave(n_problems * n_tokens)
    told: dict[str, list[Estimate]] = {}
    for s in range(len(sources)):
        here = source_of == s
        profile, depths, dtr = (
            mean_by_problem(values[..., here], row[here], n_problems).movedim(-1, 0)
            for values in (jsd, depth, depth >= deep_from)
        )
        parts = {
            "profile": profile, "profile_diff": profile[:, 1] - profile[:, 0],
            "mean_depth": depths, "depth_diff": depths[:, 1] - depths[:, 0],
            "dtr": dtr, "dtr_diff": dtr[:, 1] - dtr[:, 0],
        }  # fmt: skip
        for name, part in parts.items():
            estimate = joint_estimate(part, inference=Inference(n_resamples=200))
            told.setdefault(name, []).append(estimate)
    return Settling(
        provenance=provenance(),
        convention=convention,
        source=sources,
        model=("base", "post"),
        lens=("LogitLens", "LogitLens"),
        layer=torch.arange(N_LAYERS + 1),
        deep_from=deep_from,
        n_problems=torch.full((len(sources),), n_problems),
        level=0.95,
        token=tuple(words[i % len(words)] for i in range(n)),
        source_of=source_of,
        row=row,
        pos=torch.arange(n_tokens).repeat(n // n_tokens),
        problem=tuple(f"p{i}" for i in range(n_problems)),
        problem_of=row,
        jsd=jsd,
        depth=depth,
        deep=depth >= deep_from,
        **{name: Estimate.stack(values) for name, values in told.items()},
    )


def band(found: Settling) -> Sensitivity:
    """The band of conventions of some depths."""
    return sensitivity(found, inference=Inference(n_resamples=200))


def groups(found: Settling, names: tuple[str | int, ...] = (1, 2)) -> DepthByGroup:
    """Depths by the number of each problem, in turn."""
    of = [names[int(problem) % len(names)] for problem in found.problem_of]
    return depth_by_group(found, of, inference=Inference(n_resamples=200))


def profile(
    *, n_tokens: int = 6, rows: int = 2, words: tuple[str, ...] = ("so", "a", "=", "3")
) -> Profile:
    """Readings of two models on some rows."""
    generator = torch.Generator().manual_seed(3)
    n = rows * n_tokens
    shape = (2, N_LAYERS + 1, n)
    values = {
        name: torch.rand(shape, generator=generator) for name in ("jsd", "kl", "entropy", "prob")
    }
    return Profile(
        provenance=provenance(),
        model=("base", "post"),
        layer=torch.arange(N_LAYERS + 1),
        token=tuple(words[i % len(words)] for i in range(n)),
        row=torch.arange(rows).repeat_interleave(n_tokens),
        pos=torch.arange(n_tokens).repeat(rows),
        problem=tuple(f"p{i}" for i in range(rows)),
        source="given",
        lens=("LogitLens", "LogitLens"),
        head="own",
        norm="once",
        jsd=LN2 * values["jsd"],
        kl=values["kl"],
        entropy=values["entropy"],
        rank=torch.ones(shape, dtype=torch.int64),
        prob=values["prob"],
        top=torch.zeros(2, n, dtype=torch.int64),
        top_prob=torch.full((2, n), 0.5),
        top_id=torch.randint(len(words), (*shape, 1), generator=generator),
        top_log_prob=torch.full((*shape, 1), -1.0),
        word=words,
        word_id=torch.arange(len(words)),
    )
