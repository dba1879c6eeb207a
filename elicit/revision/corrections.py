"""Training of lenses: corrections of all layers, fitted together on one forward per step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from elicit import fitting
from elicit.revision._lens_data import LensData, Streams, blocks_of
from elicit.revision.errors import RevisionError
from elicit.runs import Execution
from elicit.texts import Final, LogitBuffers, Readout, TokenRows, final_kl_gradient

Optimizer = Literal["adam", "sgd"]
Variant = Literal["affine", "bias"]
LEARNING_RATES: dict[Optimizer, float] = {"adam": 1e-3, "sgd": 0.1}
"""The authors' repository: its SGD is at 1.0 times 1 - momentum."""
_MOMENTUM = 0.9
_MAX_NORM = 1.0
"""Norm that the gradient of one layer's lens is clipped to."""


@dataclass(frozen=True, kw_only=True)
class LensTraining:
    """Training settings of lenses.

    Raises:
        RevisionError: A setting is out of range.
    """

    variant: Variant = "affine"
    """`affine`, or `bias` for a shift alone. The bias is fitted in either case."""
    optimizer: Optimizer = "adam"
    """`adam`, or the `sgd` with Nesterov momentum 0.9 of the tuned lens's authors."""
    steps: int = 250
    """Updates."""
    learning_rate: float | None = None
    """Largest learning rate; it falls linearly to 0, for Adam after a linear warm-up. None takes
    1e-3 for Adam and 0.1 for SGD."""
    weight_decay: float = 1e-3
    """Decay towards the logit lens, since the difference from it is decayed."""
    tokens_per_step: int = 8192
    """Approximate tokens per update; rows are never cut."""
    stream_memory: int = 2**30
    """Bytes that the residual streams of the text may take; where they do not fit, the model is run
    again for every update."""

    def __post_init__(self) -> None:
        """Validate the settings."""
        for name, known in (("variant", ("affine", "bias")), ("optimizer", ("adam", "sgd"))):
            if getattr(self, name) not in known:
                raise RevisionError(
                    f"{name} is {getattr(self, name)!r}, which is not known, so nothing could be "
                    f"fitted. Pass {' or '.join(map(repr, known))}."
                )
        for name in ("steps", "tokens_per_step"):
            if getattr(self, name) < 1:
                raise RevisionError(
                    f"{name} is {getattr(self, name)}, so nothing would be learnt and the lens "
                    "would be the logit lens under another name. Pass at least 1, or use "
                    "LogitLens()."
                )
        if not 0 < self.rate < float("inf"):
            raise RevisionError(
                f"learning_rate is {self.learning_rate}, so no update would go downhill. Pass a "
                f"positive number, for example {LEARNING_RATES[self.optimizer]:g} for "
                f"{self.optimizer}."
            )
        if not 0 <= self.weight_decay < float("inf"):
            raise RevisionError(
                f"weight_decay is {self.weight_decay}, so lenses would be pushed away from the "
                "identity without end. Pass 0 or a small positive number, for example 1e-3."
            )

    @property
    def rate(self) -> float:
        """Largest learning rate."""
        given = self.learning_rate
        return LEARNING_RATES[self.optimizer] if given is None else given

    @property
    def warm_up(self) -> int:
        """Updates before the learning rate is at its largest."""
        return min(1000, self.steps // 5) if self.optimizer == "adam" else 0

    def batches(self, rows: TokenRows, *, seed: int) -> list[list[int]]:
        """Rows of each update, every row once before any comes again."""
        generator = torch.Generator().manual_seed(seed)
        read = torch.tensor([i for i, positions in enumerate(rows.positions) if positions])
        n = min(len(read), max(1, round(rows.n_tokens / self.tokens_per_step)))

        def shuffled() -> Sequence[Tensor]:
            # Parts of similar size: a small last one would take as large a step on less data.
            order = read[torch.randperm(len(read), generator=generator)]
            return order.tensor_split(n)[::-1]

        return [part.tolist() for part in fitting.in_epochs(shuffled, self.steps)]


@dataclass(frozen=True, eq=False)
class Correction:
    """What a lens adds to the residual stream, in training; float32 or wider."""

    bias: Float[Tensor, "layer d_model"]
    weight: Float[Tensor, "layer d_model d_in"] | None
    """None where only the bias is learnt."""

    @classmethod
    def none(cls, n_layers: int, d_model: int, variant: Variant, like: Tensor) -> "Correction":
        """The identity, which every lens starts from."""
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

    def accumulate(self, resid: Tensor, gradient: Tensor, layer: int) -> None:
        """Add a block's part of the gradient of one layer."""
        assert self.bias.grad is not None
        self.bias.grad[layer] += gradient.sum(0)
        if self.weight is not None:
            assert self.weight.grad is not None
            self.weight.grad[layer].addmm_(gradient.T, resid)

    def clip(self) -> None:
        """Clip the gradient of each layer to the largest norm."""
        grads = [p.grad for p in self.parameters if p.grad is not None]
        # Each layer by itself: what one learns must not depend on which others are there.
        norm = sum(g.flatten(1).square().sum(1) for g in grads)
        assert isinstance(norm, Tensor)
        share = (_MAX_NORM / norm.sqrt().clamp(min=1e-12)).clamp(max=1.0)
        for g in grads:
            g.mul_(share.view(-1, *[1] * (g.ndim - 1)))


def train_corrections(
    data: LensData,
    corrections: Sequence[Correction],
    training: LensTraining,
    buffers: LogitBuffers,
    *,
    seed: int,
    execution: Execution = Execution(),
) -> Float[Tensor, "fitted step layer"]:
    """Fit corrections in place.

    `buffers`: where blocks are held: first the buffer of the model's own unembedding, whose
    predictions are the target, last that of the unembedding that reads the lens.

    Returns:
        KL(final‖lens) on the text of each update, before it; nats.

    Raises:
        RevisionError: A divergence or a correction is no longer finite.
    """
    own, read = buffers.readouts[0], buffers.readouts[-1]
    batches = training.batches(data.rows, seed=seed)
    kept: list[Streams | None] = []

    def step(number: int) -> Float[Tensor, "fitted layer"]:
        if not kept:  # Not before a step: a finished fit runs no model.
            kept.append(data.keep(memory=training.stream_memory))
        rows = batches[number]
        n_tokens = sum(len(data.rows.positions[row]) for row in rows)
        streams = data.streams(rows) if kept[0] is None else [kept[0].of_rows(rows)]
        loss = torch.zeros(len(corrections), data.reader.n_layers, dtype=torch.float64)
        for resid, final in blocks_of(streams, buffers, own):
            for i, correction in enumerate(corrections):
                loss[i] += _learn_block(resid, final, correction, read, n_tokens)
        for correction in corrections:
            correction.clip()
        return loss

    parameters = [p for correction in corrections for p in correction.parameters]
    try:
        loss = fitting.fit(
            _optimizer(parameters, training),
            step,
            steps=training.steps,
            rate=fitting.linear_decay(
                training.rate, steps=training.steps, warm_up=training.warm_up
            ),
            label=f"fitting lenses of {data.reader.title}",
            execution=execution,
        )
    except fitting.NotFiniteError as error:
        bad = ~error.measured.isfinite()
        for p in parameters:
            bad = bad | ~p.flatten(1).isfinite().all(1).cpu()
        layers = bad.any(0).nonzero().flatten().tolist()
        raise RevisionError(
            f"at update {error.update} of {training.steps} with {training.optimizer} at a largest "
            f"learning rate of {training.rate:g} the divergence or the lens of layers "
            f"{', '.join(map(str, layers))} is not finite, so what follows would not be a lens. "
            "Pass a smaller learning_rate, or check the model's weights."
        ) from error
    return loss.movedim(1, 0).contiguous()


def _learn_block(
    resid: Float[Tensor, "state token d_model"],
    final: Final,
    correction: Correction,
    read: Readout,
    n_tokens: int,
) -> Float[Tensor, " layer"]:
    """Add a block's gradients; returns its part of each layer's mean divergence."""
    kl = []
    for layer, stream in enumerate(resid[:-1]):
        wide = stream.to(correction.bias.dtype)
        result = final_kl_gradient(read, correction.state(wide, layer), final)
        correction.accumulate(wide, result.gradient / n_tokens, layer)
        kl.append(result.kl.sum())
    return torch.stack(kl).cpu() / n_tokens


def _optimizer(parameters: list[Tensor], training: LensTraining) -> torch.optim.Optimizer:
    decay = training.weight_decay
    if training.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=training.rate, momentum=_MOMENTUM, nesterov=True, weight_decay=decay
        )
    return torch.optim.Adam(
        parameters, lr=training.rate, betas=(_MOMENTUM, 0.999), weight_decay=decay, amsgrad=True
    )
