"""Token rows whose predictions are read, each with the problem it belongs to."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from elicit.pair import Alignment
from elicit.results import digest_json
from elicit.revision.errors import RevisionError
from elicit.rollouts import Rollouts
from elicit.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Traces:
    """Rows of token ids, and the positions in them whose prediction is read.

    The prediction at a position is the model's guess of the token after it, so a written token is
    measured at the position before it. The unit of every interval is the problem of a row.

    Raises:
        RevisionError: There is no row or no position to read, or one lies outside its row.
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
    """Who wrote the traces: `given`, or the model that sampled them."""

    def __post_init__(self) -> None:
        """Refuse rows of which nothing can be read."""
        if not self.rows or not any(self.positions):
            raise RevisionError(
                f"there are {len(self.rows)} rows and no position to read in them, so nothing "
                "would be measured. A text needs at least two tokens: the first is never "
                "predicted."
            )
        if not len(self.rows) == len(self.positions) == len(self.problem):
            raise RevisionError(
                f"there are {len(self.rows)} rows, {len(self.positions)} lists of positions and "
                f"{len(self.problem)} problems, so they cannot be matched. Give one for each row."
            )
        if self.difficulty and len(self.difficulty) != len(self.rows):
            raise RevisionError(
                f"there are {len(self.rows)} rows and {len(self.difficulty)} difficulties, so "
                "they cannot be matched. Give one for each row, or none."
            )
        for index, (row, positions) in enumerate(zip(self.rows, self.positions, strict=True)):
            ascending = all(a < b for a, b in zip(positions, positions[1:], strict=False))
            if positions and not (positions[0] >= 0 and positions[-1] < len(row) and ascending):
                raise RevisionError(
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
    def digest(self) -> str:
        """SHA-256 of the rows and of what is read in them."""
        return digest_json([self.rows, self.positions, self.problem, self.source])

    @classmethod
    def of_texts(
        cls, alignment: Alignment, texts: Sequence[str], *, problem: Sequence[str] | None = None
    ) -> "Traces":
        """Plain texts, every token but the first read.

        Args:
            alignment: How text becomes token ids.
            texts: Each of at least two tokens, bos included.
            problem: Problem of each text; each is its own if None.

        Raises:
            RevisionError: There is no text, or one has fewer than two tokens.
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
    ) -> "Traces":
        """Prompts with what was written after them; only the written tokens are read.

        Args:
            prompts: Token ids of each prompt, at least one.
            written: Token ids after it; a row may have none, which is then not read.
            problem: Problem of each row.
            skip: Written ids that are not read, such as the one that ends a text.
            difficulty: Difficulty of each row's problem.
            source: Who wrote them.

        Raises:
            RevisionError: Nothing was written, or a prompt is empty.
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
        found: Rollouts,
        task: Task | None = None,
        *,
        skip: Collection[int] | None = None,
        source: str = "given",
        prefix: int | None = None,
    ) -> "Traces":
        """Texts that a model sampled, one trace a row; what it was given is not read.

        Args:
            found: The texts.
            task: Their task, which knows how difficult each problem is.
            skip: Written ids that are not read; the ids that end a text if None.
            source: Who wrote them.
            prefix: Only so many of the tokens that a row drew itself; None is all of them.

        Raises:
            RevisionError: The task is another one, a prefix has no token, or no row has one that
                is read.
        """
        if task is not None and task.digest != found.task_digest:
            raise RevisionError(
                f"the texts are of a task {found.task!r} with digest {found.task_digest[:12]} and "
                f"the task given is {task.name!r} with {task.digest[:12]}, so texts would get the "
                "difficulties of other problems. Pass the task that was sampled."
            )
        if prefix is not None and prefix < 1:
            raise RevisionError(
                f"prefix is {prefix}, so no token would be read. Pass 1 or more, or None for all."
            )
        prompts, written = [], []
        pieces = found.written.split(found.n_tokens.tolist())
        asked = [ids.tolist() for ids in found.prompted.split(found.n_prompt.tolist())]
        for piece, place in zip(pieces, found.place.tolist(), strict=True):
            ids, given = piece.tolist(), int(found.n_forced[place])
            prompts.append((*asked[place], *ids[:given]))
            written.append(ids[given : None if prefix is None else given + prefix])
        places = found.place.tolist()
        return cls.of_written(
            prompts,
            written,
            problem=[found.problem[place] for place in places],
            skip=found.sampling.stop_ids if skip is None else skip,
            difficulty=() if task is None else [task.problems[i].difficulty for i in places],
            source=source,
        )

    @classmethod
    def of_task(cls, alignment: Alignment, task: Task, *, decision: bool = False) -> "Traces":
        """A task's own traces: each problem's written solution, or the decision after its prompt.

        Args:
            alignment: How text becomes token ids.
            task: The problems.
            decision: Read only the prediction after each prompt, the first token that a model would
                write; no problem needs a trace then.

        Raises:
            RevisionError: A problem has no trace, or a trace's tokens do not go on from the
                prompt's.
        """
        prompts = [alignment.plain(problem.prompt) for problem in task]
        common = {
            "problem": tuple(problem.id for problem in task),
            "difficulty": tuple(problem.difficulty for problem in task),
        }
        if decision:
            ends = tuple((len(prompt) - 1,) for prompt in prompts)
            rows = tuple(map(tuple, prompts))
            return cls(rows=rows, positions=ends, source="prompt", **common)
        missing = [problem.id for problem in task if problem.trace is None]
        if missing:
            raise RevisionError(
                f"{len(missing)} of {len(task)} problems of task {task.name!r} have no trace "
                f"(the first is {missing[0]!r}), so there is no written thought to read. Add "
                "'trace' to them, pass decision=True, or read the models' own rollouts."
            )
        written = []
        for problem, prompt in zip(task, prompts, strict=True):
            whole = alignment.plain(f"{problem.prompt} {problem.trace}")
            if whole[: len(prompt)] != prompt:
                raise RevisionError(
                    f"problem {problem.id!r}: the tokens of its prompt change when the trace "
                    "follows, so where the trace begins is not sure. End the prompt where a word "
                    "ends."
                )
            written.append(whole[len(prompt) :])
        return cls.of_written(prompts, written, **common)

    def next_ids(self) -> list[int]:
        """Id that follows each position that is read; -1 where the row ends there."""
        return [
            row[p + 1] if p + 1 < len(row) else -1
            for row, positions in zip(self.rows, self.positions, strict=True)
            for p in positions
        ]

    def part(self, keep: Sequence[int]) -> "Traces":
        """Some of the rows, in the order given.

        Args:
            keep: Numbers of the rows.
        """
        return Traces(
            rows=tuple(self.rows[i] for i in keep),
            positions=tuple(self.positions[i] for i in keep),
            problem=tuple(self.problem[i] for i in keep),
            difficulty=tuple(self.difficulty[i] for i in keep) if self.difficulty else (),
            source=self.source,
        )


def _written(row: Sequence[int], start: int, skip: Collection[int], where: str) -> tuple[int, ...]:
    """Positions at which the tokens from `start` on are predicted."""
    if start < 1 or len(row) < 2:
        raise RevisionError(
            f"{where} has {len(row)} token{'s' if len(row) != 1 else ''}"
            f"{' and an empty prompt' if start < 1 else ''}, and the first token of a row is never "
            "predicted, so there is nothing to read. Pass a longer text, or put bos before it."
        )
    return tuple(i - 1 for i in range(start, len(row)) if row[i] not in skip)


def _numbered(n: int) -> tuple[str, ...]:
    return tuple(f"text {i}" for i in range(n))
