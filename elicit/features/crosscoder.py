"""One dictionary for both models at once, and which of its features only post has."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.edits import shape_of
from elicit.features.errors import FeatureError
from elicit.features.reading import rows_of
from elicit.features.scaling import LatentScaling, Scaling, from_sums
from elicit.features.training import Feed, TrainConfig
from elicit.pair import ModelPair
from elicit.results import NoProgress, Progress, digest_json, digest_tensors, write_atomic
from elicit.sites import Site, parse_site

_WEIGHTS, _CONFIG = "crosscoder.safetensors", "cfg.json"
_AUX = 1 / 32
"""Weight of what dead features are asked to make of the error."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Crosscoder:
    """A dictionary whose features read both models and write each in its own direction.

    Weights are for raw activations; a feature's two decoder norms, each in units of its model's
    size, add up to 1.
    """

    site: Site
    """Where both models are read."""
    W_enc: Float[Tensor, "model d_in d_sae"]
    """Readers of base and of post."""
    W_dec: Float[Tensor, "model d_sae d_in"]
    """Directions in base and in post."""
    b_enc: Float[Tensor, " d_sae"]
    """Added before the threshold."""
    b_dec: Float[Tensor, "model d_in"]
    """Reconstruction where nothing is active."""
    threshold: float
    """Activations up to this are 0."""
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
        """How much more of a feature's direction is in post: 0 base alone, 0.5 alike, 1 post alone.

        A high one alone is no finding: shrinkage and decoupling look the same.

        Source: Lindsey et al. 2024: ½(1 + (‖D_post‖ - ‖D_base‖) / max).
        """
        base, post = (self.W_dec.norm(dim=2) / self.size[:, None]).unbind(0)
        return 0.5 * (1 + (post - base) / torch.maximum(base, post))

    def encode(self, x: Float[Tensor, "token model d_in"]) -> Float[Tensor, "token d_sae"]:
        """Feature activations of tokens read in both models.

        Args:
            x: Raw activations of base and post at the same tokens.
        """
        hidden = torch.einsum("nmd,mdf->nf", x.to(self.W_enc), self.W_enc) + self.b_enc
        return torch.where(hidden > self.threshold, hidden.relu(), 0.0)

    def decode(self, feature_acts: Float[Tensor, "token d_sae"]) -> Float[Tensor, "token model d"]:
        """Both models' reconstructions.

        Args:
            feature_acts: Feature activations.
        """
        return torch.einsum("nf,mfd->nmd", feature_acts, self.W_dec) + self.b_dec

    def save(self, folder: Path | str) -> Path:
        """Write weights and configuration into a folder; the configuration comes last.

        Args:
            folder: Made if it is not there.
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
        """What it is, in one line."""
        return f"Crosscoder({self.site}, d_in={self.W_enc.shape[1]}, d_sae={self.d_sae})"


def load_crosscoder(folder: Path | str) -> Crosscoder:
    """A crosscoder that `Crosscoder.save` wrote.

    Args:
        folder: Where it is.

    Raises:
        FeatureError: It cannot be read, or its weights are not those that were written.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    try:
        cfg = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / _WEIGHTS)
        base, post = cfg["trained_on"]
        found = Crosscoder(
            site=parse_site(cfg["site"]),
            threshold=float(cfg["threshold"]),
            trained_on=(base, post),
            **tensors,
        )
    except Exception as error:  # files hold whatever they like
        raise FeatureError(
            f"{folder} holds no crosscoder that can be read ({type(error).__name__}: {error}). "
            "Pass a folder that Crosscoder.save wrote."
        ) from error
    if found.digest != cfg.get("digest"):
        raise FeatureError(
            f"the weights in {folder} are not those that were written there, so nothing that was "
            "said of them holds. Train it anew."
        )
    return found


