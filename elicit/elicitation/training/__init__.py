"""Training that elicits: reinforcement learning on rewards of a model's own texts, fine-tuning."""

from elicit.elicitation.training.errors import ConstantRewardError, TrainingError
from elicit.elicitation.training.grpo import advantages, grpo
from elicit.elicitation.training.plans import RATES, GrpoPlan, Trainable
from elicit.elicitation.training.rewards import (
    AnswerReward,
    FormatReward,
    FunctionReward,
    RandomReward,
    Reward,
    Sees,
    Written,
)
from elicit.elicitation.training.trained import Trained
from elicit.surroundings import guard_room

__all__ = [
    "AnswerReward",
    "ConstantRewardError",
    "FormatReward",
    "FunctionReward",
    "GrpoPlan",
    "RATES",
    "RandomReward",
    "Reward",
    "Sees",
    "Trainable",
    "Trained",
    "TrainingError",
    "Written",
    "advantages",
    "grpo",
]

guard_room(__name__, runs_nothing={"advantages"})
