"""The job behind `elicit graft`: one model with parts of the other, scored and written down."""

from dataclasses import dataclass
from pathlib import Path

from elicit.grafting import GraftSweep, sweep_parts
from elicit.jobs._frame import open_pair, origin, running
from elicit.jobs._graft.spec import GraftSpec
from elicit.jobs._report.run import check_scores, load_scores
from elicit.results import canonical_json
from elicit.runs import Execution, NoProgress, Progress
from elicit.weights import part, parts_of


@dataclass(frozen=True, eq=False, kw_only=True)
class GraftRun:
    """A finished sweep."""

    path: Path
    """The run directory."""
    summary: dict[str, object]
    """Content of `summary.json`."""
    result: GraftSweep
    """Everything that was measured."""


def run_graft(spec: GraftSpec, *, progress: Progress | None = None) -> GraftRun:
    """Score both models, and one of them with parts of the other.

    Everything that can be refused is refused before a model is scored. A killed run goes on where
    it stopped and ends with the same bytes.

    Args:
        spec: What to do.
        progress: Told what is being done.

    Raises:
        ElicitError: Something asked for is missing, damaged, or cannot be compared.
    """
    progress = progress or NoProgress()
    scores = load_scores(spec)
    pair = open_pair(spec, progress)
    parts = [part(pair, name) for name in dict.fromkeys(spec.parts)] or list(
        parts_of(pair, "layer")
    )
    check_scores(pair, scores)
    with running(spec, pair, scores.identity) as run:
        sweep = sweep_parts(
            pair,
            scores.all,
            parts,
            spec.direction,
            inference=spec.inference,
            execution=Execution(max_tokens=spec.max_tokens, checkpoint=run, progress=progress),
        )
        run.save_result("graft", sweep)
        summary: dict[str, object] = {
            **origin(pair),
            "n_layers": pair.n_layers,
            "level": sweep.level,
            **sweep.summary(),
            "notes": list(pair.notes),
        }
        run.write_text("summary.json", canonical_json(summary).decode())
    return GraftRun(path=run.path, summary=summary, result=sweep)
