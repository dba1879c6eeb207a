"""The ledger: one read of every written thought by both models, and what each says at every token.

Whatever is teacher-forced is arithmetic on it: the log-probability and entropy of every written
token, how the two models differ there, and the probability of every candidate answer at every cut.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import ModelPair, Side
from elicit.results import Result, digest_json
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.surroundings import guarded
from elicit.tasks import same_answer
from elicit.texts import (
    AnswerForm,
    CutText,
    EncodedText,
    StepRule,
    encode_cuts,
)
from elicit.traces._ledger_reader import LedgerReader
from elicit.traces.errors import TraceError
from elicit.traces.thoughts import Thoughts, answer_pool, cut_texts

MODELS = ("base", "post")


@dataclass(frozen=True, eq=False, kw_only=True)
class Ledger(Result):
    """What both models say of the same written thoughts, token by token and cut by cut."""

    source: str
    """Who wrote them: `given`, `base` or `post`."""
    problem: tuple[str, ...]
    """Problem of each text."""
    prompt: tuple[str, ...]
    """Prompt of each text, of a conversation its last turn. Text of a file: never trusted."""
    text: tuple[str, ...]
    """The thoughts. Text of a model or of a file: never trusted."""
    candidates: tuple[tuple[str, ...], ...]
    """Answers whose probability is read, of each text."""
    gold: Int[Tensor, " thought"]
    """Place of the right answer among them."""
    n_gold: Int[Tensor, " thought"]
    """Tokens of the right answer, as they are scored."""
    written: Int[Tensor, " thought"]
    """Place of the answer that the writer gave; -1 where it gave none."""
    truncated: Bool[Tensor, " thought"]
    """Whether the text was cut before its writer ended it."""
    scorer: tuple[str, ...]
    """The models that read them."""
    token_thought: Int[Tensor, " token"]
    """Text of each written token."""
    token_id: Int[Tensor, " token"]
    """Its id."""
    token_char: Int[Tensor, " token"]
    """Character of the text at which it ends; -1 where the tokenizer does not tell."""
    log_prob: Float[Tensor, "scorer token"]
    """Log-probability of the written token, nats."""
    entropy: Float[Tensor, "scorer token"]
    """Entropy of the prediction there, nats."""
    peakedness: Float[Tensor, "scorer token"]
    """Minus the mean log-probability of the 20 most probable tokens, nats: large where the
    prediction is sure."""
    rank: Int[Tensor, "scorer token"]
    """Tokens that are more probable than the written one; 0: greedy decoding writes it."""
    kl_base_post: Float[Tensor, " token"]
    """KL(base‖post) of the predictions, nats."""
    kl_post_base: Float[Tensor, " token"]
    """KL(post‖base), nats."""
    jsd: Float[Tensor, " token"]
    """Jensen-Shannon divergence of the predictions, nats in [0, ln 2]."""
    prompt_log_prob: Float[Tensor, "scorer thought"]
    """Log-probability of the prompt's tokens after its first, summed, nats."""
    n_prompt: Int[Tensor, " thought"]
    """Tokens of the prompt."""
    lane_thought: Int[Tensor, " lane"]
    """Text of each cut."""
    lane_at: Int[Tensor, " lane"]
    """Tokens of the text before the cut."""
    lane_char: Int[Tensor, " lane"]
    """Characters of the text before the cut."""
    candidate_log_prob: Float[Tensor, "scorer lane candidate"]
    """Log-probability of each candidate after the lead-in, summed over its tokens, nats; NaN where
    a problem has fewer."""
    lead_in: str
    """Text between the thought and the answer."""
    steps: str
    """How the texts were cut."""

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.problem)

    @property
    def share(self) -> Float[Tensor, "scorer lane candidate"]:
        """Share of each candidate in the probability of all, at every cut; NaN where none is."""
        filled = self.candidate_log_prob.nan_to_num(-torch.inf, neginf=-torch.inf)
        return torch.where(
            self.candidate_log_prob.isnan(), torch.nan, torch.softmax(filled, dim=-1)
        )

    @property
    def answer(self) -> Int[Tensor, "scorer lane"]:
        """Most probable candidate at every cut."""
        return self.candidate_log_prob.nan_to_num(-torch.inf, neginf=-torch.inf).argmax(-1)

    def lanes_of(self, thought: int) -> slice:
        """Lanes of one text, in the order of its cuts.

        Args:
            thought: Number of the text.
        """
        here = (self.lane_thought == thought).nonzero()[:, 0]
        return slice(int(here[0]), int(here[-1]) + 1)

    def tokens_of(self, thought: int) -> slice:
        """Tokens of one text.

        Args:
            thought: Number of the text.
        """
        low, high = torch.searchsorted(
            self.token_thought, torch.tensor([thought, thought + 1])
        ).tolist()
        return slice(low, high)

    def only(self, problems: Collection[str]) -> "Ledger":
        """The texts on some problems; every number stays what it was.

        Args:
            problems: Ids of the problems.

        Raises:
            TraceError: None of them has a text here.
        """
        kept = [i for i, name in enumerate(self.problem) if name in set(problems)]
        if not kept:
            raise TraceError(
                f"none of the {len(problems)} problems has a text among the {len(self)} of "
                f"{self.source}, so nothing would be left. Pass ids from .problem."
            )
        numbers = torch.full((len(self),), -1)
        numbers[kept] = torch.arange(len(kept))
        index = {
            "thought": torch.tensor(kept),
            "token": (numbers[self.token_thought] >= 0).nonzero()[:, 0],
            "lane": (numbers[self.lane_thought] >= 0).nonzero()[:, 0],
        }
        parts: dict[str, Any] = {}
        for name, axes in self.axes().items():
            value = getattr(self, name)
            for dim, axis in enumerate(axes):
                value = value.index_select(dim, index[axis]) if axis in index else value
            parts[name] = value
        for name in ("token_thought", "lane_thought"):
            parts[name] = numbers[parts[name]]
        texts = {
            name: tuple(getattr(self, name)[i] for i in kept)
            for name in ("problem", "prompt", "text", "candidates")
        }
        return replace(self, **parts, **texts)


