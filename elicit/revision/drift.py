"""Representational drift: one model's lens on the other model's states."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Estimate, Result, digest_json
from elicit.revision._lens_data import LensData, kl_by_problem
from elicit.revision._readers import MODELS, readers_of
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens, LogitLens, TunedLens
from elicit.revision.tuned import layerwise_estimate
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.texts import LogitBuffers, TokenRows


@dataclass(frozen=True, eq=False, kw_only=True)
class LensDrift(Result):
    """Excess divergence when a layer is read by the other model's lens and head.

    Drift near 0: the layer can be read as before. Large drift does not show whether the layers or
    the unembedding changed; the last layer of the `logit` rows gives the unembedding's part. The
    divergence is KL(final‖lens), with the final prediction of the model whose states are read.
    """

    kind: tuple[str, ...]
    """`logit`: logit lens; `tuned`: the given lenses."""
    states: tuple[str, ...]
    """Model whose layers are read and compared with its final prediction."""
    reader: tuple[str, ...]
    """Model whose lens, final norm and unembedding read them."""
    reference: tuple[str, ...]
    """`own`: the same states read by their model's lens and head; `home`: the same lens and head
    on the states of their model."""
    layer: Int[Tensor, " layer"]
    """Number of layers before the state. After the last layer no lens is applied: a head reads the
    other model's final stream."""
    kl: Annotated[Estimate, "kind states reader layer"]
    """KL(final‖lens), nats: mean over problems of the mean over tokens; simultaneous over layers.
    NaN: no such lens given."""
    drift: Annotated[Estimate, "kind states reference layer"]
    """KL of `states` read by the other model's lens and head, minus that of the reference, paired
    by problem; nats. Simultaneous over layers."""
    n_tokens: int
    """Tokens read."""
    n_problems: int
    """Problems, the unit of every interval."""


def lens_drift(
    pair: ModelPair,
    rows: TokenRows,
    *,
    lens_base: Lens,
    lens_post: Lens | None = None,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> LensDrift:
    """Read both models' layers with both models' lenses, each through its model's head.

    Args:
        pair: The two models.
        rows: Text that no lens was fitted on.
        lens_base: Lens fitted on base through base's head.
        lens_post: Lens fitted on post through post's head, on the same text with the same
            settings; None leaves out the readings that need it.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: A lens belongs to another model or head or was fitted on this text, or there
            are fewer than 2 problems.

    Source: Belrose et al. 2023, arXiv:2303.08112, who read a fine-tuned model with its base
        model's lens. The excess over a reference is ours.
    """
    given = {"base": lens_base, "post": lens_post}
    readers = readers_of(
        pair, lens={name: lens for name, lens in given.items() if lens is not None}
    )
    for name, lens in given.items():
        _check_role(pair, name, lens, rows)
    problems = {name for name, read in zip(rows.problem, rows.positions, strict=True) if read}
    if len(problems) < 2:
        raise RevisionError(
            f"the text has {len(problems)} problem, and intervals are over problems. "
            "Pass at least 2."
        )
    layers = range(pair.n_layers + 1)
    tuned = [i for i, name in enumerate(MODELS) if given[name] is not None]
    kl = torch.full(
        (len(problems), 2, 2, 2, len(layers)), torch.nan, dtype=torch.float64
    )  # [problem kind states reader layer]
    for i, reader in enumerate(readers):
        # Both heads read where the states are.
        heads = [each.own.on(reader.own.weight.device) for each in readers]
        buffers = LogitBuffers(heads, n_tokens=rows.n_tokens, memory=execution.memory)
        readings = [(LogitLens(), readout) for readout in buffers.readouts]
        readings += [(readers[j].lens, buffers.readouts[j]) for j in tuned]
        by_problem = kl_by_problem(
            LensData(reader=reader, rows=rows, max_tokens=execution.max_tokens),
            readings,
            buffers,
            own=buffers.readouts[i],
            layers=layers,
            key=reader.name,
            execution=execution,
        )
        kl[:, 0, i] = by_problem[:, :2]
        kl[:, 1, i, tuned] = by_problem[:, 2:]
    return LensDrift(
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "lens_drift",
                **{f"lens_{name}": _origin(lens) for name, lens in given.items()},
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
            task_digests={"rows": rows.digest},
        ),
        kind=("logit", "tuned"),
        states=MODELS,
        reader=MODELS,
        reference=("own", "home"),
        layer=torch.arange(len(layers)),
        n_tokens=rows.n_tokens,
        n_problems=len(problems),
        kl=layerwise_estimate(kl, inference),
        drift=layerwise_estimate(_drift(kl), inference),
    )


def _drift(
    kl: Float[Tensor, "problem kind states reader layer"],
) -> Float[Tensor, "problem kind states reference layer"]:
    """Excess of a cross reading over both references, `own` and `home`."""
    own = torch.stack([kl[:, :, 0, 0], kl[:, :, 1, 1]], dim=2)
    crossed = torch.stack([kl[:, :, 0, 1], kl[:, :, 1, 0]], dim=2)
    return torch.stack([crossed - own, crossed - own.flip(2)], dim=3)


def _check_role(pair: ModelPair, name: str, lens: Lens | None, rows: TokenRows) -> None:
    """Refuse a wrong lens that the digest of the head does not reveal."""
    if not isinstance(lens, TunedLens):
        return
    mine, other = pair.base_name, pair.post_name
    if name == "post":
        mine, other = other, mine
    if lens.model == other and mine != other and not pair.identical:
        raise RevisionError(
            f"lens_{name} was fitted on the states of {lens.model} and {name} is {mine}, so the "
            "drift would be measured the wrong way round. Pass each lens under its own model's "
            "name."
        )
    fitted = lens.provenance.task_digests.get("fit") if lens.provenance else None
    if fitted == rows.digest:
        raise RevisionError(
            f"lens_{name} was fitted on this very text, so its divergence would be biased low. "
            "Pass held-out text."
        )


def _origin(lens: Lens | None) -> dict[str, object] | None:
    """Origin of a lens, for the provenance."""
    if lens is None:
        return None
    if not isinstance(lens, TunedLens):
        return {"lens": type(lens).__name__}
    origin = lens.provenance.to_json() if lens.provenance else None
    return {
        "lens": "TunedLens",
        "variant": lens.variant,
        "model": lens.model,
        "head": lens.head,
        "head_digest": lens.head_digest,
        "origin": digest_json(origin),
    }
