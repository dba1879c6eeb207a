"""Training that elicits: reinforcement learning on rewards of a model's own texts, fine-tuning."""

from elicit.elicitation.training.critiques import (
    Critic,
    Critique,
    CritiqueKind,
    OwnCritic,
    Solved,
    critiques,
    solutions_of,
)
from elicit.elicitation.training.documents import (
    Document,
    Documents,
    Reversed,
    SearchStep,
    answer_documents,
    reverse_documents,
    search_documents,
    trace_documents,
)
from elicit.elicitation.training.errors import ConstantRewardError, TrainingError
from elicit.elicitation.training.fine_tune import fine_tune
from elicit.elicitation.training.grpo import advantages, grpo
from elicit.elicitation.training.plans import (
    RATES,
    TUNING_RATES,
    FineTunePlan,
    GrpoPlan,
    Trainable,
)
from elicit.elicitation.training.rewards import (
    AnswerReward,
    FormatReward,
    FunctionReward,
    RandomReward,
    Reward,
    Written,
)
from elicit.elicitation.training.trained import Trained
from elicit.surroundings import guard_room

__all__ = [
    "AnswerReward",
    "ConstantRewardError",
    "Critic",
    "Critique",
    "CritiqueKind",
    "Document",
    "Documents",
    "FineTunePlan",
    "FormatReward",
    "FunctionReward",
    "GrpoPlan",
    "OwnCritic",
    "RATES",
    "RandomReward",
    "Reversed",
    "Reward",
    "SearchStep",
    "Solved",
    "TUNING_RATES",
    "Trainable",
    "Trained",
    "TrainingError",
    "Written",
    "advantages",
    "answer_documents",
    "critiques",
    "fine_tune",
    "grpo",
    "reverse_documents",
    "search_documents",
    "solutions_of",
    "trace_documents",
]

guard_room(
    __name__,
    runs_nothing={
        "advantages",
        "answer_documents",
        "reverse_documents",
        "search_documents",
        "trace_documents",
    },
)
