"""Sample text: batched, with a cache of keys and values, and a random stream for every row.

`rollouts` samples, `resume` continues truncated texts, `resample` samples after any prefix,
`dose_rollouts` samples under edits of several strengths, `cross_rollouts` writes with two models;
`LogitRule` (`Dial`, `Proxy`, `Contrast`) draws from logits that several models make together;
`branch_rollouts` writes greedily from each of the most probable first tokens; `guided_rollouts`
pushes single tokens while a text is written; `particle_rollouts` draws from a sharpened
distribution over whole texts; `answer_task` generates one answer per problem, `continue_ids` is the
token loop itself. `Generation` holds the options.
"""

from elicit.rollouts._edits_digest import edits_digest
from elicit.rollouts.answers import Answers, answer_task
from elicit.rollouts.branching import Branched, branch_rollouts
from elicit.rollouts.crossing import Crossed, Takes, cross_rollouts
from elicit.rollouts.dosing import check_strengths, dose_rollouts
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.generation import Generation
from elicit.rollouts.guidance import Guidance, StateSwitch, SwitchKind
from elicit.rollouts.guiding import Guided, guided_rollouts
from elicit.rollouts.loop import TokenDraws, continue_ids
from elicit.rollouts.particles import Particles, particle_rollouts
from elicit.rollouts.prompts import check_prompts
from elicit.rollouts.resume import resample, resume
from elicit.rollouts.rules import Contrast, Dial, LogitRule, Proxy, RuleModel, weighted
from elicit.rollouts.sampling import rollouts
from elicit.rollouts.streams import stream_key
from elicit.rollouts.values import Rollouts, Sampling
from elicit.rollouts.writing import EditsAt
from elicit.surroundings import guard_room

__all__ = [
    "TokenDraws",
    "Answers",
    "Branched",
    "Contrast",
    "Crossed",
    "Dial",
    "EditsAt",
    "Generation",
    "Guidance",
    "Guided",
    "LogitRule",
    "Particles",
    "Proxy",
    "RolloutError",
    "Rollouts",
    "RuleModel",
    "Sampling",
    "StateSwitch",
    "SwitchKind",
    "Takes",
    "answer_task",
    "branch_rollouts",
    "check_prompts",
    "check_strengths",
    "continue_ids",
    "cross_rollouts",
    "dose_rollouts",
    "edits_digest",
    "guided_rollouts",
    "particle_rollouts",
    "resample",
    "resume",
    "rollouts",
    "stream_key",
    "weighted",
]

guard_room(
    __name__,
    runs_nothing={"check_prompts", "check_strengths", "edits_digest", "stream_key", "weighted"},
)
