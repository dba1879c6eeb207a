"""Whether a model's forward depends on its weights alone."""

from torch import nn

from elicit.edits import active
from elicit.surroundings import foreign_hook


def modifications_of(model: nn.Module) -> str | None:
    """What changes the model's forward besides its weights, as a clause; None if nothing does."""
    if model.training:
        return "is in training mode, so dropout changes its activations from run to run"
    if active(model) is not None:
        return "is under edits"
    found = foreign_hook(model, edits=True)
    return None if found is None else f"has a hook at {found}"
