"""Sample text: batched, with a cache of keys and values, and a random stream for every row.

`rollouts` samples, `extend` goes on with some of the texts, `dose_rollouts` samples under edits of
several strengths; `answer_task` is one answer a problem, `continue_ids` the token loop itself.
"""

from elicit.rollouts.answers import Answers, answer_task
from elicit.rollouts.dosing import dose_rollouts
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.generation import Generation
from elicit.rollouts.loop import continue_ids
from elicit.rollouts.prompts import check_prompts
from elicit.rollouts.sampling import extend, rollouts
from elicit.rollouts.values import Rollouts, Sampling

__all__ = [
    "Answers",
    "Generation",
    "RolloutError",
    "Rollouts",
    "Sampling",
    "answer_task",
    "check_prompts",
    "continue_ids",
    "dose_rollouts",
    "extend",
    "rollouts",
]
