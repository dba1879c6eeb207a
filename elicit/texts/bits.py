"""What post's texts hold that base lacks: KL(post‖base) along texts that post sampled, in bits.

About 2 to the power of these bits are the samples that base needs to hold one text as probable as
post's own. They tell how far post moved, not whether anything was gained: read them with a gap.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture import unembed_of
from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.rollouts import Rollouts
from elicit.runs import Execution
from elicit.stats import Inference, linearised_ratio, mean_by_problem, problem_mean
from elicit.texts.buffers import LogitBuffers
from elicit.texts.chunks import concatenate, read_chunks
from elicit.texts.divergence import model_divergences
from elicit.texts.errors import TextError
from elicit.texts.predictions import LN2
from elicit.texts.residuals import last_states
from elicit.texts.rows import TokenRows

PARTS = ("whole text", "first tokens", "after them")
"""Parts of a text that are told apart."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TextBits(Result):
    """Bits of post's own texts that base lacks: KL(post‖base) over whole texts and their parts."""

    part: tuple[str, ...]
    """`whole text`, `first tokens` (the first `n_first`), `after them`."""
    bits: Annotated[Estimate, "part"]
    """Sum of log2 of post's over base's probability of the written tokens, bits a text; mean over
    problems. An estimate of the divergence that may fall below 0 by chance."""
    expected: Annotated[Estimate, "part"]
    """The same divergence, of whole predictions: sum over the text of KL(post‖base) at each token,
    bits a text. Never below 0, and less noisy."""
    per_token: Annotated[Estimate, "part"]
    """`bits` over the number of tokens, both summed over all texts."""
    agreement: Annotated[Estimate, "part"]
    """Share of tokens at which both models find the same token most probable."""
    n_tokens: Float[Tensor, " part"]
    """Mean tokens of a text."""
    problem: tuple[str, ...]
    """Id of each problem that has a text."""
    text_problem: Int[Tensor, " text"]
    """Problem of each text."""
    text_bits: Float[Tensor, "text part"]
    """`bits` of each text."""
    text_expected: Float[Tensor, "text part"]
    """`expected` of each text."""
    n_first: int
    """Tokens that count as first."""
    truncated: float
    """Share of texts that were cut before they ended: their end is not counted."""


