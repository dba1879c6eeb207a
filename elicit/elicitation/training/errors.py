"""What can go wrong while a model is trained to elicit."""

from elicit.elicitation.errors import ElicitationError


class TrainingError(ElicitationError):
    """Training that could not start, could teach nothing, or does not fit a model."""


class ConstantRewardError(TrainingError):
    """A reward that was the same for all texts, so no text was better than another."""
