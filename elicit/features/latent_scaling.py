"""Latent scaling: strength of each feature in each model, in closed form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.features._reading import blocks, check_sae, rows_of, sae_arguments, wide
from elicit.features.errors import FeatureError
from elicit.features.sae import Sae
from elicit.pair import ModelPair
from elicit.results import Result, digest_json
from elicit.runs import Execution

TARGETS = ("activation", "reconstruction", "error")
_SPARSE = 16
"""Sums are sparse where fewer than one activation in this many is nonzero."""
_TOKENS, _TOKENS_ON_CPU = 64, 1
"""Tokens per sparse step: on a CPU the directions of one token fill the cache."""


class Scaling:
    """Least-squares scale of each feature's contribution to a target, accumulated over batches.

    β_j = ⟨d_j, Σ_n f_j(n) y_n⟩ / (‖d_j‖² Σ_n f_j(n)²) minimises Σ_n ‖y_n - β_j f_j(n) d_j‖².

    Attributes:
        power: Σ f_j² of each feature.
        n_active: Number of tokens at which each feature is active.
    """

    def __init__(self, directions: Float[Tensor, "feature d_model"]) -> None:
        """Start empty."""
        self._directions = wide(directions)
        self._norms = self._directions.square().sum(1)
        self.power: Float[Tensor, " feature"] = torch.zeros_like(self._norms)
        self.n_active: Int[Tensor, " feature"] = torch.zeros_like(self._norms, dtype=torch.long)
        self._along: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(
        self,
        acts: Float[Tensor, "token feature"],
        targets: Mapping[str, Float[Tensor, "token d_model"]],
        own: Mapping[str, Float[Tensor, "token feature"]],
    ) -> None:
        """Add tokens.

        `own`: each feature's own contribution to a reconstruction, in units of its direction, by
        name; `beta` of these names is that contribution.
        """
        acts, home = acts.to(self._norms.device), self._norms.device
        goals = {name: wide(y).to(home) for name, y in targets.items()}
        parts = {name: part.to(home) for name, part in own.items()}
        if int(acts.count_nonzero()) * _SPARSE < acts.numel():
            self._add_sparse(acts, goals, parts)
            return
        f = wide(acts)
        self.power += f.square().sum(0)
        self.n_active += (acts != 0).sum(0)
        # Projected first, so that only one number per feature is kept.
        along = {name: y @ self._directions.T for name, y in goals.items()}
        along |= {name: wide(part) * self._norms for name, part in parts.items()}
        for name, value in along.items():
            self._along[name] = self._along.get(name, 0) + (f * value).sum(0)

    def _add_sparse(
        self, acts: Tensor, goals: Mapping[str, Tensor], parts: Mapping[str, Tensor]
    ) -> None:
        """The same sums for sparse features, without a product with all directions."""
        token, feature = acts.nonzero(as_tuple=True)
        value = wide(acts[token, feature])
        self.power.index_add_(0, feature, value.square())
        self.n_active += feature.bincount(minlength=len(self.power))
        for name, part in parts.items():
            added = value * wide(part[token, feature]) * self._norms[feature]
            self._along.setdefault(name, torch.zeros_like(self.power)).index_add_(0, feature, added)
        count = token.bincount(minlength=len(acts))
        slot = torch.arange(len(token), device=token.device) - (count.cumsum(0) - count)[token]
        # Active features of each token, padded with weight 0.
        index = feature.new_zeros(len(acts), int(count.max()))
        weight = value.new_zeros(index.shape)
        index[token, slot], weight[token, slot] = feature, value
        sums = {name: torch.zeros_like(self.power) for name in goals}
        step = _TOKENS_ON_CPU if acts.device.type == "cpu" else _TOKENS
        for i in range(0, len(acts), step):
            part = slice(i, i + step)
            width = int(count[part].max())
            which = index[part, :width]
            directions, weights = self._directions[which], weight[part, :width]
            # One target at a time, so that equal targets give equal bits.
            for name, y in goals.items():
                along = torch.bmm(directions, y[part, :, None])[..., 0] * weights
                sums[name].index_add_(0, which.flatten(), along.flatten())
        for name, column in sums.items():
            self._along[name] = self._along.get(name, 0) + column

    def beta(self, name: str) -> Float[Tensor, " feature"]:
        """Scale of each feature in a target; NaN if it was never active.

        Source: Minder et al. 2025, arXiv:2504.02922, in closed form.
        """
        scale = self._norms * self.power
        return torch.where(scale > 0, self._along[name] / scale, torch.nan).cpu()


@dataclass(frozen=True, eq=False, kw_only=True)
class LatentScaling(Result):
    """Strength of each feature in base, relative to post."""

    dictionary: str
    """Name of the SAE or crosscoder."""
    site: str
    """Site read in both models."""
    n_tokens: int
    """Tokens read in both; first and special ones do not count."""
    feature: Int[Tensor, " feature"]
    """Index of each feature."""
    n_active: Int[Tensor, " feature"]
    """Number of tokens at which each feature was active."""
    target: tuple[str, ...]
    """Explained target: the `activation`, its `reconstruction`, and the `error` without the
    feature's own contribution."""
    base: Float[Tensor, "feature target"]
    """Scale of the feature in base's target; NaN: never active."""
    post: Float[Tensor, "feature target"]
    """Scale of the feature in post's target; NaN: never active."""
    ratio: Float[Tensor, "feature target"]
    """base / post: 1 shared, 0 post only. A high ratio in the error indicates shrinkage, in the
    reconstruction decoupling: base has the feature after all."""

    def post_only(
        self, *, max_error: float = 0.2, max_reconstruction: float = 0.5
    ) -> Bool[Tensor, " feature"]:
        """Features absent from base's error and from its reconstruction by other features.

        Args:
            max_error: Largest passing ratio in the error.
            max_reconstruction: Largest passing ratio in the reconstruction.

        Source: the two cut-offs are conventions; report the ratios with them.
        """
        error, made = (self.ratio[:, self.target.index(t)] for t in ("error", "reconstruction"))
        # NaN compares false: a feature that was never active is in neither model.
        return (error.abs() < max_error) & (made.abs() < max_reconstruction)


