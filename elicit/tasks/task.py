"""Tasks: problems that are scored together."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Literal

from elicit.results import digest_json
from elicit.tasks.faults import Fault, TaskError, shown
from elicit.tasks.problems import Problem

STRATA = 10
"""More distinct numeric difficulties than this are cut into so many equally filled strata."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Problems that are scored together; the unit of every interval is one of them.

    Raises:
        TaskError: There is no problem, or two have the same id.
    """

    name: str
    """What figures and tables call it."""
    problems: tuple[Problem, ...]
    """At least one, in the order of the file."""
    notes: tuple[str, ...] = ()
    """Remarks on how they were read, such as the benchmark whose columns they have."""

    def __post_init__(self) -> None:
        """Refuse a task without problems, or with two of one name."""
        if not self.problems:
            raise TaskError(
                f"Task {shown(self.name)} has no problems, so nothing could be measured on it. "
                "Give it at least one."
            )
        seen: set[str] = set()
        repeated = [p.id for p in self.problems if p.id in seen or seen.add(p.id)]
        if repeated:
            raise TaskError(
                f"Task {shown(self.name)} names problems twice, so their results could not be "
                "distinguished:",
                [Fault(where=f"problem {shown(id)}", what="the id is taken", fix="Give it its own")
                 for id in dict.fromkeys(repeated)],
            )  # fmt: skip

    def __len__(self) -> int:
        """Number of problems."""
        return len(self.problems)

    def __iter__(self) -> Iterator[Problem]:
        """The problems, in their order."""
        return iter(self.problems)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the problems in their order; the name of the task does not count."""
        return digest_json([problem.to_dict() for problem in self.problems])

    @property
    def kind(self) -> Literal["choice", "open", "mixed"]:
        """Whether problems give candidates: all of them, none, or some."""
        given = {problem.candidates is not None for problem in self.problems}
        return "mixed" if len(given) == 2 else "choice" if given.pop() else "open"

    def grouped_by(self, key: str) -> "Task":
        """The same problems, grouped by a key of their metadata instead of their difficulty.

        Args:
            key: A key that every problem has, with a number or a string; `difficulty` leaves them
                as they are.

        Raises:
            TaskError: A problem lacks the key, or has something else there; all are named.
        """
        if key == "difficulty" and all(p.difficulty is not None for p in self.problems):
            return self
        wrong = [
            Fault(
                where=f"problem {shown(p.id)}",
                what=f"its {key!r} is {shown(p.metadata[key])}"
                if key in p.metadata
                else f"it has no {key!r}",
                fix="Write a number or a string",
            )
            for p in self.problems
            if isinstance(p.metadata.get(key), bool)
            or not isinstance(p.metadata.get(key), int | float | str)
        ]
        if wrong:
            raise TaskError(
                f"Task {shown(self.name)} cannot be grouped by {key!r}, because not every problem "
                "says its group:",
                wrong,
            )
        grouped = [replace(p, difficulty=p.metadata[key]) for p in self.problems]  # pyright: ignore[reportArgumentType]
        return replace(self, problems=tuple(grouped))

    def subset(self, n: int, seed: int) -> "Task":
        """A sample of problems with the same mix of difficulties.

        Strata are the distinct difficulties, or ten equally filled ones where more numbers than
        that occur. Each gets its share by Sainte-Lague's rule, so that with the same seed a larger
        subset holds every smaller one. Which problems are drawn depends on seed and ids alone.

        Args:
            n: Problems to draw, 1 to len(task).
            seed: Any integer.

        Returns:
            A task of the same name with the problems in their old order.

        Raises:
            TaskError: There are fewer than `n` problems, or `n` is below 1.
        """
        if not 1 <= n <= len(self):
            raise TaskError(
                f"A subset of {n} was requested of task {shown(self.name)}, which has {len(self)} "
                f"problems. Ask for 1 to {len(self)}."
            )
        return self._part(self._drawn(seed)[:n], self.name)

    def split(self, fractions: Sequence[float], seed: int) -> "tuple[Task, ...]":
        """Parts without common problems, each with the same mix of difficulties.

        Args:
            fractions: Share of each part, above 0; they add up to 1.
            seed: Any integer.

        Returns:
            One task a fraction, named `name-part1`, `name-part2`, ...

        Raises:
            TaskError: The fractions do not add up to 1, or a part would be empty.
        """
        if any(not share > 0 for share in fractions) or abs(math.fsum(fractions) - 1) > 1e-9:
            raise TaskError(
                f"The fractions {list(fractions)} do not split task {shown(self.name)} into parts: "
                "each must be above 0 and together they must be 1."
            )
        cuts = [0]
        for place in range(1, len(fractions) + 1):
            cuts.append(math.floor(math.fsum(fractions[:place]) * len(self) + 0.5))
        if any(low >= high for low, high in zip(cuts, cuts[1:], strict=False)):
            raise TaskError(
                f"Task {shown(self.name)} has {len(self)} problems, too few for parts of "
                f"{list(fractions)}: one would be empty. Use fewer parts or more problems."
            )
        drawn = self._drawn(seed)
        return tuple(
            self._part(drawn[low:high], f"{self.name}-part{place}")
            for place, (low, high) in enumerate(zip(cuts, cuts[1:], strict=False), start=1)
        )

    def _part(self, places: Sequence[int], name: str) -> "Task":
        return replace(
            self, name=name, problems=tuple(self.problems[place] for place in sorted(places))
        )

    def _drawn(self, seed: int) -> list[int]:
        """All places, in the order in which they are drawn."""
        lots = [_lot(seed, problem.id) for problem in self.problems]
        strata: dict[object, list[int]] = {}
        for place, stratum in enumerate(self._strata()):
            strata.setdefault(stratum, []).append(place)
        keys = {}
        for members in strata.values():
            for rank, place in enumerate(sorted(members, key=lots.__getitem__)):
                # The j-th of m comes at (2j+1)/2m: Sainte-Lague's divisors, as exact fractions.
                keys[place] = (Fraction(2 * rank + 1, 2 * len(members)), lots[place])
        return sorted(keys, key=keys.__getitem__)

    def _strata(self) -> list[object]:
        values = [problem.difficulty for problem in self.problems]
        ordered = sorted({v for v in values if isinstance(v, int | float)})
        if len(ordered) <= STRATA:
            return list(values)
        ranked = sorted(v for v in values if isinstance(v, int | float))
        edges = [ranked[len(ranked) * cut // STRATA] for cut in range(1, STRATA)]
        return [
            ("decile", sum(value >= edge for edge in edges))
            if isinstance(value, int | float)
            else value
            for value in values
        ]


def _lot(seed: int, name: str) -> bytes:
    """A lot that no change of Python, platform or file order alters, unlike `random`'s."""
    return hashlib.sha256(f"{seed}\n{name}".encode()).digest()
