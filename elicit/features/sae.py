"""An SAE as a function: activations in, features out, and never attached to a model."""

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
"""Architectures in which a feature is active or not whatever the others are."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the makers of an SAE published about it; None where they did not."""

    fvu: float | None = None
    """1 - explained variance."""
    l0: float | None = None
    """Mean active features a token."""
    dead_fraction: float | None = None
    """Share of features that no longer fired."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Sae:
    """A sparse autoencoder that reads one site; made by `load_sae` and `from_sae_lens`."""

    name: str
    """As the user named it."""
    site: Site
    """Where it was trained to read."""
    architecture: str
    """SAELens's name of the architecture at inference: `topk`, `jumprelu`, …"""
    d_in: int
    """Width of what it reads; all heads of a site are one long vector."""
    d_sae: int
    """Number of features."""
    directions: Float[Tensor, "d_sae d_out"]
    """What one unit of each feature adds to the reconstruction."""
    published: Published
    """What its makers published about it."""
    metadata: Mapping[str, object]
    """The rest of its metadata: model, hook, data set, and so on."""
    digest: str
    """SHA-256 of its weights."""
    centred: bool
    """Whether it was trained on activations without their mean over dimensions, as
    `center_writing_weights` leaves them. The mean is subtracted before encoding and added back."""
    module: nn.Module
    """SAELens's own object, without gradients of its weights."""

    @property
    def is_transcoder(self) -> bool:
        """Whether it predicts another activation than the one it reads."""
        return "transcoder" in self.architecture

    @property
    def reads_context(self) -> bool:
        """Whether a feature at a token depends on the tokens before it."""
        return self.architecture == "temporal"

    @property
    def bias(self) -> Float[Tensor, " d_out"]:
        """The reconstruction where no feature is active, if no token is scaled by itself."""
        module: Any = self.module
        return module.b_dec.detach()

    @property
    def normalises(self) -> str:
        """How it scales each token by itself, `none` if it does not."""
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
        """Feature activations, exactly SAELens's.

        Args:
            x: Raw activations; [batch pos d_in] where `reads_context`.

        Raises:
            FeatureError: The width is another one, or context is read and there is no axis for it.
        """
        self._check_width(x)
        if self.reads_context and x.ndim != 3:
            raise FeatureError(
                f"x has the shape {tuple(x.shape)}, and features of {self.name} depend on previous "
                "tokens, so vectors alone do not determine them. Pass [batch pos d_in]."
            )
        module: Any = self.module
        return module.encode(self._seen(x))

    def encode_one(
        self, x: Float[Tensor, "*batch d_in"], feature: int
    ) -> Float[Tensor, "*batch 1"]:
        """Activation of one feature, without computing the others where they do not affect it.

        Args:
            x: Raw activations; [batch pos d_in] where `reads_context`.
            feature: Its index.

        Raises:
            FeatureError: See `encode`.
        """
        if self.architecture not in _ALONE:
            return self.encode(x)[..., [feature]]
        self._check_width(x)
        # SAELens's own arithmetic on this feature's slice of the weights.
        alone: Any = copy(self.module)
        alone._parameters = {
            name: value if value is None or name == "b_dec" else _slice(name, value, feature)
            for name, value in alone._parameters.items()
        }
        return alone.encode(self._seen(x))

    def decode(self, feature_acts: Float[Tensor, "*batch d_sae"]) -> Float[Tensor, "*batch d_out"]:
        """Reconstruction from feature activations.

        Args:
            feature_acts: Feature activations.

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
        """Activations as the features reconstruct them; for a transcoder, its prediction.

        Args:
            x: Raw activations; [batch pos d_in] where `reads_context`.

        Raises:
            FeatureError: The width is another one.
        """
        self._check_width(x)
        module: Any = self.module
        seen = self._seen(x)
        made = module(seen)
        return made + (x.to(seen) - seen).to(made.dtype) if self.centred else made

    def unit(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch 1"]:
        """How many `directions` one unit of a feature adds at each token.

        1 for all SAEs except those that normalise each token.

        Args:
            x: Raw activations.
        """
        seen = self._seen(x)
        if self.normalises == "layer_norm":
            return seen.std(-1, keepdim=True)
        if self.normalises == "constant_norm_rescale":
            return seen.norm(dim=-1, keepdim=True) / self.d_in**0.5
        return torch.ones_like(seen[..., :1])

    def check(self, model: nn.Module) -> None:
        """Refuse a model that this SAE cannot read.

        Args:
            model: A bridge in raw mode.

        Raises:
            FeatureError: The model does not have the site, or it is of another width.
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
        """Refuse a transcoder where a reconstruction is compared with what was read.

        Raises:
            FeatureError: It predicts another activation.
        """
        if self.is_transcoder:
            raise FeatureError(
                f"{self.name} is a {self.architecture}: it predicts another activation than the "
                f"one it reads at {self.site}, so its output cannot be compared with "
                "it. Pass an SAE."
            )

    def check_features(self, features: tuple[int, ...]) -> None:
        """Refuse features that the SAE does not have.

        Args:
            features: Indices of features.

        Raises:
            FeatureError: One is out of range, one is named twice, or there is none.
        """
        if not features:
            raise FeatureError("no feature is given, so nothing would be done. Pass at least one.")
        for feature in features:
            if not 0 <= feature < self.d_sae:
                raise FeatureError(
                    f"feature {feature} is out of range: {self.name} has features 0 to "
                    f"{self.d_sae - 1}. Pass one of these."
                )
        if len(set(features)) != len(features):
            raise FeatureError(
                f"the features {list(features)} contain one twice, so it would count twice. Pass "
                "each once."
            )

    def _seen(self, x: Tensor) -> Tensor:
        """Activations as the SAE saw them in training."""
        # In the SAE's own precision and device: a mean in half precision would be off.
        x = x.to(self.directions.device, torch.promote_types(x.dtype, self.directions.dtype))
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def _check_width(self, x: Tensor) -> None:
        """Refuse activations of another width."""
        if not x.ndim or x.shape[-1] != self.d_in:
            raise FeatureError(
                f"x has the shape {tuple(x.shape)} and {self.name} reads vectors of width "
                f"{self.d_in} at {self.site}, so these are other activations. Read that site, all "
                "heads as one vector."
            )

    def __repr__(self) -> str:
        """What it is, in one line."""
        return (
            f"Sae({self.name!r}, {self.site}, {self.architecture}, d_in={self.d_in}, "
            f"d_sae={self.d_sae})"
        )


def _slice(name: str, value: Tensor, feature: int) -> nn.Parameter:
    """The part of a parameter that belongs to one feature."""
    part = value[:, [feature]] if name == "W_enc" else value[[feature]]
    return nn.Parameter(part, requires_grad=value.requires_grad)
