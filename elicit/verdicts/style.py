"""Style against ability: did post-training change how texts look, or what they get right?

An imitation model writes like its teacher and is right no more often. So style is read in texts
that both models write freely, and ability where both are held to one form.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.rollouts import Rollouts
from elicit.stats import (
    Inference,
    Interval,
    joint_estimate,
    mean_by_problem,
    minimum_detectable_effect,
    paired_difference,
    problem_mean,
)
from elicit.tasks import REASONS, Task, longer_than, shown
from elicit.verdicts.dependence import MARGIN
from elicit.verdicts.errors import VerdictError

STYLES: Mapping[str, Callable[[str], bool]] = {f"{REASONS} words or more": longer_than(REASONS - 1)}
"""What a text may show, by name."""


@dataclass(frozen=True, eq=False, kw_only=True)
class StyleOrAbility(Result):
    """Whether post differs from base in how it writes, in what it gets right, or in both."""

    verdict: str
    """`style`, `ability`, `both`, `neither`, or `not told`."""
    reason: str
    """The numbers that it rests on."""
    style: tuple[str, ...]
    """What texts may show."""
    reading: tuple[str, ...]
    """`base`, `post`."""
    shown: Annotated[Estimate, "style reading"]
    """Share of free texts that show it, with the interval of this number alone."""
    style_change: Annotated[Estimate, "style"]
    """Post minus base, paired by problem, with intervals simultaneous over styles."""
    matched: Annotated[Estimate, "reading"]
    """Share of right answers where both models are held to one form."""
    ability_change: Annotated[Estimate, ""]
    """Post minus base, paired by problem."""
    free: Annotated[Estimate, "reading"]
    """Share of right answers in free texts: a difference there may be one of form."""
    free_change: Annotated[Estimate, ""]
    """Post minus base, paired by problem."""
    margin: float
    """Rise that still counts as none."""
    detectable: float
    """Rise of ability that so many problems would show with a chance of 80 %; where all agree, the
    largest that they leave room for."""
    n_problems: int
    """Problems."""


def style_or_ability(
    pair: ModelPair,
    task: Task,
    *,
    free: Sequence[Rollouts],
    matched: Sequence[Rollouts],
    styles: Mapping[str, Callable[[str], bool]] = STYLES,
    margin: float = MARGIN,
    inference: Inference = Inference(),
) -> StyleOrAbility:
    """Whether post differs from base in style, in ability, or in both.

    A rise is none where its interval lies below the margin, and one where it lies above 0 and not
    all below the margin. Style rose where any of the styles did, by intervals that hold for all.

    Args:
        pair: The two models, for the provenance.
        task: The problems.
        free: Base's texts and post's, written as each likes.
        matched: Texts of both held to one form: begun with one opener, or after solved problems in
            that form.
        styles: What a free text may show, by name.
        margin: Rise that still counts as none.
        inference: Coverage, resamples and seed.

    Raises:
        VerdictError: Texts are of another task, there are no styles, or the margin is not positive.

    Source: Gudibande et al. 2023 (arXiv:2305.15717): imitation models are rated like their teacher
        and close no gap on tasks that the imitated texts do not cover.
    """
    texts = [*free, *matched]
    if len(free) != 2 or len(matched) != 2 or any(t.task_digest != task.digest for t in texts):
        raise VerdictError(
            f"there are {len(free)} free and {len(matched)} matched texts, and two of each are "
            f"needed, base's and post's, of task {shown(task.name)} with digest "
            f"{task.digest[:12]}. Sample that task with both models."
        )
    if not styles or not margin > 0:
        raise VerdictError(
            f"there are {len(styles)} styles and the margin is {margin}, so nothing could be said "
            "to rise. Name what a text may show, and pass a margin above 0."
        )
    n = len(task)
    marks = torch.stack(
        [torch.stack([_shares(each, shows, n) for shows in styles.values()]) for each in free]
    )
    right, loose = (
        torch.stack([mean_by_problem(each.correct.double(), each.place, n) for each in pair_of])
        for pair_of in (matched, free)
    )
    change = joint_estimate((marks[1] - marks[0]).T, inference=inference, span=1.0)
    gained = paired_difference(right[1], right[0], inference=inference, proportion=True)
    looked = [_rose(*change[i].ends[1:], margin) for i in range(len(styles))]
    style = True if True in looked else None if None in looked else False
    ability = _rose(gained.low, gained.high, margin)
    loosened = paired_difference(loose[1], loose[0], inference=inference, proportion=True)
    return StyleOrAbility(
        provenance=pair.provenance(
            inference.seed,
            {"question": "style_or_ability", "styles": list(styles), "margin": margin,
             "level": inference.level},
            task_digests={task.name: task.digest},
        ),
        verdict=_word(style, ability),
        reason=_reason(list(styles), change.within(-1.0, 1.0), gained),
        style=tuple(styles),
        reading=("base", "post"),
        shown=Estimate.stack(
            Estimate.of_intervals(_share(side[i], inference) for side in marks)
            for i in range(len(styles))
        ),
        style_change=change.within(-1.0, 1.0),
        matched=Estimate.of_intervals(_share(side, inference) for side in right),
        ability_change=Estimate.of_intervals([gained])[0],
        free=Estimate.of_intervals(_share(side, inference) for side in loose),
        free_change=Estimate.of_intervals([loosened])[0],
        margin=margin,
        detectable=_detectable(right, gained),
        n_problems=n,
    )  # fmt: skip


def _shares(texts: Rollouts, shows: Callable[[str], bool], n: int) -> Float[Tensor, " problem"]:
    """Share of each problem's texts that show something."""
    seen = torch.tensor([bool(shows(text)) for text in texts.text])
    return mean_by_problem(seen.double(), texts.place, n)


def _share(values: Float[Tensor, " problem"], inference: Inference) -> Interval:
    return problem_mean(values, inference=inference, method="bca", proportion=True)


def _rose(low: float, high: float, margin: float) -> bool | None:
    """Whether a difference is a rise; None where its interval does not tell."""
    if high < margin:
        return False
    return True if low > 0 else None


def _word(style: bool | None, ability: bool | None) -> str:
    if style is None or ability is None:
        return "not told"
    return {
        (True, False): "style",
        (False, True): "ability",
        (True, True): "both",
        (False, False): "neither",
    }[style, ability]


def _reason(styles: Sequence[str], change: Estimate, gained: Interval) -> str:
    looks = ", ".join(f"{name} {_ends(*change[i].ends)}" for i, name in enumerate(styles))
    told = _ends(gained.value, gained.low, gained.high)
    return f"style in free texts: {looks}; accuracy in one form {told}"


def _ends(value: float, low: float, high: float) -> str:
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _detectable(right: Float[Tensor, "reading problem"], gained: Interval) -> float:
    apart = (right[1] - right[0]).numpy()
    if len(apart) < 2:
        return float("nan")
    if apart.min() == apart.max():
        return float(gained.high - gained.value)
    return minimum_detectable_effect(apart)
