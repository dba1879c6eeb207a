"""Train SAEs with SAELens on streamed activations of one or both models."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from elicit.capture import stream
from elicit.edits import shape_of
from elicit.features._reading import TRAINED_ON, Rows, name_of, rows_of
from elicit.features.errors import FeatureError
from elicit.features.loading import load_sae
from elicit.features.sae import Sae
from elicit.pair import ModelPair, Side, SideName, device_of
from elicit.results import TEMPORARY, digest_json, disk_errors, kind_of
from elicit.runs import Execution, Progress
from elicit.sites import Site

Architecture = Literal["topk", "batchtopk"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Size and schedule of SAE training."""

    d_sae: int
    """Number of features."""
    k: int
    """Active features per token; for `batchtopk` on average."""
    architecture: Architecture = "topk"
    """`topk`, or `batchtopk`, which SAELens saves as `jumprelu` with one threshold."""
    n_steps: int = 2000
    """Optimisation steps."""
    batch: int = 2048
    """Tokens a step."""
    lr: float = 1e-3
    """Learning rate of Adam; it falls to a tenth over the last fifth of the steps."""
    buffer: int = 2**16
    """Size of the shuffle buffer, activations."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be trained.

        Raises:
            FeatureError: A number is below 1, or more features are active than there are.
        """
        for name in ("d_sae", "k", "n_steps", "batch", "buffer"):
            if getattr(self, name) < 1:
                raise FeatureError(
                    f"{name} is {getattr(self, name)}, so nothing would be learned. Pass 1 or more."
                )
        if self.k > self.d_sae or not self.lr > 0:
            raise FeatureError(
                f"k is {self.k}, d_sae {self.d_sae} and lr {self.lr}, so nothing sparse would be "
                "learned. Pass k no larger than d_sae, and a learning rate above 0."
            )


