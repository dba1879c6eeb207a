"""Pictures of answers under several conditions, of thinking, and of thoughts' difficulty."""

from collections.abc import Sequence
from typing import Any

from elicit.results import Estimate, figure, label, marks
from elicit.results.marks import FAINT, MUTED
from elicit.traces.conditions import Conditions
from elicit.traces.difficulty import Difficulty
from elicit.traces.figures._rows import across, finite, write
from elicit.traces.process import Process
from elicit.traces.thinking import Thinking


@figure.register
def conditions_figure(found: Conditions) -> Any:
    """Right answers of both models under every condition, the reference first."""
    return _shares(found.accuracy, found.condition, "right answers")


@figure.register
def thinking_figure(found: Thinking) -> Any:
    """Right answers in every mode, then abstentions with and without a missing premise."""
    parts = (
        (found.accuracy, "right"),
        (found.detected, "abstains, premise missing"),
        (found.refused, "abstains, whole question"),
    )
    rows = [estimate[i] for estimate, _ in parts for i in range(len(found.mode))]
    names = [f"{mode}: {what}" for _, what in parts for mode in found.mode]
    return _shares(Estimate.stack(rows), names, "share of questions")


@figure.register
def process_figure(found: Process) -> Any:
    """Valid thoughts and coverage of the solution, of both models."""
    return _shares(found.estimate, found.metric, "share")


@figure.register
def difficulty_figure(found: Difficulty) -> Any:
    """Logarithms of both ratios, of both models."""
    chosen = [i for i, name in enumerate(found.metric) if name.startswith("log ")]
    table = found.estimate[chosen]
    drawn = _rows(table, [found.metric[i] for i in chosen])
    ends = [0.0, *finite(table.low), *finite(table.high)]
    across(drawn, len(chosen) + 0.15, "nats a token", (min(ends) - 0.05, max(ends) + 0.05))
    marks.level(drawn, 0, FAINT, upright=True)
    return drawn


def _shares(table: Estimate, names: Sequence[str], title: str) -> Any:
    drawn = _rows(table, names)
    ends = [0.0, 1.0, *finite(table.low), *finite(table.high)]
    across(drawn, len(names) + 0.15, title, (min(ends) - 0.03, max(ends) + 0.03))
    return drawn


def _rows(table: Estimate, names: Sequence[str]) -> Any:
    drawn = marks.blank()
    places = [i + 0.68 for i in range(len(names))]
    marks.both_models(drawn, places, table, list(names))
    for place, name, value in zip(places, names, table.value, strict=True):
        write(drawn, place - 0.4, label(name), 12)
        if bool(value.isnan().all()):
            write(drawn, place - 0.06, "not measured", 11, MUTED)
    return drawn
