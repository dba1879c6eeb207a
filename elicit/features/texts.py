"""Inputs of questions about features: texts with problems, and prompt pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from elicit.features.errors import FeatureError
from elicit.results import digest_json
from elicit.stats import problem_numbers


@dataclass(frozen=True, kw_only=True)
class TextRows:
    """Token ids of texts, with their problems and where the sampled text begins.

    Raises:
        FeatureError: Not every row has a problem, or a beginning of 1 or more.
    """

    rows: Sequence[Sequence[int]]
    """Token ids of each text."""
    problem: Sequence[str] | None = None
    """Problem of each row, the unit of intervals; None: every row is its own."""
    begins: Sequence[int] | None = None
    """First position of each row that may be resampled, after the prompt; None: 1 everywhere."""

    def __post_init__(self) -> None:
        """Refuse labels that do not match the rows."""
        if self.problem is not None and len(self.problem) != len(self.rows):
            raise FeatureError(
                f"problem has {len(self.problem)} names and there are {len(self.rows)} rows. "
                "Name the problem of every row."
            )
        least = min(self.begins or (1,))
        if self.begins is not None and (len(self.begins) != len(self.rows) or least < 1):
            raise FeatureError(
                f"begins has {len(self.begins)} positions, the smallest {least}, and there are "
                f"{len(self.rows)} rows, each of which keeps at least its first token. Pass one "
                "position of 1 or more for every row."
            )

    @property
    def numbers(self) -> Int[Tensor, " row"]:
        """Index of each row's problem."""
        if self.problem is None:
            return torch.arange(len(self.rows))
        return problem_numbers(self.problem)

    @property
    def arguments(self) -> dict[str, object]:
        """Digests of all fields, as recorded in the arguments of a result."""
        return {
            "rows": digest_json([list(map(int, row)) for row in self.rows]),
            "problem": None if self.problem is None else digest_json(list(self.problem)),
            "begins": None if self.begins is None else digest_json(list(map(int, self.begins))),
        }


def text_rows(texts: TextRows | Sequence[Sequence[int]]) -> TextRows:
    """Texts as `TextRows`; plain token ids are rows of one problem each."""
    return texts if isinstance(texts, TextRows) else TextRows(rows=texts)


@dataclass(frozen=True, kw_only=True)
class PromptContrast:
    """Paired reasoning and direct-answer prompts of each problem.

    Raises:
        FeatureError: The prompts do not pair up, there are fewer than two, or all pairs are equal.
    """

    cot: Sequence[Sequence[int]]
    """Token ids of each problem's reasoning prompt, up to its last token."""
    direct: Sequence[Sequence[int]]
    """Token ids of the same problem's direct-answer prompt."""

    def __post_init__(self) -> None:
        """Refuse prompts without a contrast."""
        if len(self.cot) != len(self.direct) or len(self) < 2:
            raise FeatureError(
                f"there are {len(self.cot)} reasoning prompts and {len(self.direct)} direct-answer "
                "prompts, but at least two problems with one of each are needed. Pass both for "
                "every problem."
            )
        if all(list(a) == list(b) for a, b in zip(self.cot, self.direct, strict=True)):
            raise FeatureError(
                f"all {len(self)} reasoning prompts equal the direct-answer prompts token by "
                "token, so no feature could separate them. Pass prompts that differ."
            )

    def __len__(self) -> int:
        """Number of problems."""
        return len(self.cot)

    @property
    def rows(self) -> list[Sequence[int]]:
        """All reasoning prompts, then all direct-answer prompts."""
        return [*self.cot, *self.direct]

    @property
    def arguments(self) -> dict[str, object]:
        """Digests of both, as recorded in the arguments of a result."""
        return {
            name: digest_json([list(map(int, row)) for row in rows])
            for name, rows in (("cot", self.cot), ("direct", self.direct))
        }
