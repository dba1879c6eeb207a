"""What each layer knows, and whether both models know it alike."""

from elicit.representations.errors import RepresentationError
from elicit.representations.labelled import Labelled, read_labelled
from elicit.representations.probes import Probe, fit_probe

__all__ = ["Labelled", "Probe", "RepresentationError", "fit_probe", "read_labelled"]
