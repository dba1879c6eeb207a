"""How long texts are: a few of both models, written before a run is forecast."""

import time
from dataclasses import replace

from elicit.jobs._forecast import Size, Speed
from elicit.pair import ModelPair
from elicit.rollouts import Generation, rollouts
from elicit.tasks import Task

TEXTS = 8
"""Texts of each model."""
FIRST = 16
"""Tokens after which it is first asked whether they have ended."""
MARGIN = 1.5
"""Texts under edits and other prompts may be longer than plain ones by so much on average."""


def length_share(
    pair: ModelPair, task: Task, generation: Generation, speed: Speed, *, seconds: float
) -> float:
    """Expected length of a text as a share of the longest allowed, from plain texts.

    What has not ended when the time is up counts at its longest. Where not even the beginnings
    could be written in time, all texts do.

    Args:
        pair: The two models, of which that with the longer texts counts.
        task: Problems.
        generation: How texts are written.
        speed: Speed of the device.
        seconds: About how long this may take.
    """
    size, longest = Size.of(pair), generation.max_new_tokens
    few = task.subset(min(TEXTS, len(task)), 0)
    each = 2 * (size.layers + size.head) / speed.writing
    shares = []
    for name in ("base", "post"):
        left, cap = seconds / 2, min(FIRST, longest)
        if cap * len(few) * each > left:
            return 1.0
        while True:
            began = time.perf_counter()
            texts = rollouts(
                pair.side(name), few, generation=replace(generation, max_new_tokens=cap)
            )
            took = time.perf_counter() - began
            left -= took
            cut = texts.truncated
            if cap == longest or not bool(cut.any()) or 2 * took > left:
                break
            cap = min(2 * cap, longest)
        tokens = texts.n_tokens.double().masked_fill(cut, longest)
        shares.append(float(tokens.mean()) / longest)
    return min(1.0, MARGIN * max(shares))
