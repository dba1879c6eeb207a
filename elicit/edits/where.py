"""Which tokens an edit is meant for, said so that cache, padding and batch cannot change it."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from elicit.edits.errors import EditError

Form = Literal["everywhere", "prompt", "generated", "last", "at", "window", "marked"]


@dataclass(frozen=True)
class Where:
    """Token positions, counted in each row's own tokens and relative to the row's prompt.

    Padding has no position. The prompt is what the first call of a run sees; a later call belongs
    to the same run if it brings a cache with tokens in it, or if its ids continue those seen so
    far. Made by `everywhere`, `prompt`, `generated`, `last`, `at`, `window` and `marked`.
    """

    form: Form
    """How the positions are given."""
    positions: tuple[int, ...] = ()
    """Of `at`: below 0 from the prompt's end."""
    first: int = 0
    """Of `window` and `generated`: first position, included."""
    final: int | None = None
    """Of `window` and `generated`: last position, included; None is without end."""
    marks: tuple[tuple[bool, ...], ...] = ()
    """Of `marked`: row by row, column by column of the first call."""

    def select(
        self,
        position: Int[Tensor, "batch pos"],
        n_prompt: Int[Tensor, " batch"],
        *,
        rows: Int[Tensor, " batch"],
        first_column: int,
    ) -> Bool[Tensor, "batch pos"]:
        """Whether each token of a call is meant.

        Args:
            position: Place of each token in its own row, -1 on padding.
            n_prompt: Tokens of each row's prompt.
            rows: Row that each had in the first call of the run.
            first_column: Columns of the run before this call's first.
        """
        real = position >= 0
        length = n_prompt[:, None]
        match self.form:
            case "everywhere":
                return real
            case "prompt":
                return real & (position < length)
            case "generated":
                found, start = position - length, self.first
            case "window":
                found, start = position, self.first
            case "last":
                return real & (position == length - 1)
            case "at":
                found = torch.zeros_like(real)
                for place in self.positions:
                    found |= position == (place if place >= 0 else length + place)
                return real & found
            case "marked":
                marks = torch.tensor(self.marks)[rows, first_column:]
                found = torch.zeros_like(real)
                width = min(marks.shape[1], real.shape[1])
                found[:, :width] = marks[:, :width]
                return real & found
        inside = real & (found >= start)
        return inside if self.final is None else inside & (found <= self.final)

    def check(
        self,
        position: Int[Tensor, "batch pos"],
        n_prompt: Int[Tensor, " batch"],
        rows: tuple[int, ...],
    ) -> None:
        """Refuse positions that the prompts of a run do not have.

        Args:
            position: Place of each token of the run's first call, -1 on padding.
            n_prompt: Tokens of each row's prompt.
            rows: Rows that the edit is meant for.

        Raises:
            EditError: A prompt is too short for a position, or the marks are of another shape or on
                padding.
        """
        if self.form == "marked":
            self._check_marks(position)
            return
        for row in rows:
            length = int(n_prompt[row])
            for place in (-1,) if self.form == "last" else self.positions:
                if not -length <= place < length:
                    raise EditError(
                        f"{self} names position {place}, and the prompt of row {row} has {length} "
                        "tokens, so nothing would be edited there. Pass a position from "
                        f"{-length} to {length - 1}, leave the row out with rows=, or reach into "
                        "generated text with window or generated."
                    )

    def _check_marks(self, position: Int[Tensor, "batch pos"]) -> None:
        """Marks are on the tokens of the first call."""
        shape = (len(self.marks), len(self.marks[0]))
        if shape != tuple(position.shape):
            raise EditError(
                f"marked has a mask of {shape[0]} rows and {shape[1]} columns, and the prompts "
                f"have {position.shape[0]} rows and {position.shape[1]} columns as given to the "
                "model, so marks and tokens cannot be matched. Pass one mark a column."
            )
        stray = (torch.tensor(self.marks) & (position < 0)).nonzero().tolist()
        if stray:
            row, column = stray[0]
            raise EditError(
                f"marked has a mark on padding (row {row}, column {column}), where no token is. "
                "Mark tokens only: mask & (attention_mask == 1)."
            )

    def __str__(self) -> str:
        """The call that makes it."""
        match self.form:
            case "at":
                return f"at({', '.join(map(str, self.positions))})"
            case "window":
                return f"window({self.first}, {self.final})"
            case "generated" if self.first or self.final is not None:
                return f"generated({self.first}, {self.final})"
            case "marked":
                return f"marked({sum(map(sum, self.marks))} tokens)"
        return f"{self.form}()"

    __repr__ = __str__


def everywhere() -> Where:
    """Every token, of the prompt and of what follows it."""
    return Where("everywhere")


def prompt() -> Where:
    """Every token of the prompt."""
    return Where("prompt")


def generated(first: int = 0, last: int | None = None) -> Where:
    """Tokens after the prompt.

    Args:
        first: First of them, 0 being the one right after the prompt.
        last: Last of them, included; None is without end.

    Raises:
        EditError: The range is empty or begins before 0.
    """
    _check_range("generated", first, last)
    return Where("generated", first=first, final=last)


def last() -> Where:
    """The last token of the prompt: where the first new token is decided."""
    return Where("last")


def at(*positions: int) -> Where:
    """Tokens of the prompt by position.

    Args:
        positions: 0 is the prompt's first token, -1 its last.

    Raises:
        EditError: No position is given.
    """
    if not positions:
        raise EditError("at() names no position, so nothing would be edited. Pass at(0) or at(-1).")
    return Where("at", positions=positions)


def window(first: int, last: int | None = None) -> Where:
    """Tokens by absolute position, on into generated text.

    Args:
        first: First position, 0 being the prompt's first token.
        last: Last position, included; None is without end.

    Raises:
        EditError: The range is empty or begins before 0.
    """
    _check_range("window", first, last)
    return Where("window", first=first, final=last)


def marked(mask: Bool[Tensor, "batch pos"]) -> Where:
    """Tokens of the prompt, one by one in every row.

    Args:
        mask: True on tokens that are meant, over the columns as given to the model.

    Raises:
        EditError: No token is marked.
    """
    if not bool(mask.any()):
        raise EditError(
            f"marked has a mask of {tuple(mask.shape)} without a mark, so nothing would be edited. "
            "Mark one token at least."
        )
    return Where("marked", marks=tuple(map(tuple, mask.tolist())))


def _check_range(name: str, first: int, last: int | None) -> None:
    """A range begins at 0 or later and is not empty."""
    if first < 0 or (last is not None and last < first):
        raise EditError(
            f"{name}({first}, {last}) holds no position: positions are counted from 0 and both "
            "ends are included. Pass 0 <= first <= last, or at() to count from the prompt's end."
        )