def train_crosscoder(
    pair: ModelPair,
    rows: Sequence[Sequence[int]],
    *,
    site: Site,
    config: TrainConfig,
    seed: int,
    max_tokens: int = 8192,
    progress: Progress | None = None,
) -> Crosscoder:
    """Train a BatchTopK crosscoder on both models' activations as they are read.

    Both decoders begin equal, and each model's activations come at one size. Without a penalty on
    decoder norms nothing but the reconstruction pushes a feature out of one model.

    Args:
        pair: Base and post.
        rows: Token ids of each row, fed to both.
        site: Where both are read.
        config: Size and schedule, `batchtopk`.
        seed: Seed of the weights and of the order.
        max_tokens: Most positions in a chunk, padding counted.
        progress: Told the steps done.

    Raises:
        FeatureError: The architecture is another one, or there is nothing to read.
        SiteError: The models do not have the site.

    Source: Minder et al. 2025, arXiv:2504.02922, without annealing of k.
    """
    if config.architecture != "batchtopk":
        raise FeatureError(
            f"config asks for {config.architecture!r}, and a crosscoder is trained with batchtopk "
            "alone. Pass architecture='batchtopk'."
        )
    shape = shape_of(pair.base)
    shape.check([site])
    feed = Feed(
        [pair.base, pair.post],
        rows_of(pair, rows),
        site,
        pair.alignment.pad_id,
        config.buffer,
        max_tokens,
    )
    progress = progress or NoProgress()
    progress.start(config.n_steps, "training a crosscoder")
    try:
        batches = feed.batches(config.batch, seed=seed, joint=True)
        learner = _Learner(batches, shape.width(site), config, seed, pair.device)
        for _ in range(config.n_steps):
            learner.step()
            progress.advance()
    finally:
        progress.stop()
    return learner.finished(site, (pair.base_digest, pair.post_digest))


