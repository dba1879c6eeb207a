"""The eight models of every boundary: upstream × downstream × unembedding, each base or post."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit import metrics as m
from elicit.capture import Decomposed, UnknownArchitectureError, decompose, logits_at
from elicit.pair import ModelPair
from elicit.patching._checks import check_contrast, check_seed
from elicit.patching._reading import Reader
from elicit.patching._streams import ends_by_lanes, ends_by_loop
from elicit.patching._warnings import SlowSweepWarning, warn
from elicit.patching.columns import Positions, resolve
from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.patching.factorial_result import Factorial, conclude_factorial
from elicit.patching.plan import Batch, Engine, Plan, batches_of
from elicit.patching.swap import across
from elicit.patching.values import resolution_of
from elicit.runs import Execution
from elicit.sites import Site, resid_post, resid_pre
from elicit.stats import Inference

FactorialMetric = Literal["logit_diff", "log_prob", "probability"]


def factorial(
    pair: ModelPair,
    contrast: Contrast,
    *,
    metric: FactorialMetric = "logit_diff",
    positions: Positions = "all",
    boundaries: Sequence[int] | None = None,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
    engine: Engine = "lanes",
) -> Factorial:
    """Did post-training write a new signal, install a reader, or change the unembedding?

    At each boundary the residual stream of one model continues in the other, with the unembedding
    of either: eight models. The mixed ones are off both models' manifolds; the off-manifold KL is
    reported with the effects.

    Args:
        pair: The two models; their weights must differ.
        contrast: Prompts and answers; corrupted prompts are not used.
        metric: Metric of the output.
        positions: Positions that receive the other model's stream: `all` (equivalent to using the
            other's layers below the boundary), or a subset.
        boundaries: Number of layers below each boundary, 0 to n_layers; None takes all.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.
        engine: `lanes`, or `loop` for one whole forward pass per cell.

    Raises:
        PatchError: The two models are the same, or the contrast does not fit the question.
    """
    cells, progress = execution.checkpoint, execution.progress
    check_seed(inference)
    _check(pair, contrast, metric)
    requested = _boundaries(boundaries, pair.n_layers)
    plan = Plan(
        pair=pair,
        contrast=contrast,
        swap=across("post_to_base", metrics=(metric,)),
        sites=tuple(_site(b, pair.n_layers) for b in requested),
        columns=resolve(positions, contrast),
        control=(),
        engine=engine,
        inference=inference,
        execution=execution,
    )
    decomposed = _decomposed(pair, engine)
    batches = batches_of(plan)
    n_each = 2 * len(requested) * len(plan.columns.label)
    progress.start(n_each * len(contrast), "factorial")
    values, off = [], []
    for number, batch in enumerate(batches):

        def compute(batch: Batch = batch) -> dict[str, Tensor]:
            with torch.no_grad():
                return _cube(pair, plan, batch, requested, decomposed)

        piece = cells.get_or_compute(f"batch{number}", compute)
        values.append(piece["values"])
        off.append(piece["off_manifold"])
        progress.advance(n_each * len(batch.problem))
    progress.stop()
    order = torch.argsort(torch.tensor([p for batch in batches for p in batch.problem]))
    cube = torch.cat(values, dim=-1)[..., order]
    ends = torch.stack([cube[0, 0, 0, 0, 0], cube[0, 0, 1, 1, 1]])
    result = conclude_factorial(
        cube,
        contrast=contrast,
        metric=metric,
        pos=plan.columns.label,
        boundary=requested,
        off_manifold=torch.cat(off, dim=-1)[..., order],
        resolution=resolution_of(pair.dtype, [metric], ends.reshape(1, -1)).item(),
        inference=inference,
    )
    return replace(
        result,
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "factorial",
                "metric": metric,
                "positions": list(plan.columns.label),
                "boundaries": list(requested),
                "engine": engine,
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
            task_digests={"contrast": contrast.digest},
        ),
    )


def _check(pair: ModelPair, contrast: Contrast, metric: str) -> None:
    """Refuse models and metrics for which a factorial is undefined or exactly 0."""
    if pair.identical:
        raise PatchError(
            f"{pair.base_name} and {pair.post_name} have the same weights, so all eight models are "
            "identical and every effect is exactly 0. Pass a model and its post-trained sibling."
        )
    if metric == "kl":
        raise PatchError(
            "metric is kl, and a factorial has no donor to compare with. Pass logit_diff, log_prob "
            "or probability."
        )
    check_contrast(pair, contrast, (metric,))


def _boundaries(boundaries: Sequence[int] | None, n_layers: int) -> tuple[int, ...]:
    every = range(n_layers + 1)
    requested = tuple(every if boundaries is None else dict.fromkeys(boundaries))
    if not requested or any(boundary not in every for boundary in requested):
        raise PatchError(
            f"boundaries are {requested}, and a model of {n_layers} layers has boundaries 0 to "
            f"{n_layers}. Pass some of these."
        )
    return requested


def _site(boundary: int, n_layers: int) -> Site:
    """Residual stream at a boundary: entering its layer, or leaving the last one."""
    return resid_pre(boundary) if boundary < n_layers else resid_post(n_layers - 1)


def _decomposed(pair: ModelPair, engine: Engine) -> tuple[Decomposed, Decomposed] | None:
    if engine == "loop":
        return None
    try:
        return decompose(pair.base), decompose(pair.post)
    except UnknownArchitectureError as error:
        warn(str(error), SlowSweepWarning)
        return None


def _cube(
    pair: ModelPair,
    plan: Plan,
    batch: Batch,
    boundaries: tuple[int, ...],
    decomposed: tuple[Decomposed, Decomposed] | None,
) -> dict[str, Tensor]:
    """Metric under all eight models, and off-manifold KL of the six mixed ones, for one batch."""
    models: tuple[nn.Module, nn.Module] = (pair.base, pair.post)
    span = batch.span
    n_pos, n_rows = span.shape[1], span.shape[0]
    rows = torch.arange(n_rows, device=span.device)
    if decomposed is None:
        own, mixed = ends_by_loop(models, batch, span, plan.sites)
    else:
        own, mixed = ends_by_lanes(decomposed, batch, span, plan.sites, plan.execution.max_tokens)
    ends = [_ended(models, own[d], rows, h, plan, batch) for d in (0, 1) for h in (0, 1)]  # d*2 + h
    shape = (len(boundaries), n_pos, 2, 2, 2, n_rows)
    # Filled where outcomes are compared: brought over cell by cell, each would be waited for.
    values = torch.zeros(shape, dtype=torch.float64, device=rows.device)
    off = torch.zeros((len(boundaries), n_pos, n_rows), dtype=torch.float64, device=rows.device)
    pure = (ends[0].log_probs, ends[3].log_probs)
    for d in (0, 1):
        for h in (0, 1):
            end = ends[d * 2 + h]
            values[:, :, d, d, h] = end.value
            if d != h:
                off += _nearest(end.log_probs, pure) / 6
            for b in range(len(boundaries)):
                for p in range(n_pos):
                    resid, moved = mixed[d]
                    moves = moved[b, p]
                    here = _ended(models, resid[b, p], rows, h, plan, batch)
                    # A stream identical to the host's gives the host's outcome exactly.
                    values[b, p, 1 - d, d, h] = torch.where(moves, here.value, end.value)
                    kl = _nearest(here.log_probs, pure)
                    if d == h:
                        kl = torch.where(moves, kl, torch.zeros_like(kl))
                    off[b, p] += kl / 6
    return {"values": values.cpu(), "off_manifold": off.cpu()}


class _Ended:
    """Metric and next-token distribution at the end of the prompt."""

    def __init__(self, value: Float[Tensor, " row"], log_probs: Float[Tensor, "row v"]) -> None:
        self.value = value
        self.log_probs = log_probs


def _ended(
    models: tuple[nn.Module, nn.Module],
    resid: Float[Tensor, "row read d_model"],
    rows: Int[Tensor, " row"],
    head: int,
    plan: Plan,
    batch: Batch,
) -> _Ended:
    """Outcome of one model's unembedding for a final residual stream."""
    n_rows, n_read = resid.shape[:2]
    lane = rows.repeat_interleave(n_read)
    read = torch.arange(n_read, device=rows.device).repeat(n_rows)
    # Outcomes of both models are compared, wherever their unembeddings are.
    logits = logits_at(models[head], resid, lane, read).to(rows.device)
    logits = logits.unflatten(0, (n_rows, n_read))
    reader = Reader(
        unembed=None,
        metric=plan.metric,
        answer=batch.answer,
        wrong=batch.wrong,
        d_vocab=plan.pair.d_vocab,
    )
    value = reader.from_logits(logits, rows)[0]
    return _Ended(value, m.log_probs(logits[:, 0, : plan.pair.d_vocab]))


def _nearest(
    outcome: Float[Tensor, "row v"], pure: tuple[Float[Tensor, "row v"], Float[Tensor, "row v"]]
) -> Float[Tensor, " row"]:
    """KL of an outcome to the nearer of base and post, nats."""
    return torch.minimum(m.kl(outcome, pure[0]), m.kl(outcome, pure[1])).double()