def train(
    pair: ModelPair,
    rows: Sequence[Sequence[int]],
    folder: Path | str,
    *,
    site: Site,
    model: SideName | Literal["both"],
    config: TrainConfig,
    seed: int,
    execution: Execution = Execution(),
) -> Sae:
    """Train an SAE on streamed activations, and save it as a SAELens folder.

    Rows are read repeatedly in random order. With both models, each contributes the same tokens,
    so that one dictionary serves both. First and special tokens are left out.

    Args:
        pair: Base and post.
        rows: Token ids of each row.
        folder: Folder of the saved SAE; must not exist.
        site: Site of the activations.
        model: Model of the activations: `base`, `post`, or `both`.
        config: Size and schedule.
        seed: Seed of the weights and of the order.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Returns:
        The SAE as saved; `published` has the FVU, L0 and dead share of the last steps.

    Raises:
        FeatureError: The folder exists or cannot be written, the site is a pattern, or there is
            nothing to read.
        SiteError: The models do not have the site.
    """
    folder = Path(folder)
    if kind_of(folder) is not None:
        raise FeatureError(
            f"{folder} exists, and SAEs are never overwritten. Choose another folder."
        )
    if site.kind == "pattern":
        raise FeatureError(
            f"{site} has no vector per token, so no SAE can read it. Choose another site."
        )
    names: tuple[SideName, ...] = ("base", "post") if model == "both" else (model,)
    sides = [pair.side(name) for name in names]
    shape = shape_of(sides[0].bridge)
    shape.check([site])
    feed = Feed(
        sides, rows_of(pair, rows), site, buffer=config.buffer, max_tokens=execution.max_tokens
    )
    metadata = {
        "model_name": name_of(pair, names[0]),
        "hook_name": site.whole.hook,
        **({} if site.head is None else {"hook_head_index": site.head}),
        TRAINED_ON: [side.digest for side in sides],
        "elicit_seed": seed,
        "elicit_rows": digest_json([list(row) for row in rows]),
    }
    module = _fit(
        feed, shape.width(site), config, metadata, seed, str(feed.device), execution.progress
    )
    with disk_errors(folder, FeatureError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # In a new folder, so that nothing that lies there is followed or replaced.
        part = Path(tempfile.mkdtemp(prefix=".", suffix=TEMPORARY, dir=folder.parent))
        try:
            module.save_inference_model(part / folder.name)
            (part / folder.name).rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return load_sae(folder, device=str(feed.device))


class Feed:
    """Endless batches of shuffled activations, in a seeded order."""

    def __init__(
        self, sides: Sequence[Side], rows: Rows, site: Site, *, buffer: int, max_tokens: int
    ) -> None:
        """Set up the feed; reading starts with the first batch."""
        self.sides, self.rows, self.site = tuple(sides), rows, site
        self.device = device_of(sides[0].bridge)
        self.buffer, self.max_tokens = buffer, max_tokens

    def batches(
        self, size: int, *, seed: int, joint: bool = False
    ) -> Iterator[Float[Tensor, "..."]]:
        """Batches of activations, of several models interleaved or joined.

        `joint`: whether batches are [token model width], all models at the same tokens.
        """
        generator = torch.Generator().manual_seed(seed)
        kept = torch.zeros(0)
        for mixed in self._buffers(generator):
            x = mixed if joint else rearrange(mixed, "token model width -> (token model) width")
            x = torch.cat([kept, x]) if len(kept) else x
            x = x[torch.randperm(len(x), generator=generator).to(x.device)]
            whole = len(x) // size * size
            yield from x[:whole].split(size)
            kept = x[whole:]

    def _buffers(self, generator: torch.Generator) -> Iterator[Float[Tensor, "token model width"]]:
        """Activations of a few rows at a time, about a buffer's size."""
        length = torch.tensor([len(row) for row in self.rows.rows])
        if int(length.sum()) <= self.buffer:
            # Every draw mixes all rows, so reading them again would change nothing.
            everything = self.read(list(range(len(length))))
            while True:
                yield everything
        while True:
            order = torch.randperm(len(length), generator=generator)
            part = (length[order].cumsum(0) - 1) // self.buffer
            for number in part.unique().tolist():
                yield self.read(order[part == number].tolist())

    def read(self, which: list[int]) -> Float[Tensor, "token model width"]:
        """Activations of all models at the counted tokens of rows."""
        result: list[list[Tensor]] = [[] for _ in self.sides]
        for side, parts in zip(self.sides, result, strict=True):
            chunks = stream(
                side.bridge,
                [self.rows.rows[i] for i in which],
                sites=[self.site],
                pad_id=side.alignment.pad_id,
                execution=Execution(max_tokens=self.max_tokens),
            )
            for chunk in chunks:
                real = chunk.encoded.real.cpu()
                first = self.rows.first[torch.tensor([which[i] for i in chunk.rows])][:, None]
                index = (first + chunk.encoded.position_ids.cpu())[real]
                x = rearrange(chunk.captured.at[self.site], "batch pos ... -> batch pos (...)")
                x = x[real.to(chunk.encoded.ids.device)]
                parts.append(x[self.rows.counted[index].to(x.device)].float())
        return torch.stack([torch.cat(parts).to(self.device) for parts in result], dim=1)


def _fit(
    feed: Feed,
    d_in: int,
    config: TrainConfig,
    metadata: dict[str, object],
    seed: int,
    device: str,
    progress: Progress,
) -> Any:
    """Train a SAELens SAE; the loop is ours, because SAELens's prints its own bar."""
    from sae_lens import (
        BatchTopKTrainingSAE,
        BatchTopKTrainingSAEConfig,
        SAETrainer,
        TopKTrainingSAE,
        TopKTrainingSAEConfig,
    )
    from sae_lens.config import LoggingConfig, SAETrainerConfig

    cls, cfg_cls = {
        "topk": (TopKTrainingSAE, TopKTrainingSAEConfig),
        "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig),
    }[config.architecture]
    devices = [torch.device(device)] if torch.device(device).type == "cuda" else []
    # SAELens initialises weights from the global generator.
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        sae = cls(
            cfg_cls(
                d_in=d_in,
                d_sae=config.d_sae,
                k=config.k,
                device=device,
                normalize_activations="expected_average_only_in",
            )
        )
    for key, value in metadata.items():
        setattr(sae.cfg.metadata, key, value)
    batches = feed.batches(config.batch, seed=seed)
    trainer: Any = SAETrainer(
        cfg=SAETrainerConfig(
            total_training_samples=config.n_steps * config.batch,
            train_batch_size_samples=config.batch,
            lr=config.lr,
            lr_end=config.lr / 10,
            lr_warm_up_steps=config.n_steps // 20,
            lr_decay_steps=config.n_steps // 5,
            device=device,
            dead_feature_window=max(config.n_steps // 10, 20),
            # Never reset: it only serves wandb, and dead features are counted from the start.
            feature_sampling_window=config.n_steps + 1,
            logger=LoggingConfig(log_to_wandb=False),
        ),
        sae=sae,
        data_provider=batches,
    )
    progress.start(config.n_steps, f"training {config.architecture}")
    out: Any = None
    try:
        for step in range(config.n_steps):
            batch = next(batches)
            if step == 0:
                # Activations are scaled to norm √d_in, so that one learning rate suits all sites.
                trainer.activation_scaler.scaling_factor = float(
                    d_in**0.5 / batch.norm(dim=1).mean()
                )
            out = trainer.step(batch)
            trainer.n_training_steps += 1
            progress.advance()
    finally:
        progress.stop()
    with torch.no_grad():
        error = (out.sae_out - out.sae_in).square().sum()
        spread = (out.sae_in - out.sae_in.mean(0)).square().sum()
    trainer.set_final_sae_metadata()
    sae.cfg.metadata.fvu = float(error / spread)
    sae.cfg.metadata.l0 = float((out.feature_acts.detach() != 0).sum(-1).double().mean())
    sae.fold_activation_norm_scaling_factor(trainer.activation_scaler.scaling_factor)
    return sae
