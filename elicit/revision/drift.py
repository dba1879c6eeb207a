"""Whether what a layer says changed its language: one model's lens on the other's states."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Result, digest_json
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens, LogitLens, TunedLens, check_lens
from elicit.revision.source import (
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

_MODELS: tuple[Which, ...] = ("base", "post")


@dataclass(frozen=True, eq=False, kw_only=True)
class LensDrift(Result):
    """How much worse each layer is read by the other model's lens and head than by its own.

    A drift near 0 says that a layer speaks as it did; a large one says that it does not, and not
    which of body and head has changed: the `logit` rows with the last layer show the heads' part.
    What is compared is always KL(final‖lens), the final prediction being that of the model whose
    states are read.
    """

    kind: tuple[str, ...]
    """`logit`: the stream as it is; `tuned`: through the lenses that were given."""
    states: tuple[str, ...]
    """Model whose layers are read, and whose final prediction they are held against."""
    reader: tuple[str, ...]
    """Model whose lens, final norm and unembedding read them."""
    reference: tuple[str, ...]
    """`own`: the same states read by their own model; `home`: the other model's states, read by the
    same lens and head at home."""
    layer: Int[Tensor, " layer"]
    """Blocks run before the state that is read. After the last no lens is applied: there a head
    reads the other model's last layer as it is."""
    kl: Float[Tensor, "kind states reader layer"]
    """KL(final‖lens), nats: mean over problems of the mean over tokens. NaN: no such lens given."""
    kl_low: Float[Tensor, "kind states reader layer"]
    """Lower end, jointly over layers."""
    kl_high: Float[Tensor, "kind states reader layer"]
    """Upper end, jointly over layers."""
    drift: Float[Tensor, "kind states reference layer"]
    """KL of `states` read by the other model's lens and head, minus that of the reference, problem
    by problem; nats."""
    drift_low: Float[Tensor, "kind states reference layer"]
    """Lower end, jointly over layers."""
    drift_high: Float[Tensor, "kind states reference layer"]
    """Upper end, jointly over layers."""
    n_tokens: int
    """Tokens read."""
    n_problems: int
    """Problems, the unit of every interval."""


def lens_drift(
    pair: ModelPair,
    traces: Traces,
    *,
    lens_base: Lens,
    lens_post: Lens | None = None,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> LensDrift:
    """Read both models' layers with both models' lenses, each lens through its own model's head.

    Args:
        pair: The two models.
        traces: Text that no lens was fitted on.
        lens_base: Fitted on base through base's head.
        lens_post: Fitted on post through post's head, on the same text by the same recipe; None
            leaves out what would need it.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: A lens belongs to another model or head or knows this text, or there are
            fewer than 2 problems.

    Source: Belrose et al. 2023, arXiv:2303.08112, who read a fine-tuned model by the lens of the
        one it comes from. The excess over a reference is ours.
    """
    sides = {which: headed_model(pair, which) for which in _MODELS}
    given = {"base": lens_base, "post": lens_post}
    for which, lens in given.items():
        if lens is not None:
            side = sides[which]
            check_lens(lens, side.head, n_layers=pair.n_layers, name=side.name)
            _check_role(pair, which, lens, traces)
    problems = {name for name, at in zip(traces.problem, traces.positions, strict=True) if at}
    if len(problems) < 2:
        raise RevisionError(
            f"the text is of {len(problems)} problem, and intervals are over problems, so nothing "
            "could be said about others. Pass at least 2."
        )
    cells = execution.checkpoint
    rooms = Rooms(
        {which: side.head for which, side in sides.items()},
        n_tokens=traces.n_tokens,
        budget=execution.memory,
    )
    logit = [(LogitLens(), rooms.of[reader]) for reader in _MODELS]
    tuned = {r: (lens, rooms.of[r]) for r, lens in given.items() if lens is not None}
    layers = range(pair.n_layers + 1)
    shape = (len(problems), 2, 2, 2, len(layers))
    kl = torch.full(shape, torch.nan, dtype=torch.float64)
    for s, which in enumerate(_MODELS):
        source = Source(
            side=sides[which],
            traces=traces,
            n_layers=pair.n_layers,
            pad_id=pair.alignment.pad_id,
            max_tokens=execution.max_tokens,
        )

        def read(which: Which = which, source: Source = source) -> dict[str, Tensor]:
            every = [*logit, *tuned.values()]
            own = rooms.of[which]
            return {
                "kl": kl_by_problem(
                    source, every, rooms, own, layers=layers, progress=execution.progress
                )
            }

        found = cells.get_or_compute(which, read)["kl"]
        kl[:, 0, s] = found[:, :2]
        for i, reader in enumerate(tuned):
            kl[:, 1, s, _MODELS.index(reader)] = found[:, 2 + i]

    def jointly(name: str, values: Float[Tensor, "problem ..."]) -> dict[str, Tensor]:
        flat = intervals_of(name, values.flatten(1, 3), inference=inference)
        return {field: ends.view(values.shape[1:]) for field, ends in flat.items()}

    return LensDrift(
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "lens_drift",
                **{f"lens_{which}": _named(lens) for which, lens in given.items()},
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
            task_digests={"traces": traces.digest},
        ),
        kind=("logit", "tuned"),
        states=_MODELS,
        reader=_MODELS,
        reference=("own", "home"),
        layer=torch.arange(len(layers)),
        n_tokens=traces.n_tokens,
        n_problems=len(problems),
        **jointly("kl", kl),
        **jointly("drift", _drift(kl)),
    )


def _drift(
    kl: Float[Tensor, "problem kind states reader layer"],
) -> Float[Tensor, "problem kind states reference layer"]:
    """Excess of the other model's reading over the states' own and over the reader's at home."""
    own = torch.stack([kl[:, :, 0, 0], kl[:, :, 1, 1]], dim=2)
    crossed = torch.stack([kl[:, :, 0, 1], kl[:, :, 1, 0]], dim=2)
    return torch.stack([crossed - own, crossed - own.flip(2)], dim=3)


def _check_role(pair: ModelPair, which: str, lens: Lens, traces: Traces) -> None:
    """Refuse a lens that a digest of the head cannot tell from the right one."""
    if not isinstance(lens, TunedLens):
        return
    mine, other = pair.base_name, pair.post_name
    if which == "post":
        mine, other = other, mine
    if lens.model == other and mine != other and not pair.identical:
        raise RevisionError(
            f"lens_{which} was fitted on the states of {lens.model} and {which} is {mine}, so the "
            "drift would be measured the wrong way round. Pass each lens under its own model's "
            "name."
        )
    learnt = lens.provenance.task_digests.get("fit") if lens.provenance else None
    if learnt == traces.digest:
        raise RevisionError(
            f"lens_{which} was fitted on this very text, so it would read its own model better "
            "than it reads text it has not seen. Pass text that was held out."
        )


def _named(lens: Lens | None) -> dict[str, object] | None:
    """What a lens is, for the origin of a number."""
    if lens is None:
        return None
    if not isinstance(lens, TunedLens):
        return {"lens": type(lens).__name__}
    told = lens.provenance.to_json() if lens.provenance else None
    return {
        "lens": "TunedLens",
        "variant": lens.variant,
        "model": lens.model,
        "head": lens.head,
        "head_digest": lens.head_digest,
        "origin": digest_json(told),
    }
