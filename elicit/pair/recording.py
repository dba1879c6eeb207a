"""Which models have the step of a token recorded and replayed while they write."""

from weakref import WeakSet

from torch import nn

_recorded: WeakSet[nn.Module] = WeakSet()


def record_steps(model: nn.Module, wanted: bool = True) -> None:
    """Record the step of a token once a batch and replay it, as a CUDA graph.

    Args:
        model: A bridge or a Hugging Face model, all of it on one CUDA device.
        wanted: False takes it back.
    """
    (_recorded.add if wanted else _recorded.discard)(getattr(model, "original_model", model))


def records_steps(model: nn.Module) -> bool:
    """Whether its steps are to be recorded.

    Args:
        model: A bridge or a Hugging Face model.
    """
    return getattr(model, "original_model", model) in _recorded