class _Learner:
    """Weights in training, on activations of size √d."""

    def __init__(
        self, batches: Iterator[Tensor], d_in: int, config: TrainConfig, seed: int, device: str
    ) -> None:
        """Draw weights, and take each model's size from the first batch."""
        self.config, self.steps, self.batches = config, 0, batches
        self.first: Tensor | None = next(batches)
        self.size = self.first.norm(dim=2).mean(0) / d_in**0.5
        generator = torch.Generator().manual_seed(seed)
        directions = torch.randn(config.d_sae, d_in, generator=generator)
        directions = 0.1 * directions / directions.norm(dim=1, keepdim=True)
        both = torch.stack([directions, directions]).to(device)
        self.W_dec = both.clone().requires_grad_()
        self.W_enc = both.transpose(1, 2).contiguous().requires_grad_()
        self.b_enc = torch.zeros(config.d_sae, device=device, requires_grad=True)
        self.b_dec = torch.zeros(2, d_in, device=device, requires_grad=True)
        self.weights = [self.W_enc, self.W_dec, self.b_enc, self.b_dec]
        self.optimizer = torch.optim.Adam(self.weights, lr=config.lr)
        self.threshold = 0.0
        self.silent = torch.zeros(config.d_sae, device=device)

    def step(self) -> None:
        """One batch."""
        cfg = self.config
        raw = next(self.batches) if self.first is None else self.first
        self.first = None
        x = raw / self.size[:, None]
        # Down to a tenth over the last fifth.
        left = (cfg.n_steps - self.steps) / max(cfg.n_steps / 5, 1)
        for group in self.optimizer.param_groups:
            group["lr"] = cfg.lr * min(max(left, 0.1), 1.0)
        norms = self.W_dec.norm(dim=2).sum(0)
        hidden = (torch.einsum("nmd,mdf->nf", x, self.W_enc) + self.b_enc).relu()
        scaled = (hidden * norms).flatten()
        best = scaled.topk(min(cfg.k * len(x), scaled.numel()))
        kept = torch.zeros_like(scaled).scatter(0, best.indices, 1.0).view_as(hidden)
        acts = hidden * kept
        error = x - torch.einsum("nf,mfd->nmd", acts, self.W_dec) - self.b_dec
        loss = error.square().sum((1, 2)).mean()
        loss = loss + _AUX * self._of_the_dead(hidden * norms, error, norms)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        with torch.no_grad():
            active = best.values[best.values > 0]
            if len(active):
                # Of the last steps alone: the first ones' scale is not that of the end.
                self.threshold += max(0.1, 1 / (self.steps + 1)) * (
                    float(active.min()) - self.threshold
                )
            self.silent += 1
            self.silent[acts.any(0)] = 0
        self.steps += 1

    def _of_the_dead(self, scaled: Tensor, error: Tensor, norms: Tensor) -> Tensor:
        """What the dead features leave of the error, were they active."""
        dead = (self.silent > max(self.config.n_steps // 10, 20)).nonzero()[:, 0]
        if not len(dead):
            return error.new_zeros(())
        k = min(len(dead), self.W_dec.shape[2] // 2)
        best = scaled[:, dead].topk(k, dim=1)
        acts = torch.zeros_like(scaled[:, dead]).scatter(1, best.indices, best.values)
        made = torch.einsum("nf,mfd->nmd", acts / norms[dead], self.W_dec[:, dead])
        return (error.detach() - made).square().sum((1, 2)).mean()

    @torch.no_grad()
    def finished(self, site: Site, trained_on: tuple[str, str]) -> Crosscoder:
        """The weights for raw activations, decoder norms folded into the encoder."""
        norms = self.W_dec.norm(dim=2).sum(0).clamp(min=1e-8)
        return Crosscoder(
            site=site,
            W_enc=(self.W_enc * norms / self.size[:, None, None]).contiguous(),
            W_dec=(self.W_dec / norms[:, None] * self.size[:, None, None]).contiguous(),
            b_enc=(self.b_enc * norms).detach(),
            b_dec=(self.b_dec * self.size[:, None]).detach(),
            threshold=self.threshold,
            size=self.size,
            trained_on=trained_on,
        )


def crosscoder_scaling(
    pair: ModelPair,
    crosscoder: Crosscoder,
    rows: Sequence[Sequence[int]],
    *,
    max_tokens: int = 8192,
) -> LatentScaling:
    """How strongly each feature's direction in post stands in both models.

    Args:
        pair: Base and post.
        crosscoder: Trained on both.
        rows: Token ids of other texts than it was trained on.
        max_tokens: Most positions in a chunk, padding counted.

    Raises:
        FeatureError: The crosscoder was trained on other models, or there is nothing to read.
    """
    if crosscoder.trained_on != (pair.base_digest, pair.post_digest):
        raise FeatureError(
            f"the crosscoder was trained on {crosscoder.trained_on[0][:12]} and "
            f"{crosscoder.trained_on[1][:12]}, and this pair is {pair.base_digest[:12]} and "
            f"{pair.post_digest[:12]}, so its features would mean nothing. Pass that pair."
        )
    tokens, models = rows_of(pair, rows), [pair.base, pair.post]
    feed = Feed(models, tokens, crosscoder.site, pair.alignment.pad_id, max_tokens, max_tokens)
    directions = crosscoder.W_dec[1]
    found = Scaling(directions)
    overlap = (crosscoder.W_dec * directions).sum(2) / directions.square().sum(1)
    n_active = torch.zeros(crosscoder.d_sae, dtype=torch.long)
    for start in range(0, len(tokens.rows), 64):
        which = [
            i
            for i in range(start, min(start + 64, len(tokens.rows)))
            if bool(tokens.counted[tokens.row == i].any())
        ]
        if not which:
            continue
        x = feed.read(which)
        acts = crosscoder.encode(x)
        made = crosscoder.decode(acts)
        n_active += (acts != 0).sum(0).cpu()
        targets: dict[str, Tensor] = {}
        for m, name in enumerate(("base", "post")):
            targets |= {
                f"{name} activation": x[:, m],
                f"{name} reconstruction": made[:, m] - crosscoder.b_dec[m],
                f"{name} error": x[:, m] - made[:, m],
            }
        own = {f"{name} own": acts * overlap[m] for m, name in enumerate(("base", "post"))}
        found.update(acts, targets, own)
    return from_sums(
        found,
        n_active,
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
    """Features whose direction is in post alone, after shrinkage and decoupling were looked for.

    Args:
        crosscoder: Whose features.
        scaling: What `crosscoder_scaling` found of it.
        min_norm: Smallest relative norm that is a candidate.
        max_error: Largest ratio in the error: above it the base has it too, and it only shrank.
        max_reconstruction: Largest ratio in the reconstruction: above it other features say it.

    Raises:
        FeatureError: The scaling is of another dictionary.
    """
    told = scaling.provenance.arguments.get("crosscoder") if scaling.provenance else None
    if told != crosscoder.digest:
        raise FeatureError(
            f"the scaling is of {str(told)[:12]} and the crosscoder is {crosscoder.digest[:12]}, "
            "so they are not of one dictionary. Pass what crosscoder_scaling found of this one."
        )
    candidates = crosscoder.relative_norm.cpu() >= min_norm
    genuine = scaling.post_only(max_error=max_error, max_reconstruction=max_reconstruction)
    return tuple((candidates & genuine).nonzero()[:, 0].tolist())


def _tensors(crosscoder: Crosscoder) -> dict[str, Tensor]:
    """Weights by name, as they are stored."""
    names = ("W_enc", "W_dec", "b_enc", "b_dec", "size")
    return {name: getattr(crosscoder, name).detach().cpu().contiguous() for name in names}
