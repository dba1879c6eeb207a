"""Tuned lens: one affine map per layer, fitted to match the model's final prediction.

A fitted lens can compute what the model has not. So the logit lens and a bias-only lens are
evaluated on the same text as the affine map, and every number is for held-out problems.
"""

from dataclasses import asdict, dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.revision._lens_data import LensData, kl_by_problem
from elicit.revision._readers import MODELS, Head, readers_of
from elicit.revision.corrections import Correction, LensTraining, Variant, train_corrections
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens, LogitLens, TunedLens
from elicit.runs import Execution
from elicit.stats import Inference, joint_estimate
from elicit.texts import LogitBuffers, TokenRows


@dataclass(frozen=True, eq=False, kw_only=True)
class TunedLensFit(Result):
    """Divergence of each layer's lens from the final prediction, on held-out problems.

    The gain of the affine map over the bias alone may be computed by the lens; only what the bias
    reaches is certainly computed by the layer.
    """

    lens: TunedLens
    """The fitted lens of the requested variant."""
    kind: tuple[str, ...]
    """`identity` (the logit lens), `bias`, and `affine` if fitted."""
    layer: Int[Tensor, " layer"]
    """Number of layers before the state; 0 is the embedding."""
    kl: Annotated[Estimate, "kind layer"]
    """KL(final‖lens) on held-out problems, nats: mean over problems of the mean over tokens;
    simultaneous over the layers of a kind."""
    gain: Annotated[Estimate, "kind layer"]
    """Reduction of KL over the preceding kind, paired by problem, nats; 0 for the first.
    Simultaneous over the layers of a kind."""
    fitted: tuple[str, ...]
    """Kinds that were fitted."""
    loss: Float[Tensor, "fitted step layer"]
    """KL(final‖lens) on the text of each update, before it, nats."""
    n_tokens: int
    """Number of training tokens."""
    n_held_out: int
    """Number of held-out tokens."""
    n_problems: int
    """Number of held-out problems, the unit of every interval."""

    def _widest(self) -> tuple[str, ...]:
        """Axes of the main table; the curve of the fit and the lens have their own."""
        return ("kind", "layer")


