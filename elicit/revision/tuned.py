"""Fitting a lens: an affine map a layer, learnt so that its reading comes near the final one.

A lens that learns can learn what the model has not computed. So the affine map never stands alone:
the logit lens it starts from and a bias alone are fitted and read on the same text beside it, and
every number is of problems that the fit has not seen.
"""

from dataclasses import asdict, dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Provenance, Result
from elicit.revision.errors import RevisionError
from elicit.revision.fitting import (
    LEARNING_RATES,
    Correction,
    Optimizer,
    Recipe,
    Variant,
    learn,
)
from elicit.revision.lens import Lens, LogitLens, TunedLens
from elicit.revision.source import (
    HeadedModel,
    Rooms,
    Source,
    Which,
    headed_model,
    intervals_of,
    kl_by_problem,
)
from elicit.revision.traces import Traces
from elicit.runs import Execution
from elicit.stats import Inference


@dataclass(frozen=True, eq=False, kw_only=True)
class TunedLensFit(Result):
    """How near each layer's lens comes to the final prediction, on problems it was not fitted on.

    A gain of the affine map over the bias alone is what the lens may have computed by itself; only
    what the bias reaches is surely the layer's own.
    """

    lens: TunedLens
    """The lens that was asked for, ready to be read through."""
    kind: tuple[str, ...]
    """`identity` (the logit lens), `bias`, and `affine` where it was fitted."""
    layer: Int[Tensor, " layer"]
    """Blocks run before the state that is read; 0 is the embedding."""
    kl: Float[Tensor, "kind layer"]
    """KL(final‖lens) on held-out problems, nats: mean over problems of the mean over tokens."""
    kl_low: Float[Tensor, "kind layer"]
    """Lower end, jointly over the layers of a kind."""
    kl_high: Float[Tensor, "kind layer"]
    """Upper end, jointly over the layers of a kind."""
    gain: Float[Tensor, "kind layer"]
    """Nats saved over the kind before it, problem by problem; 0 for the first."""
    gain_low: Float[Tensor, "kind layer"]
    """Lower end, jointly over the layers of a kind."""
    gain_high: Float[Tensor, "kind layer"]
    """Upper end, jointly over the layers of a kind."""
    fitted: tuple[str, ...]
    """Kinds that were fitted."""
    loss: Float[Tensor, "fitted step layer"]
    """KL(final‖lens) on the text of each update, before it, nats."""
    n_tokens: int
    """Tokens there were to learn from."""
    n_held_out: int
    """Tokens held out."""
    n_problems: int
    """Problems held out, the unit of every interval."""

    def _widest(self) -> tuple[str, ...]:
        """Axes of the main table; the curve of the fit and the lens have their own."""
        return ("kind", "layer")


