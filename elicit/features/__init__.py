"""SAE features: selection, falsification, and transfer between the models."""

from elicit.features._inject import Injection
from elicit.features._metadata import disagreements
from elicit.features._positions import Resampling
from elicit.features._reading import TRAINED_ON, check_sae
from elicit.features.activations import FeatureTable, feature_table
from elicit.features.candidates import HeldOut, held_out
from elicit.features.conclusion import NOT_TOKENS, Conclusion, conclude
from elicit.features.contrast import ContrastScores, contrast_scores, cot_minus_direct
from elicit.features.crosscoder import (
    Crosscoder,
    crosscoder_scaling,
    load_crosscoder,
    post_only_features,
)
from elicit.features.crosscoder_training import train_crosscoder
from elicit.features.edits import add, clamp, project_out, rewrite, splice
from elicit.features.errors import FeatureError
from elicit.features.fidelity import Fidelity, fidelity
from elicit.features.frames import Frame, Frames, fit_frames
from elicit.features.latent_scaling import LatentScaling, latent_scaling
from elicit.features.loading import from_sae_lens, load_sae
from elicit.features.reason_score import (
    ReasonScores,
    reason_score,
    reason_scores,
    spread_over_groups,
)
from elicit.features.resampling import ResamplingStability, resampling_stability
from elicit.features.sae import Published, Sae
from elicit.features.texts import PromptContrast, TextRows
from elicit.features.token_groups import REASONING_WORDS, TokenGroups, known_words, token_groups
from elicit.features.token_injection import TokenInjection, injection_verdict, token_injection
from elicit.features.training import TrainConfig, train
from elicit.features.transfer import Transfer, transfer
from elicit.surroundings import guard_room

__all__ = [
    "disagreements",
    "NOT_TOKENS",
    "REASONING_WORDS",
    "TRAINED_ON",
    "Conclusion",
    "ContrastScores",
    "Crosscoder",
    "FeatureError",
    "FeatureTable",
    "Fidelity",
    "Frame",
    "Frames",
    "HeldOut",
    "Injection",
    "LatentScaling",
    "PromptContrast",
    "Published",
    "ReasonScores",
    "Resampling",
    "ResamplingStability",
    "Sae",
    "TextRows",
    "TokenGroups",
    "TokenInjection",
    "TrainConfig",
    "Transfer",
    "add",
    "check_sae",
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
    "resampling_stability",
    "rewrite",
    "splice",
    "spread_over_groups",
    "token_groups",
    "token_injection",
    "train",
    "train_crosscoder",
    "transfer",
]

guard_room(__name__)
