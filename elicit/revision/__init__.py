"""When does a prediction settle? Lenses, divergences layer by layer, settling depth."""

from elicit.revision.convention import CONVENTIONS, DepthConvention
from elicit.revision.depth import deep_tokens, settling_depth
from elicit.revision.drift import LensDrift, lens_drift
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens, LogitLens, TunedLens, lens_logits
from elicit.revision.traces import Traces
from elicit.revision.tuned import TunedLensFit, fit_tuned_lens

__all__ = [
    "CONVENTIONS",
    "DepthConvention",
    "Lens",
    "LensDrift",
    "LogitLens",
    "RevisionError",
    "Traces",
    "TunedLens",
    "TunedLensFit",
    "deep_tokens",
    "fit_tuned_lens",
    "lens_drift",
    "lens_logits",
    "settling_depth",
]
