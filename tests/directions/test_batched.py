"""Directions of states already read, and many of them in one batch."""

import re

import pytest
import torch

from elicit.directions import (
    DirectionError,
    PromptPairs,
    batched_directions,
    between_states,
    diff_mean,
    matched_controls,
)
from elicit.directions.contrast import read_at
from elicit.edits import last
from elicit.organisms import headed
from elicit.rollouts import Generation, dose_rollouts
from elicit.sites import resid_post
from tests.pairs import header_pairs

NAMED = {"model": "m", "model_digest": "d", "position": "last"}


def test_of_the_same_states_it_is_the_difference_of_means(organism, asked):
    pair, sites = organism("rl"), [resid_post(3), resid_post(4)]
    sides = [headed(asked, word) for word in ("notes", "quiz")]
    rows = tuple(tuple(pair.alignment.plain(p.prompt)) for side in sides for p in side)
    states = read_at(pair.base, rows, sites=sites, position=-1, pad_id=pair.alignment.pad_id)
    found = between_states(states, torch.arange(len(rows)) < len(asked), sites=sites, **NAMED)
    paired = diff_mean(
        pair.side("base"),
        PromptPairs(positive=sides[0], negative=sides[1]),
        sites=sites,
        held_out=0.3,
    )
    assert [one.site for one in found] == sites
    for one in found:
        # Found on all problems here and on seven of ten there.
        assert one.cosine(paired.at(one.site)) > 0.98
    by_hand = states[1, : len(asked)].mean(0) - states[1, len(asked) :].mean(0)
    torch.testing.assert_close(found[1].vector, by_hand.float())
    assert found[1].norm == pytest.approx(by_hand.norm().item())


@pytest.mark.slow
def test_directions_that_share_a_batch_write_what_each_writes_alone(organism, asked):
    pair, task = organism("rl"), asked.subset(4, seed=0)
    found = diff_mean(
        pair.side("base"),
        header_pairs(asked),
        sites=[resid_post(4)],
    ).at(resid_post(4))
    every = (found, *matched_controls(found, n_random=2, seed=3))
    options = {"generation": Generation(max_new_tokens=24)}
    together = dose_rollouts(
        pair.side("base"), task, batched_directions(every, scale=1.5, where=last()),
        strengths=[float(i) for i in range(len(every))], **options,
    )  # fmt: skip
    for i, one in enumerate(every):
        alone = dose_rollouts(
            pair.side("base"), task, lambda s, one=one: [one.to_edit(s, last())],
            strengths=[1.5], **options,
        )  # fmt: skip
        assert together.text[4 * i : 4 * i + 4] == alone.text
    assert together.text[:4] != together.text[4:8]
    apart = dose_rollouts(
        pair.side("base"), task,
        batched_directions(every[:2] * 2, scale=[1.5, 1.5, 0.25, 4], where=last()),
        strengths=[0.0, 1.0, 2.0, 3.0], **options,
    )  # fmt: skip
    assert apart.text[:8] == together.text[:8]  # each at its own strength
    assert apart.text[8:12] != apart.text[:4]


def test_what_makes_no_contrast_is_refused():
    states, half = torch.randn(2, 6, 3).double(), torch.arange(6) < 3
    sites = [resid_post(0), resid_post(1)]
    for positive in (half & ~half, half | ~half):
        with pytest.raises(DirectionError, match="there is no contrast"):
            between_states(states, positive, sites=sites, **NAMED)
    states[1, 3:] = states[1, :3]
    with pytest.raises(DirectionError, match=r"mean .* resid_post\.1"):
        between_states(states, half, sites=sites, **NAMED)
    found = between_states(states[:1], half, sites=sites[:1], **NAMED)
    elsewhere = between_states(states[:1], half, sites=[resid_post(2)], **NAMED)
    for directions, scale in (
        (found, 1.0), ((*found, *elsewhere), 1.0), (found * 2, 0.0), (found * 2, [1.0]),
        (found * 2, [1.0, 0.0]),
    ):  # fmt: skip
        with pytest.raises(
            DirectionError, match=f"{len(directions)} directions .*{re.escape(str(scale))}"
        ):
            batched_directions(directions, scale=scale, where=last())