def fit_tuned_lens(
    pair: ModelPair,
    traces: Traces,
    *,
    held_out: Traces,
    model: Which = "base",
    head: Literal["own", "base", "post"] = "own",
    variant: Variant = "affine",
    optimizer: Optimizer = "adam",
    steps: int = 250,
    lr: float | None = None,
    weight_decay: float = 1e-3,
    tokens_per_step: int = 8192,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
    keep: int = 2**30,
) -> TunedLensFit:
    """Fit a lens for every layer of one model, and hold it against text it has not seen.

    All layers and kinds learn from the same forwards. The model is never in a graph, and no more
    logits are held than one block of the budget.

    Args:
        pair: The two models.
        traces: Text to learn from.
        held_out: Text to read the lenses on: other problems than those learnt from.
        model: Whose states are read; the aim is always this model's own final prediction.
        head: Whose final norm and unembedding read them; another model's is a cross reading.
        variant: `affine`, or `bias` for a shift alone. The bias is fitted in either case.
        optimizer: `adam`, or the `sgd` of the tuned lens's authors.
        steps: Updates, at least 1.
        lr: Largest learning rate; None takes 1e-3 for Adam and 0.1 for SGD.
        weight_decay: Pull towards the logit lens, at least 0.
        tokens_per_step: About how many tokens an update sees; rows are never cut.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.
        keep: Bytes that the residual streams of the text to learn from may take; where they do not
            fit, the model is run again for every update.

    Raises:
        RevisionError: Text is held out that was learnt from, there is too little of it, an option
            is out of range, or the fit leaves the finite numbers.

    Source: Belrose et al. 2023, arXiv:2303.08112, and its repository: residual form, loss, Nesterov
        SGD, Adam with AMSGrad. We depart in three places: gradients are cut layer by layer and not
        over all layers, so that a layer's lens does not depend on the others; Adam does warm up,
        which a comparison of a string with an enum prevents there; and the state is not centred
        after an update.
    """
    if model not in ("base", "post") or head not in ("own", "base", "post"):
        raise RevisionError(
            f"model is {model!r} and head {head!r}, so it is not clear what is read. Pass model "
            "'base' or 'post', and head 'own', 'base' or 'post'."
        )
    if variant not in ("affine", "bias"):
        raise RevisionError(
            f"variant is {variant!r}, so it is not clear what is fitted. Pass 'affine' or 'bias'."
        )
    recipe = Recipe(
        optimizer=optimizer,
        steps=steps,
        lr=LEARNING_RATES.get(optimizer, 1.0) if lr is None else lr,
        weight_decay=weight_decay,
        tokens_per_step=tokens_per_step,
        seed=inference.seed,
    )
    _check_texts(traces, held_out, pair.d_model, variant)
    side = headed_model(pair, model)
    other = side if head in ("own", model) else headed_model(pair, head)
    rooms = Rooms(
        {"own": side.head, "read": other.head},
        n_tokens=max(traces.n_tokens, held_out.n_tokens),
        budget=execution.memory,
    )
    own, read = rooms.of["own"], rooms.of["read"]
    like = torch.empty(0, dtype=read.wide, device=own.head.weight.device)
    kinds: tuple[Variant, ...] = ("bias", "affine") if variant == "affine" else ("bias",)
    cells, progress = execution.checkpoint, execution.progress

    def source(text: Traces) -> Source:
        return Source(
            side=side,
            traces=text,
            n_layers=pair.n_layers,
            pad_id=pair.alignment.pad_id,
            max_tokens=execution.max_tokens,
        )

    def fit() -> dict[str, Tensor]:
        held = {k: Correction.none(pair.n_layers, pair.d_model, k, like) for k in kinds}
        progress.start(recipe.steps, f"fitting lenses of {side.name}")
        try:
            loss = learn(
                source(traces),
                list(held.values()),
                recipe,
                rooms,
                own=own,
                read=read,
                keep=keep,
                progress=progress,
            )
        finally:
            progress.stop()
        found = {"loss": loss} | {f"{kind}/bias": held[kind].bias.cpu() for kind in kinds}
        weights = {f"{kind}/weight": held[kind].weight for kind in kinds}
        return found | {name: w.cpu() for name, w in weights.items() if w is not None}

    fitted = cells.get_or_compute("lens", fit)
    provenance = pair.provenance(
        inference.seed,
        {
            "question": "fit_tuned_lens",
            "model": model,
            "head": head,
            "variant": variant,
            **{name: value for name, value in asdict(recipe).items() if name != "seed"},
            "level": inference.level,
            "n_resamples": inference.n_resamples,
        },
        task_digests={"fit": traces.digest, "held_out": held_out.digest},
    )
    lenses = {kind: _frozen(fitted, kind, pair.n_layers, side, other, provenance) for kind in kinds}

    def evaluate() -> dict[str, Tensor]:
        every: list[Lens] = [LogitLens(), *lenses.values()]
        readings = [(lens, read) for lens in every]
        layers = range(pair.n_layers)
        found = kl_by_problem(
            source(held_out), readings, rooms, own, layers=layers, progress=progress
        )
        return {"kl": found}

    by_problem = cells.get_or_compute("held_out", evaluate)["kl"]
    saved = torch.cat([torch.zeros_like(by_problem[:, :1]), -by_problem.diff(dim=1)], dim=1)

    def jointly(name: str, values: Float[Tensor, "problem kind layer"]) -> dict[str, Tensor]:
        return intervals_of(name, values, inference=inference)

    return TunedLensFit(
        provenance=provenance,
        lens=lenses[variant],
        kind=("identity", *kinds),
        layer=torch.arange(pair.n_layers),
        fitted=kinds,
        loss=fitted["loss"],
        n_tokens=traces.n_tokens,
        n_held_out=held_out.n_tokens,
        n_problems=len(by_problem),
        **jointly("kl", by_problem),
        **jointly("gain", saved),
    )


def _frozen(
    fitted: dict[str, Tensor],
    kind: Variant,
    n_layers: int,
    side: HeadedModel,
    other: HeadedModel,
    provenance: Provenance,
) -> TunedLens:
    """A fitted correction as a lens."""
    bias = fitted[f"{kind}/bias"]
    weight = fitted.get(f"{kind}/weight")
    d_model = bias.shape[1]
    return TunedLens(
        provenance=provenance,
        weight=bias.new_zeros(n_layers, d_model, d_model) if weight is None else weight,
        bias=bias,
        variant=kind,
        model=side.name,
        head=other.name,
        head_digest=other.head.digest(),
    )


def _check_texts(traces: Traces, held_out: Traces, d_model: int, variant: Variant) -> None:
    """Refuse text that could not show what a lens is worth, before anything is run."""
    shared = sorted(set(traces.problem) & set(held_out.problem))
    rows = set(traces.rows) & set(held_out.rows)
    if shared or rows:
        what = (
            f"{len(shared)} problems (the first is {shared[0]!r})"
            if shared
            else f"{len(rows)} rows, under other names,"
        )
        raise RevisionError(
            f"{what} are both in the text to learn from and in the text held out, so the "
            "divergence would be of text that the lens knows. Split one Traces by problem with "
            "part(), or pass problem= to name the texts apart."
        )
    if len(set(held_out.problem)) < 2:
        raise RevisionError(
            f"the text held out is of {len(set(held_out.problem))} problem, and intervals are over "
            "problems, so nothing could be said about others. Hold out at least 2."
        )
    if variant == "affine" and traces.n_tokens < d_model:
        raise RevisionError(
            f"there are {traces.n_tokens} tokens to learn from and the stream is {d_model} wide, "
            "so an affine map could send each of these states where it likes and its fit would "
            "show nothing. Pass many times as many tokens, or variant='bias'."
        )
