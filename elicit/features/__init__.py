"""Which SAE features carry it, and do they transfer?"""

from elicit.features.edits import add, clamp, project_out, rewrite, splice
from elicit.features.errors import FeatureError
from elicit.features.loading import from_sae_lens, load_sae
from elicit.features.sae import Published, Sae

__all__ = [
    "FeatureError",
    "Published",
    "Sae",
    "add",
    "clamp",
    "from_sae_lens",
    "load_sae",
    "project_out",
    "rewrite",
    "splice",
]
