"""What can go wrong while something is trained."""

from torch import Tensor

from elicit.results import ElicitError


class FittingError(ElicitError):
    """Training that could not start or could not go on."""


class NotFiniteError(FittingError):
    """Training whose parameters or measurements are no longer finite."""

    def __init__(self, *, update: int, steps: int, rate: float, measured: Tensor) -> None:
        """Say where training stopped; `measured` is what that update measured."""
        self.update, self.measured = update, measured
        super().__init__(
            f"at update {update} of {steps}, at a learning rate of {rate:.3g}, a parameter or a "
            "measurement is not finite, so what follows would mean nothing. Pass a smaller "
            "learning_rate, or check the model's weights."
        )
