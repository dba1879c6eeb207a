"""SAEs as functions of activations, never attached to a model."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.edits import shape_of
from elicit.features.errors import FeatureError
from elicit.results import digest_json
from elicit.sites import Site, SiteError

_ALONE = ("standard", "gated", "jumprelu")
"""Architectures in which features are active independently of each other."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """Published fidelity of an SAE; None if unknown."""

    fvu: float | None = None
    """1 - explained variance."""
    l0: float | None = None
    """Mean number of active features per token."""
    dead_fraction: float | None = None
    """Share of dead features."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Sae:
    """Sparse autoencoder of one site; made by `load_sae` and `from_sae_lens`."""

    name: str
    """Name given by the user."""
    site: Site
    """Site it was trained on."""
    architecture: str
    """SAELens's name of the architecture at inference: `topk`, `jumprelu`, …"""
    d_in: int
    """Input width; all heads of a site are concatenated."""
    d_sae: int
    """Number of features."""
    directions: Float[Tensor, "d_sae d_out"]
    """Decoder direction of each feature."""
    published: Published
    """Published fidelity."""
    metadata: Mapping[str, object]
    """The rest of its metadata: model, hook, data set, and so on."""
    digest: str
    """SHA-256 of its weights."""
    centred: bool
    """Whether it was trained on activations centred over dimensions, as by
    `center_writing_weights`. The mean is subtracted before encoding and added back."""
    module: nn.Module
    """SAELens module, with frozen weights."""

    @property
    def is_transcoder(self) -> bool:
        """Whether it predicts an activation other than its input."""
        return "transcoder" in self.architecture

    @property
    def reads_context(self) -> bool:
        """Whether features depend on previous tokens."""
        return self.architecture == "temporal"

    @property
    def bias(self) -> Float[Tensor, " d_out"]:
        """Reconstruction with no active feature, if tokens are not normalised."""
        module: Any = self.module
        return module.b_dec.detach()

    @property
    def normalises(self) -> str:
        """Normalisation of each token, or `none`."""
        cfg: Any = self.module.cfg
        return str(cfg.normalize_activations)

    @property
    def function_digest(self) -> str:
        """SHA-256 of everything its output depends on: weights, architecture and scaling."""
        module: Any = self.module
        config = module.cfg.to_dict()
        kept = {key: str(config[key]) for key in config if key not in ("device", "metadata")}
        return digest_json([self.digest, self.centred, kept])

    def encode(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_sae"]:
        """Feature activations, identical to SAELens's.

        Args:
            x: Raw activations; [batch pos d_in] where `reads_context`.

        Raises:
            FeatureError: The width differs, or `reads_context` and there is no position axis.
        """
        self._check_width(x)
        if self.reads_context and x.ndim != 3:
            raise FeatureError(
                f"x has the shape {tuple(x.shape)}, but features of {self.name} depend on previous "
                "tokens. Pass [batch pos d_in]."
            )
        module: Any = self.module
        return module.encode(self._seen(x))

    def encode_one(
        self, x: Float[Tensor, "*batch d_in"], feature: int
    ) -> Float[Tensor, "*batch 1"]:
        """Activation of one feature, computed alone if the architecture allows.

        Args:
            x: Raw activations; [batch pos d_in] where `reads_context`.
            feature: Its index.

        Raises:
            FeatureError: See `encode`.
        """
        if self.architecture not in _ALONE:
            return self.encode(x)[..., [feature]]
        self._check_width(x)
        # SAELens's arithmetic on this feature's slice of the weights.
        alone: Any = copy(self.module)
        alone._parameters = {
            name: value if value is None or name == "b_dec" else _slice(name, value, feature)
            for name, value in alone._parameters.items()
        }
        return alone.encode(self._seen(x))

    def decode(self, feature_acts: Float[Tensor, "*batch d_sae"]) -> Float[Tensor, "*batch d_out"]:
        """Reconstruction from feature activations.

        Raises:
            FeatureError: The reconstruction depends on more than the features.
        """
        if self.reads_context or self.centred or self.normalises != "none":
            why = (
                "adds what previous tokens predict"
                if self.reads_context
                else "normalises or centres each token"
            )
            raise FeatureError(
                f"{self.name} {why}, so its features alone do not give the reconstruction. Call "
                "reconstruct with the activations."
            )
        module: Any = self.module
        return module.decode(feature_acts)

    def reconstruct(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """Reconstruction of activations; for a transcoder, its prediction.

        Args:
            x: Raw activations; [batch pos d_in] where `reads_context`.

        Raises:
            FeatureError: The width differs.
        """
        self._check_width(x)
        module: Any = self.module
        seen = self._seen(x)
        made = module(seen)
        return made + (x.to(seen) - seen).to(made.dtype) if self.centred else made

    def unit(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch 1"]:
        """Multiple of `directions` that one unit of a feature adds at each token.

        1 for all SAEs except those that normalise each token.
        """
        seen = self._seen(x)
        if self.normalises == "layer_norm":
            return seen.std(-1, keepdim=True)
        if self.normalises == "constant_norm_rescale":
            return seen.norm(dim=-1, keepdim=True) / self.d_in**0.5
        return torch.ones_like(seen[..., :1])

    def check(self, model: nn.Module) -> None:
        """Refuse a model that the SAE does not fit.

        Raises:
            FeatureError: The model does not have the site, or its width differs.
        """
        shape = shape_of(model)
        try:
            shape.check([self.site])
        except SiteError as error:
            raise FeatureError(
                f"{self.name} reads {self.site}, and this model has no such site: {error}"
            ) from error
        width = shape.width(self.site)
        if width != self.d_in:
            raise FeatureError(
                f"{self.name} reads vectors of width {self.d_in}, and {self.site} of this "
                f"model has width {width}, so it was trained on another model or hook point. "
                "Pass an SAE of this site."
            )

    def check_reconstructs(self) -> None:
        """Refuse a transcoder where a reconstruction is compared with the input.

        Raises:
            FeatureError: It is a transcoder.
        """
        if self.is_transcoder:
            raise FeatureError(
                f"{self.name} is a {self.architecture}, which predicts an activation other than "
                f"its input at {self.site}, so the two cannot be compared. Pass an SAE."
            )

    def check_features(self, features: tuple[int, ...]) -> None:
        """Refuse features that the SAE does not have.

        Raises:
            FeatureError: One is out of range or repeated, or there is none.
        """
        if not features:
            raise FeatureError("no feature is given. Pass at least one.")
        for feature in features:
            if not 0 <= feature < self.d_sae:
                raise FeatureError(
                    f"feature {feature} is out of range: {self.name} has features 0 to "
                    f"{self.d_sae - 1}. Pass one of these."
                )
        if len(set(features)) != len(features):
            raise FeatureError(f"the features {list(features)} contain one twice. Pass each once.")

    def _seen(self, x: Tensor) -> Tensor:
        """Activations preprocessed as in training."""
        # In the SAE's precision and device: a mean in half precision would be inaccurate.
        x = x.to(self.directions.device, torch.promote_types(x.dtype, self.directions.dtype))
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def _check_width(self, x: Tensor) -> None:
        """Refuse activations of the wrong width."""
        if not x.ndim or x.shape[-1] != self.d_in:
            raise FeatureError(
                f"x has the shape {tuple(x.shape)} but {self.name} reads vectors of width "
                f"{self.d_in} at {self.site}. Read that site, with all heads concatenated."
            )

    def __repr__(self) -> str:
        """One-line summary."""
        return (
            f"Sae({self.name!r}, {self.site}, {self.architecture}, d_in={self.d_in}, "
            f"d_sae={self.d_sae})"
        )


def _slice(name: str, value: Tensor, feature: int) -> nn.Parameter:
    """Slice of a parameter for one feature."""
    part = value[:, [feature]] if name == "W_enc" else value[[feature]]
    return nn.Parameter(part, requires_grad=value.requires_grad)
