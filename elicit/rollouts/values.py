"""Sampled texts, their sampling options and their grades."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.results import Result
from elicit.rollouts.errors import RolloutError


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Everything that sampled tokens depend on; results keep it. See `Generation.sampling`."""

    stop_ids: tuple[int, ...]
    """Tokens that end a text."""
    max_new_tokens: int
    """Longest text, a forced prefix included."""
    temperature: float
    """0 takes the most probable token."""
    top_p: float
    """Mass of the most probable tokens among which one is sampled, in (0, 1]."""
    seed: int
    """With a problem's id and the number of a sample, fixes that row's random stream."""
    templated: bool
    """Whether prompts went through the chat template."""
    rule: str = ""
    """Logit rule that several models wrote by; empty where one model wrote alone."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Rollouts(Result):
    """Texts of a model on the problems of a task.

    Rows are ordered by strength (if any), then problem, then sample.
    """

    task: str
    """Name of the task."""
    task_digest: str
    """Digest of its problems."""
    sampling: Sampling
    """How the texts were drawn."""
    problem: tuple[str, ...]
    """Id of each problem of the task."""
    place: Int[Tensor, " row"]
    """Which of the problems a row is about, from 0."""
    sample: Int[Tensor, " row"]
    """Number of the row among those of its problem, from 0."""
    strength: Float[Tensor, " row"] | None = None
    """Strength of the edits on the row; None where there was no dose."""
    correct: Bool[Tensor, " row"]
    """Whether the text gives the right answer."""
    truncated: Bool[Tensor, " row"]
    """Whether the text was cut, at its longest or at the model's last position, before it ended."""
    n_tokens: Int[Tensor, " row"]
    """Tokens of the text, forced beginning and stop token included."""
    n_forced: Int[Tensor, " problem"]
    """Tokens at the beginning of its texts that were given and not drawn."""
    n_prompt: Int[Tensor, " problem"]
    """Tokens of its prompt."""
    written: Int[Tensor, " token"]
    """Token ids of all texts, one row after the other."""
    prompted: Int[Tensor, " prompt_token"]
    """Token ids of all prompts, one problem after the other."""
    text: tuple[str, ...]
    """What each row wrote, special tokens left out. Text of a model: never trusted."""
    extracted: tuple[str | None, ...]
    """The answer found in it; None if there is none."""

    def __post_init__(self) -> None:
        """Refuse texts whose lengths do not add up to the tokens."""
        super().__post_init__()
        for name, flat, lengths in (
            ("written", self.written, self.n_tokens),
            ("prompted", self.prompted, self.n_prompt),
        ):
            if len(flat) != int(lengths.sum()):
                raise RolloutError(
                    f"Rollouts.{name} has {len(flat)} tokens and their lengths add up to "
                    f"{int(lengths.sum())}, so no row's tokens could be found. Give both of the "
                    "same texts."
                )

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.place)

    def ids(self, row: int) -> list[int]:
        """Token ids of one text, forced prefix and stop token included.

        Args:
            row: Index of the row.
        """
        return _piece(self.written, self.n_tokens, row)

    def prompt_ids(self, row: int) -> list[int]:
        """Prompt token ids of a row.

        Args:
            row: Index of the row.
        """
        return _piece(self.prompted, self.n_prompt, int(self.place[row]))

    def rows_of(self, problem: str, *, strength: float | None = None) -> tuple[int, ...]:
        """Indices of the rows of one problem.

        Args:
            problem: Problem id.
            strength: Restrict to one strength; None: all.

        Raises:
            RolloutError: Unknown problem or strength.
        """
        if problem not in self.problem:
            raise RolloutError(
                f"there is no problem {problem!r} in task {self.task!r}, so it has no rows. Pass "
                "one of .problem."
            )
        chosen = self.place == self.problem.index(problem)
        if strength is not None:
            known = [] if self.strength is None else self.strength.unique().tolist()
            if self.strength is None or strength not in known:
                raise RolloutError(
                    f"no row has the strength {strength}; there are "
                    f"{', '.join(f'{value:g}' for value in known) or 'none'}. Pass one of these."
                )
            chosen = chosen & (self.strength == strength)
        return tuple(chosen.nonzero()[:, 0].tolist())

    def select(self, rows: Sequence[int]) -> "Rollouts":
        """Select rows, in the given order; the problems are unchanged.

        Args:
            rows: Indices of the rows, each once.

        Raises:
            RolloutError: An index is out of range or repeated, or there is none.
        """
        check_rows(rows, len(self))
        keep = torch.tensor(list(rows))
        by_row = {
            name: getattr(self, name)[keep]
            for name, axes in self.axes().items()
            if axes == ("row",) and getattr(self, name) is not None
        }
        return replace(
            self,
            written=torch.tensor([i for row in rows for i in self.ids(row)], dtype=torch.long),
            text=tuple(self.text[row] for row in rows),
            extracted=tuple(self.extracted[row] for row in rows),
            **by_row,
        )


def check_rows(rows: Sequence[int], n_rows: int) -> None:
    """Refuse row indices that are out of range or repeated.

    Args:
        rows: Requested row indices.
        n_rows: Number of rows.

    Raises:
        RolloutError: An index is out of range or repeated, or there is none.
    """
    bad = [row for row in rows if not 0 <= row < n_rows]
    if not len(rows) or bad or len(set(rows)) != len(rows):
        what = f"has {bad[0]}" if bad else "repeats a row" if len(rows) else "is empty"
        raise RolloutError(
            f"the list of rows {what}; there are rows 0 to {n_rows - 1}. Pass indices in this "
            "range, each once."
        )


def _piece(flat: Tensor, lengths: Tensor, place: int) -> list[int]:
    """Slice of all tokens that belongs to one text."""
    end = int(lengths[: place + 1].sum())
    return flat[end - int(lengths[place]) : end].tolist()