def latent_scaling(
    pair: ModelPair,
    sae: Sae,
    rows: Sequence[Sequence[int]],
    *,
    model: str,
    execution: Execution = Execution(),
) -> LatentScaling:
    """Strength of one model's features in both models' activations.

    Args:
        pair: Base and post.
        sae: SAE of the features.
        rows: Token ids of each row, fed to both.
        model: Model on which features are read, `base` or `post`; usually the SAE's own.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE has another width, site or models, reads context or is a transcoder.
    """
    sae.check_reconstructs()
    if sae.reads_context or sae.normalises != "none":
        raise FeatureError(
            f"{sae.name} reads previous tokens or normalises each token, so its features have no "
            "single direction to scale. Pass an SAE without normalisation."
        )
    check_sae(pair, sae, model)
    tokens = rows_of(pair, rows)
    both = zip(
        *(
            blocks(pair.side(name), sae, tokens, reconstruct=True, execution=watched)
            for name, watched in (("base", execution), ("post", execution.quiet()))
        ),
        strict=True,
    )
    result = Scaling(sae.directions)
    for base, post in both:
        acts = base.acts if model == "base" else post.acts
        assert base.made is not None and post.made is not None
        result.update(
            acts,
            {
                "base activation": base.x,
                "post activation": post.x,
                "base reconstruction": base.made - sae.bias,
                "post reconstruction": post.made - sae.bias,
                "base error": base.x - base.made,
                "post error": post.x - post.made,
            },
            {"base own": base.acts, "post own": post.acts},
        )
    return from_sums(
        result,
        pair,
        dictionary=sae.name,
        site=str(sae.site),
        n_tokens=int(tokens.counted.sum()),
        arguments={**sae_arguments(sae), "model": model, "rows": digest_json(tokens.rows)},
    )


def from_sums(
    found: Scaling,
    pair: ModelPair,
    *,
    dictionary: str,
    site: str,
    n_tokens: int,
    arguments: dict[str, object],
) -> LatentScaling:
    """Result from accumulated sums.

    `found`: sums with the targets `activation`, `reconstruction`, `error` and `own` of each model.
    """
    beta: dict[str, Tensor] = {}
    for model in ("base", "post"):
        error = found.beta(f"{model} error") + found.beta(f"{model} own")
        parts = [found.beta(f"{model} activation"), found.beta(f"{model} reconstruction"), error]
        beta[model] = torch.stack(parts, dim=1)
    return LatentScaling(
        dictionary=dictionary,
        site=site,
        n_tokens=n_tokens,
        feature=torch.arange(len(found.power)),
        n_active=found.n_active.cpu(),
        target=TARGETS,
        base=beta["base"],
        post=beta["post"],
        ratio=beta["base"] / beta["post"],
        provenance=pair.provenance(arguments=arguments),
    )
