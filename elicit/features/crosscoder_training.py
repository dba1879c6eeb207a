"""Train a crosscoder on both models' activations."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from elicit.edits import shape_of
from elicit.features._reading import rows_of
from elicit.features.crosscoder import Crosscoder
from elicit.features.errors import FeatureError
from elicit.features.training import Feed, TrainConfig
from elicit.pair import ModelPair
from elicit.runs import Execution
from elicit.sites import Site

_AUX = 1 / 32
"""Weight of the auxiliary loss, in which dead features reconstruct the error."""


def train_crosscoder(
    pair: ModelPair,
    rows: Sequence[Sequence[int]],
    *,
    site: Site,
    config: TrainConfig,
    seed: int,
    execution: Execution = Execution(),
) -> Crosscoder:
    """Train a BatchTopK crosscoder on both models' streamed activations.

    Both decoders start equal, and activations of both models are scaled to the same norm. Without
    a penalty on decoder norms only the reconstruction removes a feature from one model.

    Args:
        pair: Base and post.
        rows: Token ids of each row, fed to both.
        site: Site read in both models.
        config: Size and schedule, `batchtopk`.
        seed: Seed of the weights and of the order.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The architecture is not `batchtopk`, or there is nothing to read.
        SiteError: The models do not have the site.

    Source: Minder et al. 2025, arXiv:2504.02922, without annealing of k.
    """
    if config.architecture != "batchtopk":
        raise FeatureError(
            f"config has {config.architecture!r}, but crosscoders are trained with batchtopk only. "
            "Pass architecture='batchtopk'."
        )
    shape = shape_of(pair.base)
    shape.check([site])
    feed = Feed(
        [pair.side("base"), pair.side("post")],
        rows_of(pair, rows),
        site,
        buffer=config.buffer,
        max_tokens=execution.max_tokens,
    )
    progress = execution.progress
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
    """Weights in training, on activations of norm √d."""

    def __init__(
        self, batches: Iterator[Tensor], d_in: int, config: TrainConfig, seed: int, device: str
    ) -> None:
        """Initialise weights, and estimate each model's scale from the first batch."""
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
                # From the last steps only: early activations differ in scale.
                self.threshold += max(0.1, 1 / (self.steps + 1)) * (
                    float(active.min()) - self.threshold
                )
            self.silent += 1
            self.silent[acts.any(0)] = 0
        self.steps += 1

    def _of_the_dead(self, scaled: Tensor, error: Tensor, norms: Tensor) -> Tensor:
        """Auxiliary loss: error left if dead features were active."""
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
        """Crosscoder for raw activations, with decoder norms folded into the encoder."""
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
