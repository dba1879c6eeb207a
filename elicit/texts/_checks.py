"""Whether predictions are distributions: asked of each, or of a whole block together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.capture import Unembed
from elicit.texts.errors import TextError

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class _Asked:
    """One prediction's check, not yet answered."""

    checks: "Checks"
    bad: Tensor
    n_tokens: int
    again: bool
    """Whether setting aside what is -inf may help."""


@dataclass(eq=False)
class Checks:
    """The checks of one readout."""

    masked: bool = False
    """Whether logits of -inf are set aside; once one was met they always are."""
    _asked: list[_Asked] | None = None
    """Of the block under way; None outside of one."""
    _bias: dict[Unembed, Float[Tensor, " d_vocab"] | None] = field(default_factory=dict)

    def fails(self, finite: Bool[Tensor, " token"], *, again: bool = True) -> bool:
        """Whether a prediction must be computed again, with what is -inf set aside.

        Args:
            finite: Whether each token's sums are.
            again: Whether that may help.

        Raises:
            TextError: It is no distribution, and not because of what is -inf.
        """
        asked = _Asked(self, (~finite).sum(), len(finite), again and not self.masked)
        if self._asked is not None:
            self._asked.append(asked)
            return False
        return _answered([asked])

    def bias_of(self, unembed: Unembed) -> Float[Tensor, " d_vocab"] | None:
        """Bias of an unembedding, which is looked at once in a block.

        Args:
            unembed: Its weights may be others between two blocks, not within one.
        """
        if self._asked is None:
            return unembed.bias
        if unembed not in self._bias:
            self._bias[unembed] = unembed.bias
        return self._bias[unembed]


def settled(checks: Sequence[Checks], compute: Callable[[], T]) -> T:
    """What is computed of one block, with all its checks answered together at its end.

    The host waits for a device to answer, and nothing is asked of it meanwhile. A block that met
    -inf for the first time is computed again.

    Args:
        checks: Those of every readout that is used.
        compute: Reads the block; it may be called again.

    Raises:
        TextError: Some prediction is not a distribution.
    """
    while True:
        asked: list[_Asked] = []
        for each in checks:
            each._asked = asked
        try:
            found = compute()
        finally:
            for each in checks:
                each._asked = None
                each._bias.clear()
        if not _answered(asked):
            return found


def _answered(asked: Sequence[_Asked]) -> bool:
    """Whether what was asked about must be computed again; each device is waited for once."""
    by_device: dict[torch.device, list[_Asked]] = {}
    for each in asked:
        by_device.setdefault(each.bad.device, []).append(each)
    n_bad = {
        each: n
        for some in by_device.values()
        for each, n in zip(some, torch.stack([each.bad for each in some]).tolist(), strict=True)
    }
    # In the order in which they were computed, whatever the device.
    bad = [each for each in asked if n_bad[each]]
    if any(each.again for each in bad):
        for each in bad:
            each.checks.masked |= each.again
        return True
    if bad:
        raise TextError(
            f"the logits of {n_bad[bad[0]]} of {bad[0].n_tokens} tokens are NaN, +inf or -inf "
            "throughout, so there is no prediction to compare. Check the model's weights, or load "
            "it in float32."
        )
    return False
