"""Sample text: batched, with a cache of keys and values, and a random stream for every row.

`rollouts` samples, `resume` continues truncated texts, `resample` samples after any prefix,
`dose_rollouts` samples under edits of several strengths, `cross_rollouts` writes with two models;
`guided_rollouts` pushes single tokens while a text is written; `answer_task` generates one answer
per problem, `continue_ids` is the token loop itself. `Generation` holds the options.
"""

from elicit.rollouts.answers import Answers, answer_task
from elicit.rollouts.crossing import Crossed, Takes, cross_rollouts
from elicit.rollouts.dosing import check_strengths, dose_rollouts
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.generation import Generation
from elicit.rollouts.guidance import Guidance, StateSwitch, SwitchKind
from elicit.rollouts.guiding import Guided, guided_rollouts
from elicit.rollouts.loop import TokenDraws, continue_ids
from elicit.rollouts.prompts import check_prompts
from elicit.rollouts.resume import resample, resume
from elicit.rollouts.sampling import rollouts
from elicit.rollouts.streams import stream_key
from elicit.rollouts.values import Rollouts, Sampling
from elicit.rollouts.writing import EditsAt, edits_digest
from elicit.surroundings import guard_room

__all__ = [
    "TokenDraws",
    "Answers",
    "Crossed",
    "EditsAt",
    "Generation",
    "Guidance",
    "Guided",
    "RolloutError",
    "Rollouts",
    "Sampling",
    "StateSwitch",
    "SwitchKind",
    "Takes",
    "answer_task",
    "check_prompts",
    "check_strengths",
    "continue_ids",
    "cross_rollouts",
    "dose_rollouts",
    "edits_digest",
    "guided_rollouts",
    "resample",
    "resume",
    "rollouts",
    "stream_key",
]

guard_room(
    __name__, runs_nothing={"check_prompts", "check_strengths", "edits_digest", "stream_key"}
)
