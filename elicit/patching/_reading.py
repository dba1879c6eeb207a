"""What a sweep reads off the end of a run: few positions, and few tokens of the vocabulary."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit import metrics as m
from elicit.capture import Unembed
from elicit.patching.errors import PatchError

_CHUNK_VALUES = 1 << 24
"""Logits held at a time: neither cells nor positions times the vocabulary are ever stored."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reader:
    """Metrics of some rows, from the residual stream after the last layer or from logits.

    The columns read are the last of the prompt and those of the answer but its last token: the
    first gives `logit_diff` and `kl`, all of them together `log_prob` and `probability`.
    """

    unembed: Unembed | None
    """Reads the stream; None where only logits are read."""
    metric: tuple[str, ...]
    """`logit_diff`, `log_prob`, `probability` or `kl`, each once."""
    answer: Int[Tensor, "row read"]
    """Ids of the answer's tokens."""
    wrong: Int[Tensor, " row"] | None
    """Id of the first token of the wrong answer."""
    d_vocab: int
    """Ids below this count; those above are padding of the vocabulary, or one model's own."""
    donor: Float[Tensor, "row d_vocab"] | None = None
    """Log-probabilities of the donor at the end of the prompt, for `kl`."""

    @property
    def all_logits(self) -> bool:
        """Whether any metric needs the whole vocabulary."""
        return any(name != "logit_diff" for name in self.metric)

    def from_resid(
        self, resid: Float[Tensor, "lane read d_model"], row: Int[Tensor, " lane"]
    ) -> Float[Tensor, "metric lane"]:
        """Metrics from the residual stream after the last layer; gradients flow.

        Args:
            resid: At the columns read.
            row: Row of each lane.

        Raises:
            PatchError: The reader has no model.
        """
        if self.unembed is None:
            raise PatchError("a residual stream was to be read without a model. Pass logits.")
        if not self.all_logits:
            normed = self.unembed.norm(resid[:, 0])
            return self._two_logits(normed, row)[None].double()
        room = max(1, _CHUNK_VALUES // (resid.shape[1] * self.unembed.weight.shape[0]))
        parts = [
            self.from_logits(self.unembed.logits(some), own)
            for some, own in zip(resid.split(room), row.split(room), strict=True)
        ]
        return torch.cat(parts, dim=1)

    def _two_logits(
        self, normed: Float[Tensor, "lane d_model"], row: Int[Tensor, " lane"]
    ) -> Float[Tensor, " lane"]:
        """Difference of two logits, from their two rows of the unembedding alone."""
        assert self.unembed is not None and self.wrong is not None
        pair = torch.stack([self.answer[row, 0], self.wrong[row]], dim=1)
        logits = self.unembed.logits_of(normed, pair)
        return logits[:, 0] - logits[:, 1]

    def from_logits(
        self, logits: Float[Tensor, "lane read d_vocab"], row: Int[Tensor, " lane"]
    ) -> Float[Tensor, "metric lane"]:
        """Metrics from logits at the columns read.

        Args:
            logits: Raw scores.
            row: Row of each lane.
        """
        logits = logits[..., : self.d_vocab]
        found: list[Tensor] = []
        log_probs = m.log_probs(logits) if self.all_logits else None
        for name in self.metric:
            if name == "logit_diff":
                assert self.wrong is not None
                found.append(m.logit_diff(logits[:, 0], self.answer[row, 0], self.wrong[row]))
                continue
            assert log_probs is not None
            if name == "kl":
                assert self.donor is not None
                found.append(m.kl(self.donor[row], log_probs[:, 0]))
            else:
                picked = log_probs.gather(-1, self.answer[row][..., None])[..., 0].sum(-1)
                found.append(picked.exp() if name == "probability" else picked)
        return torch.stack([value.double() for value in found])


def end_log_probs(
    unembed: Unembed, resid: Float[Tensor, "row d_model"], d_vocab: int
) -> Float[Tensor, "row d_vocab"]:
    """Log-probabilities of the next token.

    Args:
        unembed: Reads the stream.
        resid: Residual stream after the last layer, at the last token of each prompt.
        d_vocab: Ids below this count.
    """
    return m.log_probs(unembed.logits(resid)[..., :d_vocab])


def read_columns(
    n_prompt: int, n_answer: int, n_rows: int, device: torch.device
) -> Int[Tensor, "row read"]:
    """Columns read: the last of the prompt and all of the answer but its last.

    Args:
        n_prompt: Tokens of every prompt.
        n_answer: Tokens of every answer.
        n_rows: Rows of the batch.
        device: Where the columns are needed.
    """
    return torch.arange(n_prompt - 1, n_prompt - 1 + n_answer, device=device).repeat(n_rows, 1)


def check_readable(metric: Sequence[str], *, has_wrong: bool) -> None:
    """Refuse a logit difference without anything to subtract.

    Raises:
        PatchError: No wrong answers are given.
    """
    if "logit_diff" in metric and not has_wrong:
        raise PatchError(
            "logit_diff is requested and the contrast has no wrong answers, so there is nothing to "
            "subtract. Give wrong answers, or read log_prob."
        )