def text_bits(
    pair: ModelPair,
    texts: Rollouts,
    *,
    n_first: int = 1,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> TextBits:
    """KL(post‖base) along texts that post sampled at temperature 1, by one forward of each model.

    Tokens that end a text count, forced beginnings do not. Logits are held a block at a time.

    Args:
        pair: The two models.
        texts: Post's own texts at temperature 1, drawn among all tokens.
        n_first: Tokens of each text that count as first.
        inference: Coverage, resamples and seed.
        execution: Tokens per forward pass, memory of logits, checkpoint and progress.

    Raises:
        TextError: The texts were not drawn from post's own distribution, base finds a written
            token impossible, or `n_first` is below 1.
        CaptureError: A model cannot read a row.
    """
    _check(texts, n_first)
    rows = TokenRows.of_rollouts(texts, skip=(), source="post")
    read = _Read(pair, execution.memory, rows.n_tokens)
    found = read_chunks(
        rows,
        read.chunk,
        key=f"text-bits/{rows.digest[:16]}",
        label="reading post's texts",
        execution=execution,
    )
    lost = int((~found["bits"].isfinite()).sum())
    if lost:
        raise TextError(
            f"{lost} of the {rows.n_tokens} tokens that post wrote have no probability in one of "
            "the models, so no number of bits would do. Load the pair with vocab='shared', or "
            "check that post wrote these texts."
        )
    return _summed(pair, texts, rows, found, n_first=n_first, inference=inference)


def _check(texts: Rollouts, n_first: int) -> None:
    drawn = texts.sampling
    if drawn.temperature != 1.0 or drawn.top_p != 1.0:
        raise TextError(
            f"the texts were drawn at temperature {drawn.temperature:g} with top_p "
            f"{drawn.top_p:g}, so their average would not be a divergence of the two models. "
            "Sample them at temperature 1 with top_p 1."
        )
    if n_first < 1:
        raise TextError(
            f"n_first is {n_first}, so a text would have no first tokens. Pass 1 or more."
        )


class _Read:
    """Both models over chunks of rows; its buffers are allocated once."""

    def __init__(self, pair: ModelPair, memory: int, n_tokens: int) -> None:
        self.sides = [pair.side(name) for name in ("base", "post")]
        self.unembeds = [unembed_of(one.bridge, d_vocab=pair.d_vocab) for one in self.sides]
        self.n_layers = pair.n_layers
        self.buffers = LogitBuffers(self.unembeds, memory=memory, n_finals=1, n_tokens=n_tokens)

    @torch.no_grad()
    def chunk(self, rows: TokenRows) -> dict[str, Tensor]:
        """Bits, expected bits and agreement of every token that is read."""
        written = torch.tensor(rows.next_ids())
        normed = [
            unembed.norm(last_states(side, rows, n_layers=self.n_layers)[None])[0]
            for side, unembed in zip(self.sides, self.unembeds, strict=True)
        ]
        return concatenate(
            self._block([states[span] for states in normed], written[span])
            for span in self.buffers.spans(len(written))
        )

    def _block(self, states: list[Tensor], written: Tensor) -> dict[str, Tensor]:
        base, post = (
            readout.project(one) for readout, one in zip(self.buffers.readouts, states, strict=True)
        )
        written, post = written.to(base.device), post.to(base.device)
        return {
            "bits": (_log_prob(post, written) - _log_prob(base, written)) / LN2,
            "expected": model_divergences(base, post).kl_post_base.double() / LN2,
            "agree": (base.argmax(0) == post.argmax(0)).double(),
        }


def _log_prob(
    logits: Float[Tensor, "d_vocab token"], written: Int[Tensor, " token"]
) -> Float[Tensor, " token"]:
    """Log-probability of the written tokens, nats; the block of logits is left as it is."""
    own = logits.gather(0, written[None])[0].double()
    return own - logits.logsumexp(0).double()


def _summed(
    pair: ModelPair,
    texts: Rollouts,
    rows: TokenRows,
    found: dict[str, Tensor],
    *,
    n_first: int,
    inference: Inference,
) -> TextBits:
    """Sums over every text's parts, and their means over problems."""
    row, _ = rows.index
    start = torch.tensor([min(places, default=0) for places in rows.positions])
    place = torch.tensor([p for places in rows.positions for p in places]) - start[row]
    inside = torch.stack([place >= 0, place < n_first, place >= n_first]).double()

    def by_text(values: Tensor) -> Float[Tensor, "text part"]:
        sums = torch.zeros(len(rows), len(PARTS), dtype=torch.float64)
        return sums.index_add_(0, row, (inside * values.double()).T)

    count = by_text(torch.ones(len(row)))
    sums = {name: by_text(values) for name, values in found.items()}
    ids = dict.fromkeys(rows.problem)
    number = {name: n for n, name in enumerate(ids)}
    problem = torch.tensor([number[name] for name in rows.problem])

    def means(values: Float[Tensor, "text part"]) -> Estimate:
        each = mean_by_problem(values.T, problem, len(ids))
        return Estimate.of_intervals(
            problem_mean(part, inference=inference, method="bca") for part in each
        )

    def ratios(values: Float[Tensor, "text part"]) -> Estimate:
        each = linearised_ratio(values, count, problem)
        return Estimate.of_intervals(
            problem_mean(part, inference=inference, method="bca") for part in each.T
        )

    return TextBits(
        provenance=pair.provenance(
            inference.seed,
            {"question": "text_bits", "n_first": n_first, "level": inference.level,
             "rows": rows.digest},
            task_digests={texts.task: texts.task_digest},
        ),
        part=PARTS,
        bits=means(sums["bits"]),
        expected=means(sums["expected"]),
        per_token=ratios(sums["bits"]),
        agreement=ratios(sums["agree"]),
        n_tokens=count.mean(0),
        problem=tuple(ids),
        text_problem=problem,
        text_bits=sums["bits"],
        text_expected=sums["expected"],
        n_first=n_first,
        truncated=float(texts.truncated.double().mean()),
    )  # fmt: skip


def _estimate(parts: Tensor, inference: Inference) -> Estimate:
    """Means over problems; sums of divergences are skewed, so the ends stay within their range."""
    return Estimate.of_intervals(
        problem_mean(part, inference=inference, method="bca") for part in parts
    )
