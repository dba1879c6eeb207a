"""Crosscoders: one dictionary for both models, and its post-only features."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.features._reading import rows_of
from elicit.features.errors import FeatureError
from elicit.features.latent_scaling import LatentScaling, Scaling, from_sums
from elicit.features.training import Feed
from elicit.pair import ModelPair
from elicit.results import digest_json, digest_tensors, parse_json, read_file, write_atomic
from elicit.runs import Execution
from elicit.sites import Site, parse_site

_WEIGHTS, _CONFIG = "crosscoder.safetensors", "cfg.json"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Crosscoder:
    """Crosscoder: shared feature activations, with a decoder direction in each model.

    Weights are for raw activations; a feature's two decoder norms, each in units of its model's
    scale, sum to 1.
    """

    site: Site
    """Site read in both models."""
    W_enc: Float[Tensor, "model d_in d_sae"]
    """Encoder of base and of post."""
    W_dec: Float[Tensor, "model d_sae d_in"]
    """Decoder directions in base and in post."""
    b_enc: Float[Tensor, " d_sae"]
    """Encoder bias, added before the threshold."""
    b_dec: Float[Tensor, "model d_in"]
    """Decoder bias of each model."""
    threshold: float
    """Activations up to this threshold are 0."""
    size: Float[Tensor, " model"]
    """Mean norm of each model's activations over √d_in."""
    trained_on: tuple[str, str]
    """Weight digests of base and post."""

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return len(self.b_enc)

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return digest_tensors(_tensors(self))

    @property
    def relative_norm(self) -> Float[Tensor, " d_sae"]:
        """Relative decoder norm of each feature: 0 base only, 0.5 shared, 1 post only.

        A high value alone is no finding: shrinkage and decoupling look the same.

        Source: Lindsey et al. 2024: ½(1 + (‖D_post‖ - ‖D_base‖) / max).
        """
        base, post = (self.W_dec.norm(dim=2) / self.size[:, None]).unbind(0)
        return 0.5 * (1 + (post - base) / torch.maximum(base, post))

    def encode(self, x: Float[Tensor, "token model d_in"]) -> Float[Tensor, "token d_sae"]:
        """Feature activations of tokens read in both models."""
        hidden = torch.einsum("nmd,mdf->nf", x.to(self.W_enc), self.W_enc) + self.b_enc
        return torch.where(hidden > self.threshold, hidden.relu(), 0.0)

    def decode(self, feature_acts: Float[Tensor, "token d_sae"]) -> Float[Tensor, "token model d"]:
        """Both models' reconstructions."""
        return torch.einsum("nf,mfd->nmd", feature_acts, self.W_dec) + self.b_dec

    def save(self, folder: Path | str) -> Path:
        """Write weights and configuration into a folder; the configuration comes last.

        Args:
            folder: Created if it does not exist.
        """
        from safetensors.torch import save

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / _WEIGHTS, save(_tensors(self)))
        cfg = {
            "site": str(self.site),
            "threshold": self.threshold,
            "trained_on": list(self.trained_on),
            "digest": self.digest,
        }
        write_atomic(folder / _CONFIG, json.dumps(cfg, sort_keys=True).encode())
        return folder

    def __repr__(self) -> str:
        """One-line summary."""
        return f"Crosscoder({self.site}, d_in={self.W_enc.shape[1]}, d_sae={self.d_sae})"


def load_crosscoder(folder: Path | str) -> Crosscoder:
    """A crosscoder that `Crosscoder.save` wrote.

    Raises:
        FeatureError: It cannot be read, or its weights do not match their digest.
    """
    from safetensors.torch import load

    folder = Path(folder)
    try:
        cfg: Any = parse_json(read_file(folder / _CONFIG, limit=2**20))
        tensors = load(read_file(folder / _WEIGHTS))
        base, post = cfg["trained_on"]
        result = Crosscoder(
            site=parse_site(cfg["site"]),
            threshold=float(cfg["threshold"]),
            trained_on=(base, post),
            **tensors,
        )
    except Exception as error:  # files hold whatever they like
        raise FeatureError(
            f"{folder} has no readable crosscoder ({type(error).__name__}: {error}). "
            "Pass a folder that Crosscoder.save wrote."
        ) from error
    if result.digest != cfg.get("digest"):
        raise FeatureError(
            f"the weights in {folder} do not match their saved digest, so measurements on them "
            "would be invalid. Train it again."
        )
    return result


