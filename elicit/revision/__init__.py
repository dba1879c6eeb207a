"""When does a prediction settle? Lenses, divergences layer by layer, settling depth."""

from elicit.revision.convention import CONVENTIONS, DepthConvention
from elicit.revision.depth import deep_tokens, settling_depth
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens, LogitLens, TunedLens, lens_logits
from elicit.revision.traces import Traces

__all__ = [
    "CONVENTIONS",
    "DepthConvention",
    "Lens",
    "LogitLens",
    "RevisionError",
    "Traces",
    "TunedLens",
    "deep_tokens",
    "lens_logits",
    "settling_depth",
]
