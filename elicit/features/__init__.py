"""Which SAE features carry it, and do they transfer?"""

from elicit.features.candidates import HeldOut, check_contrast, held_out
from elicit.features.conclusion import Conclusion, conclude
from elicit.features.contrasting import ContrastScores, contrast_scores, cot_minus_direct
from elicit.features.crosscoder import (
    Crosscoder,
    crosscoder_scaling,
    load_crosscoder,
    post_only_features,
)
from elicit.features.crosscoding import train_crosscoder
from elicit.features.edits import add, clamp, project_out, rewrite, splice
from elicit.features.errors import FeatureError
from elicit.features.falsifying import TokenInjection, injection_verdict, token_injection
from elicit.features.fidelity import Fidelity, fidelity
from elicit.features.frames import Frame, Frames, fit_frames
from elicit.features.groups import REASONING_WORDS, TokenGroups, known_words, token_groups
from elicit.features.loading import from_sae_lens, load_sae
from elicit.features.reading import On
from elicit.features.reason import ReasonScores, reason_score, reason_scores, spread_over_groups
from elicit.features.regenerating import Regeneration, regeneration
from elicit.features.sae import Published, Sae
from elicit.features.scaling import LatentScaling, latent_scaling
from elicit.features.table import FeatureTable, feature_table
from elicit.features.training import TrainConfig, train
from elicit.features.transferring import Transfer, transfer

__all__ = [
    "REASONING_WORDS",
    "Conclusion",
    "ContrastScores",
    "Crosscoder",
    "FeatureError",
    "FeatureTable",
    "Fidelity",
    "Frame",
    "Frames",
    "HeldOut",
    "LatentScaling",
    "On",
    "Published",
    "ReasonScores",
    "Regeneration",
    "Sae",
    "TokenGroups",
    "TokenInjection",
    "TrainConfig",
    "Transfer",
    "add",
    "check_contrast",
    "clamp",
    "conclude",
    "contrast_scores",
    "cot_minus_direct",
    "crosscoder_scaling",
    "feature_table",
    "fidelity",
    "fit_frames",
    "from_sae_lens",
    "held_out",
    "injection_verdict",
    "known_words",
    "latent_scaling",
    "load_crosscoder",
    "load_sae",
    "post_only_features",
    "project_out",
    "reason_score",
    "reason_scores",
    "regeneration",
    "rewrite",
    "splice",
    "spread_over_groups",
    "token_groups",
    "token_injection",
    "train",
    "train_crosscoder",
    "transfer",
]