def crosscoder_scaling(
    pair: ModelPair,
    crosscoder: Crosscoder,
    rows: Sequence[Sequence[int]],
    *,
    execution: Execution = Execution(),
) -> LatentScaling:
    """Latent scaling of each feature's post direction in both models.

    Args:
        pair: Base and post.
        crosscoder: Trained on both.
        rows: Token ids of other texts than it was trained on.
        execution: Tokens per forward pass.

    Raises:
        FeatureError: The crosscoder was trained on other models, or there is nothing to read.
    """
    if crosscoder.trained_on != (pair.base_digest, pair.post_digest):
        raise FeatureError(
            f"the crosscoder was trained on {crosscoder.trained_on[0][:12]} and "
            f"{crosscoder.trained_on[1][:12]}, and this pair is {pair.base_digest[:12]} and "
            f"{pair.post_digest[:12]}, so its features do not apply. Pass that pair."
        )
    tokens, n = rows_of(pair, rows), execution.max_tokens
    sides = [pair.side("base"), pair.side("post")]
    feed = Feed(sides, tokens, crosscoder.site, buffer=n, max_tokens=n)
    directions = crosscoder.W_dec[1]
    result = Scaling(directions)
    overlap = (crosscoder.W_dec * directions).sum(2) / directions.square().sum(1)
    for start in range(0, len(tokens.rows), 64):
        which = [
            i
            for i in range(start, min(start + 64, len(tokens.rows)))
            if bool(tokens.counted[tokens.row == i].any())
        ]
        if not which:
            continue
        # A crosscoder that was read from a file is in host memory, wherever the models are.
        x = feed.read(which).to(crosscoder.W_dec.device)
        acts = crosscoder.encode(x)
        made = crosscoder.decode(acts)
        targets: dict[str, Tensor] = {}
        for m, name in enumerate(("base", "post")):
            targets |= {
                f"{name} activation": x[:, m],
                f"{name} reconstruction": made[:, m] - crosscoder.b_dec[m],
                f"{name} error": x[:, m] - made[:, m],
            }
        own = {f"{name} own": acts * overlap[m] for m, name in enumerate(("base", "post"))}
        result.update(acts, targets, own)
    return from_sums(
        result,
        pair,
        dictionary=repr(crosscoder),
        site=str(crosscoder.site),
        n_tokens=int(tokens.counted.sum()),
        arguments={"crosscoder": crosscoder.digest, "rows": digest_json(tokens.rows)},
    )


def post_only_features(
    crosscoder: Crosscoder,
    scaling: LatentScaling,
    *,
    min_norm: float = 0.9,
    max_error: float = 0.2,
    max_reconstruction: float = 0.5,
) -> tuple[int, ...]:
    """Post-only features, checked for shrinkage and decoupling.

    Args:
        crosscoder: Crosscoder of the features.
        scaling: Result of `crosscoder_scaling`.
        min_norm: Smallest relative norm that is a candidate.
        max_error: Largest ratio in the error; above it base has the feature too, shrunk.
        max_reconstruction: Largest ratio in the reconstruction; above it other features
            represent it.

    Raises:
        FeatureError: The scaling is of another dictionary.
    """
    digest = scaling.provenance.arguments.get("crosscoder") if scaling.provenance else None
    if digest != crosscoder.digest:
        raise FeatureError(
            f"the scaling is of {str(digest)[:12]} and the crosscoder is {crosscoder.digest[:12]}, "
            "so they are of different dictionaries. Pass the scaling of this crosscoder."
        )
    candidates = crosscoder.relative_norm.cpu() >= min_norm
    genuine = scaling.post_only(max_error=max_error, max_reconstruction=max_reconstruction)
    return tuple((candidates & genuine).nonzero()[:, 0].tolist())


def _tensors(crosscoder: Crosscoder) -> dict[str, Tensor]:
    """Weights by name, as they are stored."""
    names = ("W_enc", "W_dec", "b_enc", "b_dec", "size")
    return {name: getattr(crosscoder, name).detach().cpu().contiguous() for name in names}
