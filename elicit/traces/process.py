"""Are thoughts valid, and do they pass through what the solution needs?"""

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, runtime_checkable

from elicit.pair import ModelPair
from elicit.stats import Inference
from elicit.tasks import Problem, plain
from elicit.traces.checkers import Checker, EquationsHold
from elicit.traces.measures import Measures, Metric, measured
from elicit.traces.reading import Readings
from elicit.traces.units import stated_numbers

_METRICS = (
    Metric(
        name="valid",
        unit="share",
        meaning="every step that the checker can read holds, among thoughts of which it can read "
        "one; valid is not used",
        proportion=True,
    ),
    Metric(
        name="valid where right",
        unit="share",
        meaning="the same among thoughts after which the answer is right",
        proportion=True,
    ),
    Metric(
        name="coverage",
        unit="share",
        meaning="the thought states that share of what the given solution states",
    ),
    Metric(
        name="coverage of another problem",
        unit="share",
        meaning="it states as much of what another problem's solution states: by coincidence",
    ),
    Metric(
        name="coverage above coincidence",
        unit="share",
        meaning="the former less the latter",
    ),
    Metric(
        name="coverage above coincidence where right",
        unit="share",
        meaning="the same among thoughts after which the answer is right",
    ),
)


@runtime_checkable
class Needs(Protocol):
    """Anything that names what a solution must pass through, and finds it in a text."""

    def of(self, problem: Problem) -> Collection[object] | None:
        """What the solution of a problem needs; None where that is not known.

        Args:
            problem: The problem.
        """
        ...

    def stated(self, text: str) -> Collection[object]:
        """What a text states.

        Args:
            text: A thought.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class SolutionValues:
    """Numbers that the given trace states and the prompt does not."""

    def of(self, problem: Problem) -> Collection[Fraction] | None:
        """See `Needs`."""
        if problem.trace is None:
            return None
        return self.stated(problem.trace) - self.stated(problem.prompt)

    def stated(self, text: str) -> set[Fraction]:
        """See `Needs`."""
        return {n.value for n in stated_numbers(plain(text)) if n.value is not None}


@dataclass(frozen=True, eq=False, kw_only=True)
class Process(Measures):
    """Whether thoughts are valid, and what of the given solution they state, by model.

    Neither says that the answer rests on the thought: that is `follows` of `Dependence`.
    """


def process(
    pair: ModelPair,
    readings: Readings,
    *,
    checker: Checker = EquationsHold(),
    needs: Needs = SolutionValues(),
    inference: Inference = Inference(),
) -> Process:
    """Validity of thoughts, and coverage of what their solutions need; no model is run.

    Args:
        pair: The two models, for the provenance.
        readings: Base's reading and post's.
        checker: Decides whether a thought is valid.
        needs: Names what a solution must state.
        inference: Coverage, resamples and seed.

    Source: coverage of a process on right answers as the entity reward of 2605.31584, here beside
        the coverage of the next problem's solution, because values coincide.
    """
    values: dict[str, dict[str, list[float]]] = {m.name: defaultdict(list) for m in _METRICS}
    for reading in readings.both:
        problems = [item.problem for item in reading.thoughts.items]
        wanted = [set(needs.of(problem) or ()) for problem in problems]
        for place, curve in enumerate(reading.curves()):
            text = reading.ledger.text[place]
            holds = checker(problems[place], text)
            found = {
                "valid": math.nan if holds is None else float(holds),
                **_coverage(set(needs.stated(text)), wanted, place),
            }
            right = curve.final == curve.gold
            found |= {
                "valid where right": found["valid"] if right else math.nan,
                "coverage above coincidence where right": found["coverage above coincidence"]
                if right
                else math.nan,
            }
            for name, value in found.items():
                values[name][reading.model].append(value)
    fields = measured(
        _METRICS,
        readings.tabled(values),
        problem=readings.problem,
        inference=inference,
        provenance=pair.provenance(
            inference.seed,
            {"question": "process", "checker": repr(checker), "needs": repr(needs),
             "level": inference.level},
            task_digests=readings.digests,
        ),
    )  # fmt: skip
    return Process(**fields)  # pyright: ignore[reportArgumentType]


def _coverage(said: set[object], wanted: Sequence[set[object]], place: int) -> dict[str, float]:
    """Share of what a solution needs that was said, beside that of all other solutions."""
    shares = [len(each & said) / len(each) if each else math.nan for each in wanted]
    known = [x for i, x in enumerate(shares) if i != place and not math.isnan(x)]
    own, chance = shares[place], sum(known) / len(known) if known else math.nan
    return {
        "coverage": own,
        "coverage of another problem": math.nan if math.isnan(own) else chance,
        "coverage above coincidence": own - chance,
    }