def fit_tuned_lens(
    pair: ModelPair,
    rows: TokenRows,
    *,
    held_out: TokenRows,
    model: str = "base",
    head: Head = "own",
    training: LensTraining = LensTraining(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> TunedLensFit:
    """Fit a lens for every layer of one model, and evaluate it on held-out text.

    All layers and kinds are fitted on the same forward passes, without a graph of the model and
    with at most one block of logits in memory.

    Args:
        pair: The two models.
        rows: Training text.
        held_out: Evaluation text, of other problems.
        model: Model whose states are read; the target is its final prediction.
        head: Model whose final norm and unembedding read them; another model's is a cross reading.
        training: Variant, optimizer and schedule.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: Held-out and training text overlap, there is too little text, or the fit
            diverges.

    Source: Belrose et al. 2023, arXiv:2303.08112, and its repository: residual form, loss, Nesterov
        SGD, Adam with AMSGrad. We depart in three places: gradients are clipped layer by layer and
        not over all layers, so that a layer's lens does not depend on the others; Adam does warm
        up, which a comparison of a string with an enum prevents there; and the state is not
        centred after an update.
    """
    if model not in MODELS or head not in ("own", *MODELS):
        raise RevisionError(
            f"model is {model!r} and head {head!r}, so it is not clear what is read. Pass model "
            "'base' or 'post', and head 'own', 'base' or 'post'."
        )
    training = replace(training, learning_rate=training.rate)
    _check_texts(rows, held_out, pair.d_model, training.variant)
    (reader,) = readers_of(pair, models=(model,), head=head)
    # The target's buffer comes first, the lens's last; the model's own head needs only one.
    buffers = LogitBuffers(
        [reader.own, reader.unembed] if reader.crossed else [reader.own],
        n_tokens=max(rows.n_tokens, held_out.n_tokens),
        memory=execution.memory,
    )
    kinds: tuple[Variant, ...] = ("bias", "affine") if training.variant == "affine" else ("bias",)
    like = torch.empty(0, dtype=buffers.readouts[-1].wide, device=reader.own.weight.device)
    corrections: dict[Variant, Correction] = {
        k: Correction.none(pair.n_layers, pair.d_model, k, like) for k in kinds
    }
    loss = train_corrections(
        LensData(reader=reader, rows=rows, max_tokens=execution.max_tokens),
        list(corrections.values()),
        training,
        buffers,
        seed=inference.seed,
        execution=execution.scoped("lens"),
    )
    options = asdict(training)
    del options["stream_memory"]
    provenance = pair.provenance(
        inference.seed,
        {
            "question": "fit_tuned_lens",
            "model": model,
            "head": head,
            **options,
            "level": inference.level,
            "n_resamples": inference.n_resamples,
        },
        task_digests={"fit": rows.digest, "held_out": held_out.digest},
    )
    head_name = reader.title if head == "own" else getattr(pair, f"{head}_name")
    lenses: dict[Variant, TunedLens] = {
        kind: TunedLens(
            provenance=provenance,
            weight=_full_weight(correction).cpu(),
            bias=correction.bias.cpu(),
            variant=kind,
            model=reader.title,
            head=head_name,
            head_digest=reader.unembed.digest(),
        )
        for kind, correction in corrections.items()
    }
    every: list[Lens] = [LogitLens(), *lenses.values()]
    by_problem = kl_by_problem(
        LensData(reader=reader, rows=held_out, max_tokens=execution.max_tokens),
        [(lens, buffers.readouts[-1]) for lens in every],
        buffers,
        layers=range(pair.n_layers),
        key="held_out",
        execution=execution,
    )
    saved = torch.cat([torch.zeros_like(by_problem[:, :1]), -by_problem.diff(dim=1)], dim=1)
    return TunedLensFit(
        provenance=provenance,
        lens=lenses[training.variant],
        kind=("identity", *kinds),
        layer=torch.arange(pair.n_layers),
        kl=layerwise_estimate(by_problem, inference),
        gain=layerwise_estimate(saved, inference),
        fitted=kinds,
        loss=loss,
        n_tokens=rows.n_tokens,
        n_held_out=held_out.n_tokens,
        n_problems=len(by_problem),
    )


def layerwise_estimate(
    values: Float[Tensor, "problem *part layer"], inference: Inference
) -> Estimate:
    """Mean over problems, with intervals simultaneous over the layers of a part.

    `values`: values of each problem; NaN: part not measured.
    """
    parts = values.reshape(len(values), -1, values.shape[-1])
    rows = [joint_estimate(part, inference=inference) for part in parts.unbind(1)]
    return Estimate.stack(rows).map(lambda ends: ends.reshape(values.shape[1:]))


def _full_weight(correction: Correction) -> Float[Tensor, "layer d_model d_in"]:
    """Weight of a correction; 0 for a bias alone."""
    n_layers, d_model = correction.bias.shape
    zero = correction.bias.new_zeros(n_layers, d_model, d_model)
    return zero if correction.weight is None else correction.weight


def _check_texts(rows: TokenRows, held_out: TokenRows, d_model: int, variant: Variant) -> None:
    """Refuse text that cannot evaluate a lens, before any run."""
    shared = sorted(set(rows.problem) & set(held_out.problem))
    same = set(rows.rows) & set(held_out.rows)
    if shared or same:
        what = (
            f"{len(shared)} problems (the first is {shared[0]!r})"
            if shared
            else f"{len(same)} rows, under other names,"
        )
        raise RevisionError(
            f"{what} are both in the training and in the held-out text, so the divergence would be "
            "biased low. Split one TokenRows by problem with part(), or pass problem= with "
            "distinct names."
        )
    if len(set(held_out.problem)) < 2:
        raise RevisionError(
            f"the held-out text has {len(set(held_out.problem))} problem, and intervals are over "
            "problems. Hold out at least 2."
        )
    if variant == "affine" and rows.n_tokens < d_model:
        raise RevisionError(
            f"there are {rows.n_tokens} training tokens and d_model is {d_model}, so an affine map "
            "could fit any target and its fit would be meaningless. Pass many times as many "
            "tokens, or variant='bias'."
        )
