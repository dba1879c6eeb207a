"""Training that elicits: reinforcement learning on rewards of a model's own texts, fine-tuning."""

from elicit.elicitation.training.collateral import Collateral, collateral, fact_accuracy
from elicit.elicitation.training.critiques import (
    Critic,
    Critique,
    CritiqueKind,
    OwnCritic,
    RuleCritic,
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
from elicit.elicitation.training.examples import ExampleRates, Hardness, example_rates
from elicit.elicitation.training.fine_tune import fine_tune, within_positions
from elicit.elicitation.training.grpo import advantages, grpo
from elicit.elicitation.training.means import (
    ReinforcedMeans,
    TrainingName,
    TunedMeans,
    training_means,
)
from elicit.elicitation.training.memory import training_memory
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
from elicit.elicitation.training.trained import Trained, TrainingCourse
from elicit.surroundings import guard_room

__all__ = [
    "AnswerReward",
    "Collateral",
    "ConstantRewardError",
    "Critic",
    "Critique",
    "CritiqueKind",
    "Document",
    "Documents",
    "ExampleRates",
    "FineTunePlan",
    "FormatReward",
    "FunctionReward",
    "GrpoPlan",
    "Hardness",
    "OwnCritic",
    "RATES",
    "RandomReward",
    "ReinforcedMeans",
    "RuleCritic",
    "Reversed",
    "Reward",
    "SearchStep",
    "Solved",
    "TUNING_RATES",
    "Trainable",
    "Trained",
    "TrainingCourse",
    "TrainingError",
    "TrainingName",
    "TunedMeans",
    "Written",
    "advantages",
    "answer_documents",
    "collateral",
    "critiques",
    "example_rates",
    "fact_accuracy",
    "fine_tune",
    "grpo",
    "reverse_documents",
    "search_documents",
    "solutions_of",
    "trace_documents",
    "training_means",
    "training_memory",
    "within_positions",
]

guard_room(
    __name__,
    runs_nothing={
        "advantages",
        "answer_documents",
        "reverse_documents",
        "search_documents",
        "trace_documents",
        "training_means",
    },
)
