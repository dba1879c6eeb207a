"""Answers forced after texts of any kind: altered thoughts, other questions, no thought at all."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.pair import Side, Text
from elicit.results import digest_json
from elicit.runs import Execution
from elicit.texts import AnswerForm, CutText, LaneReader, encode_cuts, forked
from elicit.traces.values import distinct

_LANE_TOKENS = 2048
"""Tokens of lanes that run together: each sees all others' places, if not their content."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One text after which one answer is forced."""

    problem: str
    """Id of its problem."""
    prompt: Text
    """What stands before the text."""
    text: str
    """The text; may be empty."""
    candidates: tuple[str, ...]
    """Answers that are read."""
    expected: str | None = None
    """The answer that the text or the question implies; read too."""

    @property
    def read(self) -> tuple[str, ...]:
        """All answers that are read."""
        more = [] if self.expected is None else [self.expected]
        return distinct([*self.candidates, *more])

    def named(self, place: int) -> str:
        """The answer at a place of what is read."""
        return self.read[place]


@dataclass(frozen=True, kw_only=True)
class Forced:
    """What a model answers after a text."""

    answer: str
    """Most probable candidate."""
    share: tuple[float, ...]
    """Share of each answer that is read."""


def forced_answers(
    side: Side,
    probes: Sequence[Probe],
    *,
    form: AnswerForm,
    key: str,
    execution: Execution = Execution(),
) -> list[Forced]:
    """What a model answers after each text, by one read of each.

    Args:
        side: The model, alone or under edits or grafts.
        probes: What is read.
        form: How the answer is asked for.
        key: Checkpoint key.
        execution: Tokens per forward pass, checkpoint and progress.

    Raises:
        TaskError: See `texts.encode_cuts`.
    """
    if not probes:
        return []
    texts = [
        CutText(
            problem=p.problem,
            prompt=p.prompt,
            text=p.text,
            cuts=(len(p.text),),
            candidates=p.read,
        )
        for p in probes
    ]
    rows = encode_cuts(side.alignment, texts, form, n_positions=side.n_positions)
    digest = digest_json([[row.ids, row.lanes[0].reads] for row in rows])
    # What is asked of one problem begins alike: its prompt, and a thought up to its alteration.
    groups: dict[str, list[int]] = {}
    for i, probe in enumerate(probes):
        groups.setdefault(probe.problem, []).append(i)
    members = list(groups.values())
    shared = [forked([rows[i] for i in group]) for group in members]
    reader = LaneReader(side)
    out: list[Forced | None] = [None] * len(rows)
    execution.progress.start(len(rows), "reading altered thoughts")
    try:
        for number, chosen in enumerate(reader.chunks(shared, execution.max_tokens)):

            def run(chosen: list[int] = chosen) -> dict[str, Tensor]:
                part = [shared[i] for i in chosen]
                most = min(execution.max_tokens, _LANE_TOKENS)
                read = reader.read(part, max_tokens=most, states=False)
                return {"log_prob": read.candidate_log_prob}

            found = execution.checkpoint.get_or_compute(f"{key}/{digest[:16]}/{number}", run)
            asked = [i for group in chosen for i in members[group]]
            for i, log_prob in zip(asked, found["log_prob"], strict=True):
                out[i] = _answer(probes[i], log_prob[: len(texts[i].candidates)])
            execution.progress.advance(len(asked))
    finally:
        execution.progress.stop()
    return [each for each in out if each is not None]


def _answer(probe: Probe, log_prob: Float[Tensor, " candidate"]) -> Forced:
    share = torch.softmax(log_prob, dim=0)
    return Forced(answer=probe.read[int(share.argmax())], share=tuple(share.tolist()))
