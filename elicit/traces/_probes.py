"""Every text after which one reading forces an answer, and what each is for."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from elicit.tasks import Problem, same_answer
from elicit.traces._dependence_metrics import FOLLOWS, PROBES, metric_of
from elicit.traces.alterations import (
    Alteration,
    Case,
    Filler,
    OperandsSwapped,
    OtherThought,
    ResultChanged,
)
from elicit.traces.forced import Forced, Probe
from elicit.traces.reading import Curve, Reading
from elicit.traces.stating import Place, conclusion_place
from elicit.traces.thoughts import Thought, turns


def own_ways(ways: Sequence[Alteration]) -> list[Alteration]:
    """Alterations that are not this package's, each of which is a metric of its own."""
    ours = (ResultChanged, OtherThought, OperandsSwapped, Filler)
    return [way for way in ways if not isinstance(way, ours)]


class Probes:
    """Every text after which one reading forces an answer, and what each is for."""

    def __init__(self, reading: Reading, ways: Sequence[Alteration], seed: int) -> None:
        """Alter every thought of a reading in every way."""
        self.reading, self.own = reading, own_ways(ways)
        self.all: list[Probe] = []
        self.final: list[str] = []
        self._use: list[tuple[str, int]] = []
        self.changed: list[int] = []
        items = reading.thoughts.items
        for place, (item, curve) in enumerate(zip(items, reading.curves(), strict=True)):
            candidates = reading.ledger.candidates[place]
            self.final.append(candidates[curve.final])
            where = _place(reading, curve)
            random = np.random.default_rng([seed, place, 7])
            for way in ways:
                if where is None:
                    break
                made = way(
                    Case(
                        thought=item,
                        place=where,
                        candidates=candidates,
                        others=items,
                        random=random,
                    )
                )
                if made is not None:
                    self._add(way.name, place, item.problem, made.text, made.answer)
                    if isinstance(way, ResultChanged):
                        self.changed.append(len(self.all) - 1)
            self._questions(place)

    def _questions(self, place: int) -> None:
        items = self.reading.thoughts.items
        item = items[place]
        other = _asking_otherwise(items, place)
        if item.answer is not None and other is not None:
            self._add("other question", place, item.problem, item.text, item.answer, asked=other)
        edited = item.problem.edited
        if edited is not None:
            for name, text in (("edited alone", ""), ("edited with thought", item.text)):
                self._add(name, place, item.problem, text, edited.answer, edited=True)

    def _add(
        self,
        name: str,
        place: int,
        problem: Problem,
        text: str,
        expected: str | None,
        *,
        asked: Problem | None = None,
        edited: bool = False,
    ) -> None:
        self._use.append((name, place))
        self.all.append(
            Probe(
                problem=problem.id,
                prompt=turns(asked or problem, edited=edited),
                text=text,
                candidates=self.reading.ledger.candidates[place],
                expected=expected,
            )
        )

    def values(self, answers: Sequence[Forced]) -> dict[str, list[float]]:
        """Values of the metrics that come of these answers, one a thought."""
        items = self.reading.thoughts.items
        metrics = (*PROBES, *map(metric_of, self.own))
        out = {metric.name: [math.nan] * len(items) for metric in metrics}

        def same(given: str, other: str | None) -> float:
            return float(other is not None and same_answer(given, other))

        uses: dict[str, tuple[str, Callable[[int, Probe, Forced], float]]] = {
            ResultChanged().name: (FOLLOWS.name, lambda _, p, f: same(f.answer, p.expected)),
            OtherThought().name: (
                "follows another problem's thought",
                lambda _, p, f: same(f.answer, p.expected),
            ),
            OperandsSwapped().name: (
                "same when operands are swapped",
                lambda i, _, f: same(f.answer, self.final[i]),
            ),
            Filler().name: (
                "accuracy after filler",
                lambda i, _, f: same(f.answer, items[i].problem.answer),
            ),
            "other question": (
                "sufficient with another question",
                lambda _, p, f: same(f.answer, p.expected),
            ),
            "edited alone": (
                "follows the edited question without thought",
                lambda _, p, f: same(f.answer, p.expected),
            ),
            "edited with thought": (
                "follows the edited question with the old thought",
                lambda _, p, f: same(f.answer, p.expected),
            ),
        }
        for way in self.own:
            uses[way.name] = (
                metric_of(way).name,
                lambda i, p, f: same(f.answer, self.final[i] if p.expected is None else p.expected),
            )
        for (name, place), probe, forced in zip(self._use, self.all, answers, strict=True):
            metric, value = uses[name]
            out[metric][place] = value(place, probe, forced)
            if name == ResultChanged().name:
                out["flips"][place] = 1 - same(forced.answer, self.final[place])
        return out


def _asking_otherwise(items: Sequence[Thought], place: int) -> Problem | None:
    """The next problem whose right answer is not the one of a thought; None where all share it."""
    answer = items[place].answer
    following = [*items[place + 1 :], *items[:place]]
    return next(
        (i.problem for i in following if answer and not same_answer(i.problem.answer, answer)), None
    )


def _place(reading: Reading, curve: Curve) -> Place | None:
    """Where a thought concludes: at or after the cut where this reader's answer settled."""
    item = reading.thoughts.items[curve.thought]
    earliest = 0 if curve.settled is None else int(curve.char[curve.settled])
    candidates = reading.ledger.candidates[curve.thought]
    return conclusion_place(item, curve.char.tolist()[1:], candidates, earliest=earliest)