@guarded
def ledger(
    pair: ModelPair,
    thoughts: Thoughts,
    *,
    form: AnswerForm,
    steps: StepRule,
    candidates: dict[str, tuple[str, ...]] | None = None,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Ledger:
    """Read written thoughts with both models: every token, and every answer at every cut.

    Each text is read once by each model; forced answers leave that read at the cuts, see
    `texts.LaneReader`. No more than a block of predictions is held at a time.

    Args:
        pair: The two models.
        thoughts: What is read.
        form: How the answer is asked for.
        steps: Where texts are cut; before the first step and after the last always.
        candidates: Answers that are read, by problem; None for `answer_pool`.
        inference: Its seed draws the pool.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        TraceError: A text has no step, or its right answer is not among its candidates.
        TaskError: See `texts.encode_cuts`.
    """
    pools = answer_pool([thoughts], inference=inference) if candidates is None else candidates
    texts = cut_texts(thoughts, steps, pools, pair.alignment)
    sides = [pair.side(name) for name in MODELS]
    rows = encode_cuts(pair.alignment, texts, form, n_positions=_least(sides))
    key = digest_json([thoughts.digest, str(steps), vars(form), [t.candidates for t in texts]])
    read = LedgerReader(sides, execution)
    parts = read.all(rows, key=f"ledger/{thoughts.source}/{key[:16]}")
    gold = [_place(i.problem.answer, t) for i, t in zip(thoughts.items, texts, strict=True)]
    lost = [t.problem for t, place in zip(texts, gold, strict=True) if place < 0]
    if lost:
        raise TraceError(
            f"the right answer of problem {lost[0]!r} is not among its candidates, so it could "
            f"never be chosen ({len(lost)} such problems). Add it."
        )
    tokens = [_n_tokens(row) for row in rows]
    return Ledger(
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "ledger",
                "lead_in": form.lead_in,
                "end": form.end,
                "templated": form.templated,
                "steps": str(steps),
                "shared_read": [reader.reason == "" for reader in read.readers],
            },
            task_digests={"thoughts": thoughts.digest},
        ),
        source=thoughts.source,
        problem=tuple(t.problem for t in texts),
        prompt=tuple(item.problem.prompt for item in thoughts.items),
        text=tuple(t.text for t in texts),
        candidates=tuple(t.candidates for t in texts),
        gold=torch.tensor(gold),
        n_gold=torch.tensor(
            [len(r.lanes[-1].reads[place]) for r, place in zip(rows, gold, strict=True)]
        ),
        written=torch.tensor(
            [_place(i.answer, t) for i, t in zip(thoughts.items, texts, strict=True)]
        ),
        truncated=torch.tensor([item.truncated for item in thoughts.items]),
        scorer=MODELS,
        token_thought=torch.repeat_interleave(torch.arange(len(rows)), torch.tensor(tokens)),
        token_id=torch.tensor([i for row in rows for i in row.ids[row.start :]]),
        token_char=torch.tensor([i for row in rows for i in row.ends or [-1] * _n_tokens(row)]),
        n_prompt=torch.tensor([row.start for row in rows]),
        lane_thought=torch.tensor([k for k, row in enumerate(rows) for _ in row.lanes]),
        lane_at=torch.tensor([at for row in rows for at in row.text_at]),
        lane_char=torch.tensor([cut for text in texts for cut in text.cuts]),
        lead_in=form.lead_in,
        steps=str(steps),
        **parts,
    )


def _n_tokens(row: EncodedText) -> int:
    return len(row.ids) - row.start


def _least(sides: Sequence[Side]) -> int | None:
    limits = [side.n_positions for side in sides if side.n_positions is not None]
    return min(limits, default=None)


def _place(answer: str | None, text: CutText) -> int:
    """Place of an answer among a text's candidates; -1 where it is not."""
    if answer is None:
        return -1
    if answer in text.candidates:
        return text.candidates.index(answer)
    return next((i for i, other in enumerate(text.candidates) if same_answer(answer, other)), -1)
