"""When does a prediction settle? Lenses, divergences layer by layer, settling depth."""

from elicit.revision.convention import CONVENTIONS, DepthConvention
from elicit.revision.corrections import LensTraining
from elicit.revision.depth import deep_tokens, settling_depth
from elicit.revision.drift import LensDrift, lens_drift
from elicit.revision.early import DeepThinking, deep_thinking
from elicit.revision.errors import RevisionError
from elicit.revision.groups import DepthByGroup, depth_by_group
from elicit.revision.lens import Lens, LogitLens, Norm, TunedLens, lens_logits
from elicit.revision.profile import Profile, profile
from elicit.revision.sensitivity import RHOS, THRESHOLDS, Sensitivity, sensitivity
from elicit.revision.settling import Settling, settling
from elicit.revision.thinking import PrefixSelection, ThinkAtN, Thought, think, think_at_n
from elicit.revision.tuned import TunedLensFit, fit_tuned_lens
from elicit.surroundings import guard_room
from elicit.texts import TokenRows

__all__ = [
    "CONVENTIONS",
    "RHOS",
    "THRESHOLDS",
    "DeepThinking",
    "DepthByGroup",
    "DepthConvention",
    "Lens",
    "LensDrift",
    "LensTraining",
    "LogitLens",
    "Norm",
    "PrefixSelection",
    "Profile",
    "RevisionError",
    "Sensitivity",
    "Settling",
    "ThinkAtN",
    "Thought",
    "TokenRows",
    "TunedLens",
    "TunedLensFit",
    "deep_thinking",
    "deep_tokens",
    "depth_by_group",
    "fit_tuned_lens",
    "lens_drift",
    "lens_logits",
    "profile",
    "sensitivity",
    "settling",
    "settling_depth",
    "think",
    "think_at_n",
]

guard_room(__name__)
