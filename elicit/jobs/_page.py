"""What a job leaves in its run directory: results, `summary.json` and the page."""

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from elicit.jobs._asked import Asked, compared
from elicit.jobs._next import suggested
from elicit.jobs._spec import PairSpec
from elicit.page import Compared, render, sentences
from elicit.pair import ModelPair
from elicit.results import (
    Result,
    canonical_json,
    installed_versions,
    matmul_precision,
    surroundings,
)
from elicit.runs import Execution, RunDirectory

SCHEMA = 2
"""Version of the keys of `summary.json`, raised by incompatible changes."""
PAGE = "report.html"
REFRESH = 10.0
"""Seconds of work after which the page of an unfinished run is written anew."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Results of a job."""

    results: dict[str, Result]
    """Results by folder name."""
    summary: Mapping[str, object]
    """Content of `summary.json` besides version, models, sentence and notes."""
    notes: Sequence[str] = ()
    """Caveats for the reader."""
    next: str = ""
    """Suggested next command, or empty."""
    shown: tuple[str, ...] | None = None
    """Results on the page; None for all."""


@dataclass(eq=False, kw_only=True)
class Page:
    """The outputs of one run, written as soon as there is something to see."""

    spec: PairSpec
    pair: ModelPair
    run: RunDirectory
    notes: Sequence[str]
    """Remarks that come before those of the outcome."""
    cost: Mapping[str, object]
    """Forecast of the run, in counts."""
    asked: Sequence[Asked] = ()
    """What was asked of the models, for the box at the top."""
    _written: float = field(default_factory=time.monotonic)

    @functools.cached_property
    def _compared(self) -> Compared:
        kept = Execution(max_tokens=self.spec.max_tokens, checkpoint=self.run)
        return compared(self.spec, self.pair, self.asked, kept)

    def refresh(self, outcome: Outcome) -> None:
        """Save results and write the page of an unfinished run, if a while has passed."""
        if time.monotonic() - self._written < REFRESH or not outcome.results:
            return
        going = "This run is not finished: what is still to come is missing on this page."
        self._show(outcome, [going, *self.notes, *outcome.notes])
        self._written = time.monotonic()

    def write(self, outcome: Outcome) -> dict[str, object]:
        """Write everything that a finished run leaves.

        Returns:
            Content of `summary.json`.
        """
        notes = [*self.notes, *outcome.notes]
        further = outcome.next or suggested(self.spec, outcome.summary)
        summary = {
            **_origin(self.pair),
            "sentence": " ".join(sentences(_shown(outcome))) or None,
            "n_layers": self.pair.n_layers,
            **outcome.summary,
            "cost": self.cost,
            "next": further or None,
            "notes": notes,
        }
        self.run.write_text("summary.json", canonical_json(summary).decode())
        self._show(outcome, notes, further)
        return summary

    def _show(self, outcome: Outcome, notes: Sequence[str], further: str = "") -> None:
        for name, result in outcome.results.items():
            self.run.save_result(name, result)
        spec = self.spec
        config = spec.model_dump(mode="json", exclude={"out", "fresh"}, exclude_defaults=True)
        html = render(
            _shown(outcome),
            notes=notes,
            config=config,
            command=spec.command,
            compared=self._compared,
            further=further,
        )
        self.run.write_text(PAGE, html)


def _shown(outcome: Outcome) -> list[Result]:
    names = outcome.results if outcome.shown is None else outcome.shown
    return [outcome.results[name] for name in names if name in outcome.results]


def _origin(pair: ModelPair) -> dict[str, object]:
    """Version and models, the head of every `summary.json`."""
    return {
        "schema": SCHEMA,
        "elicit": installed_versions()["elicit"],
        "matmul_precision": matmul_precision(),
        "surroundings": surroundings(),
        "pair": {
            "base": pair.base_name,
            "post": pair.post_name,
            "base_digest": pair.base_digest,
            "post_digest": pair.post_digest,
            "identical": pair.identical,
        },
    }
