"""The page about existence: the finding in words, the ladder, and every control behind it."""

from collections.abc import Sequence

from elicit.report.figures import plot
from elicit.report.sections import Section
from elicit.report.tables import Table, table_of
from elicit.results import Result
from elicit.results.drawing import interval, number
from elicit.verdicts import Ladder

_MARKS = {"passed": "✓", "not distinguishable": "○", "under-powered": "◇", "not run": "–"}


def ladder_sentence(ladder: Ladder) -> str:
    """What the ladder says, in one or two sentences.

    Args:
        ladder: Verdicts.
    """
    what = f"for the base already having it ({ladder.behaviour})"
    on = f"Told of {ladder.n_test} problems on which nothing was chosen."
    high, top = ladder.highest_rung, ladder.highest_passed
    if top is None:
        return f"No rung of evidence {what} is passed. {on}"
    if high == top:
        return f"The evidence {what} reaches {_named(ladder, top)}, all rungs below included. {on}"
    place = next(i for i, status in enumerate(ladder.status) if status != "passed")
    reached = "no rung" if high is None else _named(ladder, high)
    return (
        f"The evidence {what} reaches {reached} when climbed from below, where "
        f"{_named(ladder, ladder.rung[place])} is {ladder.status[place]}; above that, "
        f"{_named(ladder, top)} is passed. {on}"
    )


def _named(ladder: Ladder, rung: str) -> str:
    """A rung and what it says."""
    return f"{rung} ({ladder.claim[ladder.rung.index(rung)]})"


def ladder_sections(results: Sequence[Result]) -> list[Section]:
    """A section for every ladder.

    Args:
        results: Results of any kind.
    """
    found = [result for result in results if isinstance(result, Ladder)]
    return [_section(ladder, n) for n, ladder in enumerate(found)]


def _section(ladder: Ladder, n: int) -> Section:
    caption = (
        "Each rung asks for more than the one below it. Filled: passed; open: not distinguishable "
        "from its strongest control, or under-powered. Grey: that control. Bars are "
        f"{100 * ladder.level:g} % intervals, each alone."
    )
    return Section(
        f"ladder-{n}",
        "Does it exist in the base?",
        f"Everything was fitted and chosen on {ladder.n_choose} problems, and is told of "
        f"{ladder.n_test} others.",
        (
            plot(f"plot-ladder-{n}", ladder.figure(), caption, columns=24),
            _rungs(ladder),
            _arms(ladder),
        ),
    )


def _rungs(ladder: Ladder) -> Table:
    rows = []
    for i, rung in enumerate(ladder.rung):
        ends = [
            [getattr(ladder, name + end)[i].item() for end in ("", "_low", "_high")]
            for name in ("value", "control")
        ]
        rows.append(
            [
                f"{rung} {ladder.claim[i]}",
                f"{_MARKS[ladder.status[i]]}\N{NO-BREAK SPACE}{ladder.status[i]}",
                ladder.unit[i],
                ladder.place[i],
                ladder.control_name[i],
                ladder.reason[i],
                *(interval(*told, digits=2).removeprefix("+") for told in ends),
                number(ladder.p[i].item()),
                number(ladder.detectable[i].item(), digits=2),
            ]
        )
    head = (
        "rung", "verdict", "unit", "place", "strongest control", "remark", "value", "control", "p",
        "detectable",
    )  # fmt: skip
    told = (
        "Every rung. p: the largest of all that the rung claims, adjusted over rungs (Holm). "
        "Detectable: the smallest effect that so many problems would likely show; below it, no "
        "finding is no evidence of absence."
    )
    return table_of(told, head, rows, 6)


def _arms(ladder: Ladder) -> Table:
    rows = [
        [name, interval(*(getattr(ladder, f"arm_{end}")[i].item() for end in _ENDS), digits=2)
         .removeprefix("+")]
        for i, name in enumerate(ladder.arm)
    ]  # fmt: skip
    told = "Every control, and what else was measured beside. Intervals are of each alone."
    return table_of(told, ("rung and arm", "value"), rows, 1, "Every control")


_ENDS = ("value", "low", "high")
