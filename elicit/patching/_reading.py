"""Metrics of a sweep, from few positions and few vocabulary rows of the output."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from elicit import metrics as m
from elicit.capture import Unembed
from elicit.patching.errors import PatchError

_CHUNK_VALUES = 1 << 24
"""Maximum number of logits in memory; no array over cells × positions × vocabulary is made."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reader:
    """Metrics of some rows, from the final residual stream or from logits.

    Reads the prompt's last column and the answer's columns except its last: the first gives
    `logit_diff` and `kl`, all together `log_prob` and `probability`.
    """

    unembed: Unembed | None
    """Unembedding of the host; None if only logits are read."""
    metric: tuple[str, ...]
    """`logit_diff`, `log_prob`, `probability` or `kl`, each once."""
    answer: Int[Tensor, "row read"]
    """Ids of the answer's tokens."""
    wrong: Int[Tensor, " row"] | None
    """Id of the first token of the wrong answer."""
    d_vocab: int
    """Number of shared ids; ids above are padding or specific to one model."""
    donor: Float[Tensor, "row d_vocab"] | None = None
    """Log-probabilities of the donor at the end of the prompt, for `kl`."""

    def on(self, device: torch.device) -> "Reader":
        """The same for a model on another device."""
        return replace(
            self,
            answer=self.answer.to(device),
            wrong=None if self.wrong is None else self.wrong.to(device),
            donor=None if self.donor is None else self.donor.to(device),
        )

    @property
    def all_logits(self) -> bool:
        """Whether any metric needs the whole vocabulary."""
        return any(name != "logit_diff" for name in self.metric)

    def from_resid(
        self, resid: Float[Tensor, "lane read d_model"], row: Int[Tensor, " lane"]
    ) -> Float[Tensor, "metric lane"]:
        """Differentiable metrics from the final residual stream.

        Raises:
            PatchError: The reader has no unembedding.
        """
        if self.unembed is None:
            raise PatchError("the reader has no unembedding for a residual stream. Pass logits.")
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
        """Logit difference from the two tokens' rows of the unembedding."""
        assert self.unembed is not None and self.wrong is not None
        pair = torch.stack([self.answer[row, 0], self.wrong[row]], dim=1)
        logits = self.unembed.logits_of(normed, pair)
        return logits[:, 0] - logits[:, 1]

    def from_logits(
        self, logits: Float[Tensor, "lane read d_vocab"], row: Int[Tensor, " lane"]
    ) -> Float[Tensor, "metric lane"]:
        """Metrics from logits at the columns read."""
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

    `resid`: final residual stream at the last token of each prompt.
    """
    return m.log_probs(unembed.logits(resid)[..., :d_vocab])


def at_columns(
    values: Shaped[Tensor, "row pos ..."], reads: Int[Tensor, "row read"]
) -> Shaped[Tensor, "row read ..."]:
    """What stands in the columns read, wherever the values are.

    `reads`: columns of each row, on the host's device; values may be the donor's, on another.
    """
    reads = reads.to(values.device)
    return values[torch.arange(len(reads), device=values.device)[:, None], reads]


def read_columns(
    n_prompt: int, n_answer: int, n_rows: int, device: torch.device
) -> Int[Tensor, "row read"]:
    """Columns read: the prompt's last and all of the answer's but its last."""
    return torch.arange(n_prompt - 1, n_prompt - 1 + n_answer, device=device).repeat(n_rows, 1)


def check_readable(metric: Sequence[str], *, has_wrong: bool) -> None:
    """Refuse `logit_diff` without wrong answers.

    Raises:
        PatchError: No wrong answers are given.
    """
    if "logit_diff" in metric and not has_wrong:
        raise PatchError(
            "logit_diff is requested and the contrast has no wrong answers, so there is nothing to "
            "subtract. Give wrong answers, or read log_prob."
        )
