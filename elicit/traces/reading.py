"""One model's reading of written thoughts: the rows of a ledger that belong together."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.traces.errors import TraceError
from elicit.traces.ledger import MODELS, Ledger
from elicit.traces.thoughts import Thoughts

SURE = 0.9
"""Share of an answer from which a reader counts as settled."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve:
    """What one model answers along one thought."""

    thought: int
    """Number of the text in its ledger."""
    share: Float[Tensor, "cut candidate"]
    """Share of each candidate after each cut, the first before any step."""
    log_prob: Float[Tensor, "cut candidate"]
    """Log-probability of each, nats."""
    at: Int[Tensor, " cut"]
    """Tokens of the text before each cut."""
    char: Int[Tensor, " cut"]
    """Characters of the text before each cut."""
    gold: int
    """Place of the right answer."""

    @property
    def answer(self) -> Int[Tensor, " cut"]:
        """Most probable candidate after each cut."""
        return self.share.argmax(-1)

    @property
    def final(self) -> int:
        """Most probable candidate after the whole thought."""
        return int(self.answer[-1])

    @property
    def settled(self) -> int | None:
        """First cut from which on the final answer leads with a share of 0.9 or more.

        None where not even the whole thought makes the reader that sure.
        """
        sure = (self.answer == self.final) & (self.share[:, self.final] >= SURE)
        if not bool(sure[-1]):
            return None
        return int((~sure).nonzero().max()) + 1 if not bool(sure.all()) else 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """One model, and the ledger of the thoughts that it reads."""

    model: str
    """`base` or `post`."""
    thoughts: Thoughts
    """What is read."""
    ledger: Ledger
    """Both models' reading of them."""

    @property
    def scorer(self) -> int:
        """Place of the model in the ledger."""
        return MODELS.index(self.model)

    def curves(self) -> Iterator[Curve]:
        """What the model answers along every thought."""
        share, log_prob = self.ledger.share[self.scorer], self.ledger.candidate_log_prob
        for thought in range(len(self.ledger)):
            lanes = self.ledger.lanes_of(thought)
            n = len(self.ledger.candidates[thought])
            yield Curve(
                thought=thought,
                share=share[lanes, :n],
                log_prob=log_prob[self.scorer, lanes, :n],
                at=self.ledger.lane_at[lanes],
                char=self.ledger.lane_char[lanes],
                gold=int(self.ledger.gold[thought]),
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class Readings:
    """Base's reading and post's: of the same thoughts, or each of its own.

    Raises:
        TraceError: The two share fewer than two problems.
    """

    base: Reading
    post: Reading

    def __post_init__(self) -> None:
        """Refuse readings that could not be paired."""
        shared = set(self.base.ledger.problem) & set(self.post.ledger.problem)
        if len(shared) < 2:
            raise TraceError(
                f"base's thoughts and post's share {len(shared)} problems, and models are compared "
                "problem by problem. Have both write a thought, with an opener that begins one, or "
                "let both read given ones."
            )

    @classmethod
    def of_given(cls, thoughts: Thoughts, ledger: Ledger) -> "Readings":
        """Both models read the same thoughts."""
        one = {name: Reading(model=name, thoughts=thoughts, ledger=ledger) for name in MODELS}
        return cls(base=one["base"], post=one["post"])

    @classmethod
    def of_own(cls, base: tuple[Thoughts, Ledger], post: tuple[Thoughts, Ledger]) -> "Readings":
        """Each model reads its own thoughts."""
        return cls(
            base=Reading(model="base", thoughts=base[0], ledger=base[1]),
            post=Reading(model="post", thoughts=post[0], ledger=post[1]),
        )

    @property
    def both(self) -> tuple[Reading, Reading]:
        """Base's reading, then post's."""
        return self.base, self.post

    @property
    def problem(self) -> tuple[str, ...]:
        """Every problem that one of them reads."""
        return tuple(dict.fromkeys([*self.base.ledger.problem, *self.post.ledger.problem]))

    @property
    def same_text(self) -> bool:
        """Whether both models read the same thoughts."""
        return self.base.ledger is self.post.ledger

    def only(self, problems: Collection[str]) -> "Readings":
        """The readings of some problems; nothing is read again.

        Args:
            problems: Ids of the problems.

        Raises:
            TraceError: Fewer than two of them are left in common.
        """
        base = _only(self.base, problems)
        if self.same_text:
            return Readings.of_given(*base)
        return Readings.of_own(base, _only(self.post, problems))

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the thoughts that each model reads."""
        return {reading.model: reading.thoughts.digest for reading in self.both}

    def tabled(self, values: dict[str, dict[str, list[float]]]) -> dict[str, Tensor]:
        """Values by metric and model, in the order of each ledger, as one table a metric.

        Args:
            values: Of each metric, of each model, a number for every thought.

        Returns:
            Of each metric `[reading problem]`.
        """
        return {
            metric: torch.stack(
                [
                    _by_id(
                        self.problem,
                        reading.ledger.problem,
                        torch.tensor(of_model[reading.model], dtype=torch.float64),
                    )
                    for reading in self.both
                ]
            )
            for metric, of_model in values.items()
        }


def _only(reading: Reading, problems: Collection[str]) -> tuple[Thoughts, Ledger]:
    thoughts = reading.thoughts.only(list(problems))
    return thoughts, reading.ledger.only(problems)


def _by_id(
    ids: Sequence[str], names: Sequence[str], values: Float[Tensor, " item"]
) -> Float[Tensor, " problem"]:
    """Values of some problems as one for every problem; NaN where there is none.

    Args:
        ids: All problems.
        names: Problem of each value.
        values: The values.
    """
    place = {name: i for i, name in enumerate(names)}
    out = torch.full((len(ids),), torch.nan, dtype=torch.float64)
    for i, name in enumerate(ids):
        if name in place:
            out[i] = float(values[place[name]])
    return out
