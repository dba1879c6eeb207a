"""Style against ability: every word on texts by hand, and planted pairs."""

import pytest
import torch

from elicit import organisms
from elicit.rollouts import Generation, Rollouts, Sampling, rollouts
from elicit.stats import Inference
from elicit.tasks import Problem, Task, load_task
from elicit.verdicts import VerdictError, style_or_ability

N = 40
FEW = Inference(n_resamples=200)
TASK = Task(
    name="hand", problems=tuple(Problem(id=f"p{i}", prompt="Q", answer="7") for i in range(N))
)
LONG = {"long": lambda text: len(text.split()) > 3}


def texts(long: float, right: float) -> Rollouts:
    """One text of each problem; these shares are long, and right."""
    n_long, n_right = round(long * N), round(right * N)
    return Rollouts(
        task=TASK.name,
        task_digest=TASK.digest,
        sampling=Sampling(
            stop_ids=(2,), max_new_tokens=8, temperature=0.0, top_p=1.0, seed=0, templated=False
        ),
        problem=tuple(p.id for p in TASK),
        place=torch.arange(N),
        sample=torch.zeros(N, dtype=torch.long),
        correct=torch.arange(N) < n_right,
        truncated=torch.zeros(N, dtype=torch.bool),
        n_tokens=torch.ones(N, dtype=torch.long),
        n_forced=torch.zeros(N, dtype=torch.long),
        n_prompt=torch.ones(N, dtype=torch.long),
        written=torch.zeros(N, dtype=torch.long),
        prompted=torch.zeros(N, dtype=torch.long),
        text=tuple("so it is 7" if i < n_long else "7" for i in range(N)),
        extracted=("7",) * N,
    )


def verdict(pair, long: float, right: float, **more):
    return style_or_ability(
        pair,
        TASK,
        free=(texts(0.2, 0.2), texts(long, right)),
        matched=(texts(1.0, 0.5), texts(1.0, right)),
        styles=LONG,
        inference=FEW,
        **more,
    )


@pytest.mark.parametrize(
    ("long", "right", "word"),
    [
        (0.9, 0.475, "style"),
        (0.9, 0.1, "style"),
        (0.2, 0.95, "ability"),
        (0.9, 0.95, "both"),
        (0.0, 0.3, "neither"),
        (0.9, 0.55, "not told"),
    ],
)
def test_the_word_is_what_rose(organism, long, right, word):
    found = verdict(organism("rl"), long, right)
    assert found.verdict == word, found.reason
    assert float(found.style_change.value[0]) == pytest.approx(long - 0.2)
    assert float(found.ability_change.value) == pytest.approx(right - 0.5)
    assert float(found.free_change.value) == pytest.approx(right - 0.2)
    assert found.detectable > 0 and found.figure().data


def test_texts_of_another_task_and_no_styles_are_refused(organism):
    pair = organism("rl")
    other = Task(name="o", problems=TASK.problems[:3])
    with pytest.raises(VerdictError, match="two of each"):
        style_or_ability(pair, other, free=(texts(1, 1),) * 2, matched=(texts(1, 1),) * 2)
    with pytest.raises(VerdictError, match="0 styles"):
        style_or_ability(pair, TASK, free=(texts(1, 1),) * 2, matched=(texts(1, 1),) * 2, styles={})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "word"), [("rl", "style"), ("created", "both")])
def test_planted_pairs_are_told_apart(organism, name, word):
    """Post of `rl` only writes traces more often; that of `created` also learned an operator."""
    pair = organism(name)
    task = load_task(organisms.resolve(name).problems).subset(40, seed=0)
    so = {p.id: pair.alignment.continued(p.turns, "so").written for p in task}
    free, matched = (
        [
            rollouts(
                pair.side(model), task, generation=Generation(max_new_tokens=72), prefixes=begun
            )
            for model in ("base", "post")
        ]
        for begun in (None, so)
    )
    found = style_or_ability(
        pair, task, free=free, matched=matched, styles={"trace": organisms.shows_trace},
        inference=FEW,
    )  # fmt: skip
    assert found.verdict == word, found.reason
