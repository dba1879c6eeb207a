"""The job behind `elicit patch`: sweeps and the factorial, written down with their page."""

from elicit.jobs._frame import FEW_PROBLEMS, Job, Outcome, Prepared, Run, Work, execute
from elicit.jobs._patch.inputs import Asked, asked_of, refuse_early
from elicit.jobs._patch.spec import PatchSpec
from elicit.pair import ModelPair
from elicit.patching import Factorial, PatchGrid, across, factorial, within
from elicit.results import Result
from elicit.runs import Execution, Progress, ScopedCheckpoint


def patch(spec: PatchSpec, *, progress: Progress | None = None) -> Run:
    """Patch activations across the two models, or within one, and write the page about it.

    Everything that can be refused is refused before a model runs. A killed run continues where it
    stopped and ends with the same bytes. Leaves the page, `summary.json`, `run.yaml` and every
    result in `spec.out`.

    Args:
        spec: What to do.
        progress: Receives what is being done.

    Raises:
        ElicitError: Something is missing, damaged, or makes no sweep.
    """
    return execute(_JOB, spec, progress)


def _prepare(spec: PatchSpec, pair: ModelPair, checked: None) -> Prepared[Asked]:
    asked = asked_of(spec, pair)
    return Prepared(asked, {"tasks": {"contrast": asked.contrast.digest}})


def _measure(work: Work[PatchSpec, Asked]) -> Outcome:
    spec, pair, asked = work.spec, work.pair, work.inputs
    results = _results(spec, pair, asked, work.execution)
    return Outcome(
        results=results,
        summary=_summary(spec, asked, results),
        notes=[*asked.notes, *_remarks(spec, asked, results)],
    )


_JOB = Job(check=refuse_early, prepare=_prepare, measure=_measure)


class _Titled:
    """Progress whose jobs say which sweep they belong to."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name.replace("_", " ")

    def start(self, total: int, what: str) -> None:
        self._progress.start(total, self._name if what == self._name else f"{what} {self._name}")

    def advance(self, n: int = 1, what: str | None = None) -> None:
        self._progress.advance(n, what)

    def stop(self) -> None:
        self._progress.stop()


def _results(
    spec: PatchSpec, pair: ModelPair, asked: Asked, execution: Execution
) -> dict[str, Result]:
    """Every sweep by its direction, and the factorial."""
    found: dict[str, Result] = {}
    for direction in spec.directions:
        options = {
            "direction": direction,
            "sites": asked.sites,
            "positions": spec.positions,
            "metrics": asked.metrics,
            "widths": spec.widths,
            "controls": spec.controls,
            "inference": spec.inference,
            "execution": Execution(
                max_tokens=spec.max_tokens,
                checkpoint=ScopedCheckpoint(execution.checkpoint, direction),
                progress=_Titled(execution.progress, direction),
            ),
            "engine": spec.engine,
        }
        if spec.question == "across":
            found[direction] = across(pair, asked.contrast, **options)  # pyright: ignore
        else:
            found[direction] = within(pair, asked.contrast, model=spec.model, **options)  # pyright: ignore
    if asked.factorial is not None:
        found["factorial"] = factorial(
            pair,
            asked.contrast,
            metric=asked.factorial,  # pyright: ignore[reportArgumentType]
            inference=spec.inference,
            execution=Execution(
                max_tokens=spec.max_tokens,
                checkpoint=ScopedCheckpoint(execution.checkpoint, "factorial"),
                progress=_Titled(execution.progress, "factorial"),
            ),
            engine=spec.engine,
        )
    return found


def _remarks(spec: PatchSpec, asked: Asked, results: dict[str, Result]) -> list[str]:
    """What a reader should know of the run."""
    told = []
    n = len(asked.contrast)
    if n < FEW_PROBLEMS:
        told.append(f"There are {n} problems: below {FEW_PROBLEMS}, intervals say little.")
    grids = [result for result in results.values() if isinstance(result, PatchGrid)]
    if "other_prompt" in spec.controls and grids[0].other_prompt.value.isnan().all():
        told.append(
            "The control with another prompt was not run: some prompt has no other one of its "
            "length."
        )
    if asked.factorial is None and spec.question == "across" and spec.factorial is None:
        told.append("No factorial was run: kl needs a donor, which a factorial does not have.")
    return told


def _summary(spec: PatchSpec, asked: Asked, results: dict[str, Result]) -> dict[str, object]:
    """Content of `summary.json`: the finding first, then every number behind it."""
    split = results.get("factorial")
    return {
        "question": spec.question,
        "contrast": {
            "digest": asked.contrast.digest,
            "problems": None if spec.problems is None else spec.problems.name,
        },
        "n_problems": len(asked.contrast),
        "level": spec.level,
        "sweeps": {
            name: {**grid.summary(), "peak": _peak(grid), "controls": list(spec.controls)}
            for name, grid in results.items()
            if isinstance(grid, PatchGrid)
        },
        "factorial": split.summary() if isinstance(split, Factorial) else None,
    }


def _peak(grid: PatchGrid) -> dict[str, object] | None:
    """The cell that the sweep is told by, with its share, its controls and their verdicts."""
    peak = grid.peak()
    if peak is None:
        return None
    cell = (0, grid.site.index(peak.site), grid.pos.index(peak.pos))
    return {
        **peak.to_json(),
        "share": grid.share[0, *cell].to_json(),
        **{name: getattr(grid, name)[cell].to_json() for name in ("other_prompt", "noise")},
        **{
            name: bool(getattr(grid, name)[cell])
            for name in ("above_other_prompt", "above_noise", "above_control")
        },
    }
