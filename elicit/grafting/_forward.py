"""Teacher-forced forwards that begin at the first layer that differs and read answers only."""

import warnings
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from elicit.capture import CaptureError, Trunk, logits_at, record, run_layers, slot_logits
from elicit.grafting._cost import Cost
from elicit.grafting.score import Score, encode
from elicit.pair import ModelPair
from elicit.runs import Execution
from elicit.tasks import ForcedBatch, ReadScores, read_scores
from elicit.weights import Part, changed_slots, slots_of

AGREEMENT = 1e-4
"""Maximum logit difference between a resumed and a plain forward pass for resuming to be used."""


class ResumeWarning(UserWarning):
    """Layers of this architecture cannot be run one by one; every forward pass is run whole."""


@dataclass(eq=False)
class Forwards:
    """Scores one task with either model, from the first layer that differs where that is exact."""

    pair: ModelPair
    score: Score
    resume: bool = True
    """False runs every forward pass whole, as a reference for the resumed sweep."""
    execution: Execution = Execution()
    """Tokens per forward pass, memory of the kept residuals; checkpoint and progress."""
    cost: Cost = field(default_factory=Cost)

    def __post_init__(self) -> None:
        """Encode the task, which fails here if it does not fit the models."""
        self.slots = slots_of(self.pair)
        self.changed = changed_slots(self.pair)
        self.rows = encode(self.pair, self.score) if self.score.how == "forced" else None
        self._trunks: dict[tuple[bool, int], Trunk] = {}
        self._checked = False

    @cached_property
    def batches(self) -> tuple[ForcedBatch, ...]:
        """The rows of a teacher-forced task, each batch on the device of base."""
        assert self.rows is not None
        batches = self.rows.batches(self.execution.max_tokens)
        return tuple(batch.to(self.pair.device) for batch in batches)

    def differs(self, part: Part) -> bool:
        """Whether the models differ in any entry of a part."""
        return not self.changed.isdisjoint(part.slots)

    def entry(self, part: Part) -> int | None:
        """First layer at which a moved part is read.

        Returns:
            Layer in [0, n_layers]; None if the part changes what enters the first layer.
        """
        places = [self.slots[name].place for name in part.slots if name in self.changed]
        if any(place.block in ("embed", "pos_embed") for place in places):
            return None
        inside = (place.layer for place in places if place.layer >= 0)
        return min(inside, default=self.pair.n_layers)

    def plain(self, model: nn.Module, batch: ForcedBatch) -> ReadScores:
        """Scores of a batch by a model as it is now."""
        trunk = self._record(model, batch)
        return (
            self.whole(model, batch) if trunk is None else self.read(model, trunk.resid[-1], batch)
        )

    def above(
        self, host: nn.Module, batch: ForcedBatch, trunk: Trunk | None, first: int | None
    ) -> ReadScores:
        """Scores of a batch by a host that differs from its trunk's from a layer on.

        `trunk`: the unmodified host's trunk; None runs the whole model. `first`: first layer that
        differs; None if what is read before the layers does.
        """
        n_layers = self.pair.n_layers
        if trunk is None:
            self.cost.spent += n_layers
            return self.whole(host, batch)
        self.cost.spent += n_layers - (first or 0)
        if first is None:
            resid = record(host, batch.ids, batch.mask, batch.position_ids).resid[-1]
        else:
            resid = run_layers(host, trunk, trunk.resid[first], first=first)
        return self.read(host, resid, batch)

    def read(self, model: nn.Module, resid: Tensor, batch: ForcedBatch) -> ReadScores:
        """Scores from the residual stream that leaves the last layer, at the answers alone."""
        logits = logits_at(model, resid, batch.slot_row, batch.slot_pos)
        return read_scores(logits[:, : self.pair.d_vocab], batch)

    def whole(self, model: nn.Module, batch: ForcedBatch) -> ReadScores:
        """Scores of one plain forward pass."""
        return read_scores(_logits(model, batch)[:, : self.pair.d_vocab], batch)

    @torch.no_grad()
    def trunk(self, model: nn.Module, index: int) -> Trunk | None:
        """Trunk of an unmodified model over a batch; None if resuming is not exact.

        Trunks are kept while they fit into the memory of the execution.

        `model`: `pair.base` or `pair.post`, unmodified.
        """
        key = (model is self.pair.post, index)
        if key in self._trunks:
            return self._trunks[key]
        if self.resume:
            self.cost.trunk += self.pair.n_layers
        trunk = self._record(model, self.batches[index])
        if trunk is not None and _bytes((*self._trunks.values(), trunk)) <= self.execution.memory:
            self._trunks[key] = trunk
        return trunk

    def _record(self, model: nn.Module, batch: ForcedBatch) -> Trunk | None:
        """Trunk of a batch; None, with one warning, if resuming is not exact."""
        if not self.resume:
            return None
        try:
            trunk = record(model, batch.ids, batch.mask, batch.position_ids)
            if self._checked:
                return trunk
            resumed = logits_at(
                model,
                run_layers(model, trunk, trunk.resid[1], first=1),
                batch.slot_row,
                batch.slot_pos,
            )
            whole = _logits(model, batch)
            off = (resumed - whole).abs().max().item()
            if off <= AGREEMENT * max(1.0, whole.abs().max().item()):
                self._checked = True
                return trunk
            why = f"a resumed forward differs from a plain one by {off:.2g} in a logit"
        except (CaptureError, TypeError, AttributeError, KeyError) as error:
            why = str(error)
        warnings.warn(
            f"layers are not run one by one ({why}); every forward pass is run whole.",
            ResumeWarning,
            stacklevel=4,
        )
        self.resume = False
        return None


def _logits(model: nn.Module, batch: ForcedBatch) -> Tensor:
    """Logits of one plain forward pass at the answers' positions."""
    slots = (batch.slot_row, batch.slot_pos)
    return slot_logits(model, batch.ids, batch.mask, batch.position_ids, slots)


def _bytes(trunks: tuple[Trunk, ...]) -> int:
    return sum(resid.nbytes for trunk in trunks for resid in trunk.resid)
