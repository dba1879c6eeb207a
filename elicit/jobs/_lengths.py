"""How long texts are and how quickly they are written: a few of both models, before a forecast."""

import time
from dataclasses import replace

from elicit.jobs._forecast import Size, Speed, clock_of
from elicit.pair import ModelPair
from elicit.rollouts import Generation, rollouts
from elicit.tasks import Task

FEW, MANY = 8, 64
"""Texts of each model: as many as a run writes at once where that is quick, else a few."""
FIRST = 16
"""Tokens after which it is first asked whether they have ended."""
MARGIN = 1.5
"""Texts under edits and other prompts may be longer than plain ones by so much on average."""


def with_texts(
    pair: ModelPair, task: Task, generation: Generation, speed: Speed, *, seconds: float
) -> Speed:
    """A speed that knows how long texts are, and how quickly they are written in a run.

    What has not ended when the time is up counts at its longest. Where not even the beginnings
    could be written in time, all texts do.

    Args:
        pair: The two models, of which that with the longer texts counts.
        task: Problems.
        generation: How texts are written.
        speed: Speed of the device.
        seconds: About how long this may take; of the processor, where that is the device.
    """
    size, longest, clock = Size.of(pair), generation.max_new_tokens, clock_of(pair)
    flop = 2.0 * (size.layers + size.head)
    many = min(MANY, len(task)) * FIRST * flop / speed.writing <= seconds / 4
    some = task.subset(min(MANY if many else FEW, len(task)), 0)
    shares, writing, began_all = [], speed.writing, clock()
    for name, until in (("base", seconds / 2), ("post", seconds)):
        # What base did not need is post's: a base that answers at once ends within a moment.
        left, cap = until - (clock() - began_all), min(FIRST, longest)
        if cap * len(some) * flop / speed.writing > 2 * left:
            return speed
        while True:
            began, start = time.perf_counter(), clock()
            texts = rollouts(
                pair.side(name), some, generation=replace(generation, max_new_tokens=cap)
            )
            took = clock() - start
            writing = max(writing, flop * int(texts.n_tokens.sum()) / (time.perf_counter() - began))
            left -= took
            cut = texts.truncated
            if cap == longest or not bool(cut.any()) or 2 * took > left:
                break
            cap = min(2 * cap, longest)
        tokens = texts.n_tokens.double().masked_fill(cut, longest)
        shares.append(float(tokens.mean()) / longest)
    return replace(speed, writing=writing, length=min(1.0, MARGIN * max(shares)))
