"""Which SAE features carry it, and do they transfer?"""

from elicit.features.errors import FeatureError
from elicit.features.loading import from_sae_lens, load_sae
from elicit.features.sae import Published, Sae

__all__ = ["FeatureError", "Published", "Sae", "from_sae_lens", "load_sae"]
