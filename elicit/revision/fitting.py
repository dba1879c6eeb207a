"""Steps that fit the lenses of all layers at once, on one forward each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.revision.errors import RevisionError
from elicit.revision.gradient import sloped_kl
from elicit.revision.readout import Readout
from elicit.revision.source import Block, Rooms, Source, blocks_of
from elicit.revision.traces import Traces
from elicit.runs import Progress

Optimizer = Literal["adam", "sgd"]
Variant = Literal["affine", "bias"]
LEARNING_RATES: dict[Optimizer, float] = {"adam": 1e-3, "sgd": 0.1}
"""The repository's: its SGD is at 1.0 times 1 - momentum."""
_MOMENTUM = 0.9
_LARGEST_SLOPE = 1.0
"""Length to which the gradient of one layer's lens is cut."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How lenses are fitted.

    Raises:
        RevisionError: Nothing would be learnt by it.
    """

    optimizer: Optimizer
    """`adam`, or the `sgd` with Nesterov momentum 0.9 of the tuned lens's authors."""
    steps: int
    """Updates."""
    lr: float
    """Largest learning rate; it falls linearly to 0, for Adam after a linear warm-up."""
    weight_decay: float
    """Pull towards the identity, for what is decayed is the difference from it."""
    tokens_per_step: int
    """About how many tokens an update sees; rows are never cut."""
    seed: int
    """Of the order of the rows."""

    def __post_init__(self) -> None:
        """Refuse what cannot learn."""
        if self.optimizer not in LEARNING_RATES:
            raise RevisionError(
                f"optimizer is {self.optimizer!r}, which is not known, so nothing could be fitted. "
                "Pass 'adam' or 'sgd'."
            )
        for name, least in (("steps", 1), ("tokens_per_step", 1)):
            if getattr(self, name) < least:
                raise RevisionError(
                    f"{name} is {getattr(self, name)}, so nothing would be learnt and the lens "
                    f"would be the logit lens under another name. Pass at least {least}, or use "
                    "LogitLens()."
                )
        if not 0 < self.lr < float("inf"):
            raise RevisionError(
                f"lr is {self.lr}, so no update would go downhill. Pass a positive number, for "
                f"example {LEARNING_RATES[self.optimizer]:g} for {self.optimizer}."
            )
        if not 0 <= self.weight_decay < float("inf"):
            raise RevisionError(
                f"weight_decay is {self.weight_decay}, so lenses would be pushed away from the "
                "identity without end. Pass 0 or a small positive number, for example 1e-3."
            )

    @property
    def warm_up(self) -> int:
        """Updates before the learning rate is at its largest."""
        return min(1000, self.steps // 5) if self.optimizer == "adam" else 0

    def rate(self, step: int) -> float:
        """Learning rate of an update.

        Args:
            step: Number of the update, from 0.
        """
        up = (step + 1) / self.warm_up if step < self.warm_up else 1.0
        return self.lr * min(up, (self.steps - step) / (self.steps - self.warm_up))

    def batches(self, traces: Traces) -> Iterator[list[int]]:
        """Rows of each update, every row once before any comes again.

        Args:
            traces: All rows.
        """
        generator = torch.Generator().manual_seed(self.seed)
        rows = torch.tensor([i for i, at in enumerate(traces.positions) if at])
        n = min(len(rows), max(1, round(traces.n_tokens / self.tokens_per_step)))
        left: list[Tensor] = []
        for _ in range(self.steps):
            if not left:
                # Parts of like size: a small last one would step as far on less evidence.
                left = list(rows[torch.randperm(len(rows), generator=generator)].tensor_split(n))
            yield left.pop().tolist()


@dataclass(frozen=True, eq=False)
class Correction:
    """What a lens adds to the residual stream, being learnt; float32 or wider."""

    bias: Float[Tensor, "layer d_model"]
    weight: Float[Tensor, "layer d_model d_in"] | None
    """None where only the bias is learnt."""

    @classmethod
    def none(cls, n_layers: int, d_model: int, variant: Variant, like: Tensor) -> "Correction":
        """The identity: what every lens starts from."""
        bias = torch.zeros(n_layers, d_model, dtype=like.dtype, device=like.device)
        wide = variant == "affine"
        return cls(bias, bias.new_zeros(n_layers, d_model, d_model) if wide else None)

    @property
    def parameters(self) -> list[Tensor]:
        """What is learnt."""
        return [self.bias] if self.weight is None else [self.bias, self.weight]

    def state(
        self, resid: Float[Tensor, "token d_model"], layer: int
    ) -> Float[Tensor, "token d_model"]:
        """The corrected stream, as `TunedLens.state` has it."""
        moved = resid if self.weight is None else resid + resid @ self.weight[layer].T
        return moved + self.bias[layer]

    def learn(self, resid: Tensor, slope: Tensor, layer: int) -> None:
        """Add a block's part of the gradient of one layer."""
        assert self.bias.grad is not None
        self.bias.grad[layer] += slope.sum(0)
        if self.weight is not None:
            assert self.weight.grad is not None
            self.weight.grad[layer].addmm_(slope.T, resid)

    def clip(self) -> None:
        """Shorten the gradients of layers whose length is beyond the largest."""
        grads = [p.grad for p in self.parameters if p.grad is not None]
        # Each layer by itself: what one learns must not depend on which others are there.
        length = sum(g.flatten(1).square().sum(1) for g in grads)
        assert isinstance(length, Tensor)
        share = (_LARGEST_SLOPE / length.sqrt().clamp(min=1e-12)).clamp(max=1.0)
        for g in grads:
            g.mul_(share.view(-1, *[1] * (g.ndim - 1)))


def learn(
    source: Source,
    corrections: Sequence[Correction],
    recipe: Recipe,
    rooms: Rooms,
    *,
    own: Readout,
    read: Readout,
    keep: int,
    progress: Progress,
) -> Float[Tensor, "fitted step layer"]:
    """Fit corrections in place.

    Args:
        source: The model, and the text to learn from.
        corrections: What is learnt, each for itself on the same streams.
        recipe: How.
        rooms: Where blocks are held.
        own: The room of the model's own head, whose predictions are the aim.
        read: The room of the head that reads the lens.
        keep: Bytes that the streams of all rows may take; where they fit there is one forward in
            all, and not one each time a row comes up.
        progress: Told the updates made.

    Returns:
        KL(final‖lens) on the text of each update, before it; nats.

    Raises:
        RevisionError: A divergence or a correction is no longer a number.
    """
    parameters = [p for held in corrections for p in held.parameters]
    optimizer = _optimizer(parameters, recipe)
    losses = torch.zeros(len(corrections), recipe.steps, source.n_layers, dtype=torch.float64)
    kept = source.keep(budget=keep)
    for step, rows in enumerate(recipe.batches(source.traces)):
        for p in parameters:
            p.grad = torch.zeros_like(p)
        n_tokens = sum(len(source.traces.positions[row]) for row in rows)
        streams = source.read(rows) if kept is None else [kept.of_rows(rows)]
        for block in blocks_of(streams, rooms, own):
            for i, held in enumerate(corrections):
                losses[i, step] += _learn_block(block, held, read, n_tokens)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        for held in corrections:
            held.clip()
        optimizer.step()
        _refuse_nan(losses[:, step], parameters, step, recipe)
        progress.advance()
    for p in parameters:
        p.grad = None
    return losses


def _learn_block(
    block: Block, held: Correction, read: Readout, n_tokens: int
) -> Float[Tensor, " layer"]:
    """Add a block's gradients; returns its part of each layer's mean divergence."""
    kl = []
    for layer, resid in enumerate(block.resid[:-1]):
        wide = resid.to(held.bias.dtype)
        found = sloped_kl(read, held.state(wide, layer), block.final)
        held.learn(wide, found.slope / n_tokens, layer)
        kl.append(found.kl.sum())
    return torch.stack(kl).cpu() / n_tokens


def _optimizer(parameters: list[Tensor], recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer of a recipe."""
    lr, decay = recipe.lr, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=lr, momentum=_MOMENTUM, nesterov=True, weight_decay=decay
        )
    return torch.optim.Adam(
        parameters, lr=lr, betas=(_MOMENTUM, 0.999), weight_decay=decay, amsgrad=True
    )


def _refuse_nan(losses: Tensor, parameters: list[Tensor], step: int, recipe: Recipe) -> None:
    """Refuse to go on from an update that led nowhere."""
    bad = ~losses.isfinite()
    for p in parameters:
        bad |= ~p.flatten(1).isfinite().all(1).cpu()
    if not bool(bad.any()):
        return
    layers = bad.any(0).nonzero().flatten().tolist()
    raise RevisionError(
        f"at update {step + 1} of {recipe.steps} with {recipe.optimizer} at a learning rate of "
        f"{recipe.rate(step):.3g} the divergence or the lens of layers "
        f"{', '.join(map(str, layers))} is not a finite number, so what follows would be no lens. "
        "Pass a smaller lr, or check the model's weights."
    )
