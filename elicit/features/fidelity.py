"""Gates: does an SAE hold what a model has at a site, before anything is concluded from it?"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.features.errors import FeatureError
from elicit.features.reading import On, blocks, checked, rows_of, told_of, wide
from elicit.features.sae import Sae
from elicit.pair import ModelPair
from elicit.results import Progress, Result, digest_json


class Spread:
    """Sum of squared deviations from the mean, added to a batch at a time in float64.

    Attributes:
        n: Vectors seen.
        mean: Their mean.
        total: Sum over vectors of ‖x - mean‖².
    """

    def __init__(self, width: int) -> None:
        """Begin with no vector."""
        self.n = 0
        self.mean: Float[Tensor, " width"] = torch.zeros(width, dtype=torch.float64)
        self.total = 0.0

    def update(self, x: Float[Tensor, "token width"]) -> None:
        """Add vectors.

        Args:
            x: Activations.

        Source: Chan, Golub and LeVeque 1979.
        """
        own = wide(x)
        mean = own.mean(0)
        step = mean.cpu() - self.mean
        n = self.n + len(own)
        self.total += float((own - mean).square().sum())
        self.total += float(step.square().sum()) * self.n * len(own) / n
        self.mean += step * (len(own) / n)
        self.n = n


@dataclass(frozen=True, eq=False, kw_only=True)
class Fidelity(Result):
    """How well an SAE holds a model's activations, beside what its makers published."""

    sae: str
    """Name of the SAE."""
    site: str
    """Where it was read."""
    model: str
    """Model that was read."""
    n_tokens: int
    """Tokens read; first and special ones do not count."""
    fvu: float
    """Σ‖x - x̂‖² / Σ‖x - x̄‖² with this model's own mean: 0 perfect, 1 no better than the mean."""
    l0: float
    """Mean active features a token."""
    dead_fraction: float
    """Share of features that were active on none of these tokens."""
    published_fvu: float
    """What the makers say; NaN where they do not."""
    published_l0: float
    """What the makers say; NaN where they do not."""
    published_dead_fraction: float
    """What the makers say; NaN where they do not."""
    feature: Int[Tensor, " feature"]
    """Number of each feature."""
    density: Float[Tensor, " feature"]
    """Share of tokens at which each feature was active."""
    max_act: Float[Tensor, " feature"]
    """Largest activation of each feature; the unit in which strengths of steering are told."""

    def require(self, *, max_fvu: float = 0.5, l0_factor: float = 2.0) -> None:
        """Refuse to go on with an SAE that does not hold this model's activations.

        Args:
            max_fvu: Largest FVU that is let through.
            l0_factor: How many times more or fewer features than published may be active.

        Raises:
            FeatureError: The SAE fails one of the two.
        """
        if not self.fvu <= max_fvu:
            raise FeatureError(
                f"{self.sae} leaves {self.fvu:.3g} of the variance at {self.site} of {self.model} "
                f"unexplained and at most {max_fvu:g} is let through, so its features would stand "
                "for little of what the model does. Check hook point, model and processing, or "
                "pass a larger max_fvu."
            )
        ratio = self.l0 / self.published_l0 if self.published_l0 else float("nan")
        if ratio == ratio and not 1 / l0_factor <= ratio <= l0_factor:
            raise FeatureError(
                f"{self.sae} has {self.l0:.4g} active features a token on {self.model} and "
                f"{self.published_l0:.4g} were published, so it does not read what it was trained "
                "on. Check hook point, model and processing, or pass a larger l0_factor."
            )


def fidelity(
    pair: ModelPair,
    sae: Sae,
    rows: Sequence[Sequence[int]],
    *,
    on: On,
    max_tokens: int = 8192,
    progress: Progress | None = None,
) -> Fidelity:
    """How well an SAE holds one model's activations: FVU, L0, dead features, in one pass.

    Args:
        pair: Base and post.
        sae: What is tested.
        rows: Token ids of each row.
        on: Which model is read.
        max_tokens: Most positions in a chunk, padding counted.
        progress: Told the rows done.

    Raises:
        FeatureError: The SAE is of another width, site or model, is a transcoder, or there is
            nothing to read.
    """
    sae.check_reconstructs()
    model, tokens = checked(pair, sae, on), rows_of(pair, rows)
    spread, error, n_active = Spread(sae.d_in), 0.0, torch.zeros(sae.d_sae, dtype=torch.long)
    max_act = torch.zeros(sae.d_sae)
    found = blocks(
        model,
        sae,
        tokens,
        pad_id=pair.alignment.pad_id,
        reconstruct=True,
        max_tokens=max_tokens,
        progress=progress,
    )
    for block in found:
        assert block.made is not None
        spread.update(block.x)
        error += float((wide(block.x).to(block.made.device) - wide(block.made)).square().sum())
        n_active += (block.acts != 0).sum(0).cpu()
        max_act = torch.maximum(max_act, block.acts.amax(0).float().cpu())
    said = sae.published
    nan = float("nan")
    return Fidelity(
        sae=sae.name,
        site=str(sae.site),
        model=pair.base_name if on == "base" else pair.post_name,
        n_tokens=spread.n,
        fvu=error / spread.total if spread.total else nan,
        l0=float(n_active.sum()) / spread.n,
        dead_fraction=float((n_active == 0).double().mean()),
        published_fvu=nan if said.fvu is None else said.fvu,
        published_l0=nan if said.l0 is None else said.l0,
        published_dead_fraction=nan if said.dead_fraction is None else said.dead_fraction,
        feature=torch.arange(sae.d_sae),
        density=n_active.double() / spread.n,
        max_act=max_act,
        provenance=pair.provenance(
            arguments={**told_of(sae), "on": on, "rows": digest_json(tokens.rows)}
        ),
    )
