"""Token rows whose predictions are read, each with the problem it belongs to."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from elicit.pair import Alignment
from elicit.results import digest_json
from elicit.rollouts import Rollouts
from elicit.tasks import Task
from elicit.texts.errors import TextError


@dataclass(frozen=True, kw_only=True)
class TokenRows:
    """Rows of token ids, and the positions in them whose prediction is read.

    The prediction at a position is the model's guess of the token after it, so a written token is
    measured at the position before it. The unit of every interval is the problem of a row.

    Raises:
        TextError: There is no row or no position to read, or one lies outside its row.
    """

    rows: tuple[tuple[int, ...], ...]
    """Token ids, prompt included."""
    positions: tuple[tuple[int, ...], ...]
    """Of each row, the positions that are read, ascending."""
    problem: tuple[str, ...]
    """Problem of each row; several rows may have the same."""
    difficulty: tuple[float | int | str | None, ...] = ()
    """Difficulty of each row's problem, where it is known."""
    source: str = "given"
    """Writer of the rows: `given`, or the model that sampled them."""

    def __post_init__(self) -> None:
        """Validate rows and positions."""
        if not self.rows or not any(self.positions):
            raise TextError(
                f"there are {len(self.rows)} rows and no position to read in them, so nothing "
                "would be measured. A text needs at least two tokens: the first is never "
                "predicted."
            )
        if not len(self.rows) == len(self.positions) == len(self.problem):
            raise TextError(
                f"there are {len(self.rows)} rows, {len(self.positions)} lists of positions and "
                f"{len(self.problem)} problems, so they cannot be matched. Give one for each row."
            )
        if self.difficulty and len(self.difficulty) != len(self.rows):
            raise TextError(
                f"there are {len(self.rows)} rows and {len(self.difficulty)} difficulties, so "
                "they cannot be matched. Give one for each row, or none."
            )
        for index, (row, positions) in enumerate(zip(self.rows, self.positions, strict=True)):
            ascending = all(a < b for a, b in zip(positions, positions[1:], strict=False))
            if positions and not (positions[0] >= 0 and positions[-1] < len(row) and ascending):
                raise TextError(
                    f"row {index} has {len(row)} tokens and its positions are {list(positions)}, "
                    "which do not ascend within it, so something else would be read. Pass "
                    f"positions from 0 to {len(row) - 1}."
                )

    def __len__(self) -> int:
        """Rows."""
        return len(self.rows)

    @property
    def n_tokens(self) -> int:
        """Predictions that are read."""
        return sum(map(len, self.positions))

    @property
    def index(self) -> tuple[Int[Tensor, " token"], Int[Tensor, " token"]]:
        """Row and position of every prediction that is read."""
        row = [i for i, positions in enumerate(self.positions) for _ in positions]
        pos = [p for positions in self.positions for p in positions]
        return torch.tensor(row, dtype=torch.long), torch.tensor(pos, dtype=torch.long)

    @property
    def digest(self) -> str:
        """SHA-256 of the rows and of what is read in them."""
        return digest_json([self.rows, self.positions, self.problem, self.source])

    @classmethod
    def of_texts(
        cls, alignment: Alignment, texts: Sequence[str], *, problem: Sequence[str] | None = None
    ) -> "TokenRows":
        """Plain texts, every token but the first read.

        Args:
            alignment: How text becomes token ids.
            texts: Each of at least two tokens, bos included.
            problem: Problem of each text; each is its own if None.

        Raises:
            TextError: There is no text, or one has fewer than two tokens.
            PairError: A text needs a token that one of the models has no row for.
        """
        rows = [tuple(alignment.plain(text)) for text in texts]
        return cls(
            rows=tuple(rows),
            positions=tuple(_written(row, 1, (), f"text {i}") for i, row in enumerate(rows)),
            problem=tuple(problem) if problem is not None else _numbered(len(rows)),
        )

    @classmethod
    def of_written(
        cls,
        prompts: Sequence[Sequence[int]],
        written: Sequence[Sequence[int]],
        *,
        problem: Sequence[str],
        skip: Collection[int] = (),
        difficulty: Sequence[float | int | str | None] = (),
        source: str = "given",
    ) -> "TokenRows":
        """Prompts with the text written after them; only the written tokens are read.

        Args:
            prompts: Token ids of each prompt, at least one.
            written: Token ids after it; a row may have none, which is then not read.
            problem: Problem of each row.
            skip: Written ids that are not read, such as the one that ends a text.
            difficulty: Difficulty of each row's problem.
            source: Who wrote them.

        Raises:
            TextError: Nothing was written, or a prompt is empty.
        """
        rows, positions = [], []
        for index, (prompt, after) in enumerate(zip(prompts, written, strict=True)):
            row = (*prompt, *after)
            rows.append(row)
            where = f"row {index}"
            positions.append(_written(row, len(prompt), skip, where) if after else ())
        return cls(
            rows=tuple(rows),
            positions=tuple(positions),
            problem=tuple(problem),
            difficulty=tuple(difficulty),
            source=source,
        )

    @classmethod
    def of_rollouts(
        cls,
        rollouts: Rollouts,
        task: Task | None = None,
        *,
        skip: Collection[int] | None = None,
        source: str = "given",
        prefix: int | None = None,
    ) -> "TokenRows":
        """Sampled texts, one row each; the prompt and forced tokens are not read.

        Args:
            rollouts: The texts.
            task: Their task, which knows how difficult each problem is.
            skip: Written ids that are not read; the stop ids if None.
            source: Who wrote them.
            prefix: Read only this many of the tokens that a row sampled; None reads all.

        Raises:
            TextError: The task is another one, a prefix has no token, or no row has one to read.
        """
        if task is not None and task.digest != rollouts.task_digest:
            raise TextError(
                f"the texts are of a task {rollouts.task!r} with digest "
                f"{rollouts.task_digest[:12]} and the task given is {task.name!r} with "
                f"{task.digest[:12]}, so texts would get the difficulties of other problems. Pass "
                "the task that was sampled."
            )
        if prefix is not None and prefix < 1:
            raise TextError(
                f"prefix is {prefix}, so no token would be read. Pass 1 or more, or None for all."
            )
        before, written = [], []
        texts = rollouts.written.split(rollouts.n_tokens.tolist())
        prompts = [ids.tolist() for ids in rollouts.prompted.split(rollouts.n_prompt.tolist())]
        index = rollouts.place.tolist()
        for text, problem in zip(texts, index, strict=True):
            ids, n_forced = text.tolist(), int(rollouts.n_forced[problem])
            before.append((*prompts[problem], *ids[:n_forced]))
            written.append(ids[n_forced : None if prefix is None else n_forced + prefix])
        return cls.of_written(
            before,
            written,
            problem=[rollouts.problem[i] for i in index],
            skip=rollouts.sampling.stop_ids if skip is None else skip,
            difficulty=() if task is None else [task.problems[i].difficulty for i in index],
            source=source,
        )

    @classmethod
    def of_task(
        cls, alignment: Alignment, task: Task, *, decision: bool = False, templated: bool = False
    ) -> "TokenRows":
        """The traces of a task: each problem's written solution, or the decision after its prompt.

        Args:
            alignment: How text becomes token ids.
            task: The problems.
            decision: Read only the prediction after each prompt, the first token that a model would
                write; no problem needs a trace then.
            templated: Whether prompts go through the chat template; a trace is then the beginning
                of the assistant's turn.

        Raises:
            TextError: A problem has no trace, or no token of its prompt stays as it is before it.
        """
        common = {
            "problem": tuple(problem.id for problem in task),
            "difficulty": tuple(problem.difficulty for problem in task),
        }
        if decision:
            prompts = [alignment.prompt(p.turns, templated=templated) for p in task]
            ends = tuple((len(prompt) - 1,) for prompt in prompts)
            rows = tuple(map(tuple, prompts))
            return cls(rows=rows, positions=ends, source="prompt", **common)
        missing = [problem.id for problem in task if problem.trace is None]
        if missing:
            raise TextError(
                f"{len(missing)} of {len(task)} problems of task {task.name!r} have no trace "
                f"(the first is {missing[0]!r}), so there is no written reasoning to read. Add "
                "'trace' to them, pass decision=True, or read the models' own rollouts."
            )
        texts = [alignment.continued(p.turns, str(p.trace), templated=templated) for p in task]
        return cls.of_written([t.prompt for t in texts], [t.written for t in texts], **common)

    def next_ids(self) -> list[int]:
        """Id that follows each position that is read; -1 where the row ends there."""
        return [
            row[p + 1] if p + 1 < len(row) else -1
            for row, positions in zip(self.rows, self.positions, strict=True)
            for p in positions
        ]

    def part(self, keep: Sequence[int]) -> "TokenRows":
        """Some of the rows, in the order given."""
        return TokenRows(
            rows=tuple(self.rows[i] for i in keep),
            positions=tuple(self.positions[i] for i in keep),
            problem=tuple(self.problem[i] for i in keep),
            difficulty=tuple(self.difficulty[i] for i in keep) if self.difficulty else (),
            source=self.source,
        )


def _written(row: Sequence[int], start: int, skip: Collection[int], where: str) -> tuple[int, ...]:
    """Positions at which the tokens from `start` on are predicted."""
    if start < 1 or len(row) < 2:
        raise TextError(
            f"{where} has {len(row)} token{'s' if len(row) != 1 else ''}"
            f"{' and an empty prompt' if start < 1 else ''}, and the first token of a row is never "
            "predicted, so there is nothing to read. Pass a longer text, or put bos before it."
        )
    return tuple(i - 1 for i in range(start, len(row)) if row[i] not in skip)


def _numbered(n: int) -> tuple[str, ...]:
    return tuple(f"text {i}" for i in range(n))
