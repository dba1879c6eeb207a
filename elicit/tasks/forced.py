"""Rows to run and the reads that make up the log-probability of written answers."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class ForcedBatch:
    """Rows to run in one forward, and the positions at which their logits are needed."""

    row: Int[Tensor, " batch"]
    """Place of each row in the `ForcedRows` it comes from."""
    ids: Int[Tensor, "batch pos"]
    """Token ids, padded on the right to the longest row of the batch."""
    mask: Int[Tensor, "batch pos"]
    """1 at a token, 0 at padding."""
    position_ids: Int[Tensor, "batch pos"]
    """0, 1, 2, ... in each row; padding repeats the last."""
    slot_row: Int[Tensor, " slot"]
    """Row, within the batch, of each position whose logits are needed; a slot is needed once."""
    slot_pos: Int[Tensor, " slot"]
    """The position itself; its logits predict the token after it."""
    read_slot: Int[Tensor, " read"]
    """Slot from which each read is taken; never falls from one read to the next."""
    read_token: Int[Tensor, " read"]
    """Token id whose probability is read there."""

    def to(self, device: torch.device | str) -> "ForcedBatch":
        """The batch with all its tensors on `device`."""
        return ForcedBatch(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True, eq=False, kw_only=True)
class ForcedRows:
    """Token rows of a task and the reads that make up the log-probability of every item.

    An item is one candidate of one problem, or the answer of a problem without candidates.
    """

    ids: Int[Tensor, "row pos"]
    """Token ids, padded on the right; the longest rows come first."""
    mask: Int[Tensor, "row pos"]
    """1 at a token, 0 at padding."""
    length: Int[Tensor, " row"]
    """Tokens of each row."""
    problem: Int[Tensor, " row"]
    """Place in the task of the problem that each row belongs to."""
    read_row: Int[Tensor, " read"]
    """Row of each read; never falls from one read to the next."""
    read_pos: Int[Tensor, " read"]
    """Position whose logits are read; they predict the token after it."""
    read_token: Int[Tensor, " read"]
    """Token id whose log-probability is read."""
    read_item: Int[Tensor, " read"]
    """Item to whose log-probability the read is added."""
    item_problem: Int[Tensor, " item"]
    """Place in the task of each item's problem; never falls."""
    item_candidate: Int[Tensor, " item"]
    """Place among the problem's candidates; 0 for the answer of a problem without."""
    item_is_answer: Bool[Tensor, " item"]
    """Whether the item is the right answer; exactly one a problem is."""
    item_start: Int[Tensor, " item"]
    """Position of the first token scored, the same for all items of a problem."""
    item_length: Int[Tensor, " item"]
    """Tokens scored."""
    has_candidates: Bool[Tensor, " problem"]
    """Whether the problem is a choice among candidates."""
    problem_id: tuple[str, ...]
    """Id of each problem, in the order of the task."""
    task_digest: str
    """Digest of the task that was encoded."""

    @property
    def n_tokens(self) -> int:
        """Tokens in all rows, padding excluded: what one forward over everything costs."""
        return int(self.length.sum())

    def batches(self, max_tokens: int) -> tuple[ForcedBatch, ...]:
        """The rows in batches of about equal length, the longest first.

        The reads of the batches, one batch after the other, are the reads of the rows in order.

        Args:
            max_tokens: Most tokens in a batch, padding included, at least 1; a row longer than
                that is a batch of its own.

        Raises:
            ValueError: `max_tokens` is below 1.
        """
        if max_tokens < 1:
            raise ValueError(f"max_tokens is {max_tokens}, and a batch holds at least 1 token.")
        lengths = self.length.tolist()
        cuts = [0]
        while cuts[-1] < len(lengths):
            cuts.append(min(cuts[-1] + max(1, max_tokens // lengths[cuts[-1]]), len(lengths)))
        return tuple(self._batch(low, high) for low, high in zip(cuts, cuts[1:], strict=False))

    def _batch(self, low: int, high: int) -> ForcedBatch:
        longest = int(self.length[low])
        mask = self.mask[low:high, :longest].contiguous()
        inside = (self.read_row >= low) & (self.read_row < high)
        places = torch.stack([self.read_row[inside] - low, self.read_pos[inside]], dim=1)
        slots, read_slot = torch.unique(places, dim=0, return_inverse=True)
        return ForcedBatch(
            row=torch.arange(low, high),
            ids=self.ids[low:high, :longest].contiguous(),
            mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
            slot_row=slots[:, 0].contiguous(),
            slot_pos=slots[:, 1].contiguous(),
            read_slot=read_slot,
            read_token=self.read_token[inside],
        )
