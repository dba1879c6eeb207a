"""The job behind `elicit patch`: sweeps and the factorial, written down with their page."""

from collections.abc import Sequence
from dataclasses import dataclass

from elicit.jobs._frame import PagedRun, close, open_pair, origin, running
from elicit.jobs._patch.inputs import Asked, asked_of, refuse_early
from elicit.jobs._patch.spec import PatchSpec
from elicit.jobs._report.run import FEW_PROBLEMS
from elicit.page.patching import patch_sentences
from elicit.pair import ModelPair
from elicit.patching import Factorial, PatchGrid, across, factorial, within
from elicit.results import Result
from elicit.runs import Execution, NoProgress, Progress, ScopedCheckpoint


@dataclass(frozen=True, eq=False, kw_only=True)
class PatchRun(PagedRun):
    """A finished run."""

    results: dict[str, Result]
    """Sweeps by direction, and the factorial."""


def run_patch(spec: PatchSpec, *, progress: Progress | None = None) -> PatchRun:
    """Patch activations across the two models, or within one, and write the page about it.

    Everything that can be refused is refused before a model runs. A killed run goes on where it
    stopped and ends with the same bytes.

    Args:
        spec: What to do.
        progress: Told what is being done.

    Raises:
        ElicitError: Something asked for is missing, damaged, or makes no sweep.
    """
    progress = progress or NoProgress()
    refuse_early(spec)
    # Across, two equal models are refused below in words that do not advise to allow them.
    pair = open_pair(
        spec.model_copy(
            update={"allow_identical": spec.allow_identical or spec.question == "across"}
        ),
        progress,
    )
    asked = asked_of(spec, pair)
    with running(
        spec,
        pair,
        {
            "tasks": {"contrast": asked.contrast.digest},
        },
    ) as run:
        results = _results(spec, pair, asked, Execution(checkpoint=run, progress=progress))
        for name, result in results.items():
            run.save_result(name, result)
        notes = [*pair.notes, *asked.notes, *_remarks(spec, asked, results)]
        summary = _summary(spec, pair, asked, results, notes)
        page = close(run, spec, summary, list(results.values()), notes)
    return PatchRun(path=run.path, page=page, summary=summary, results=results)


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


def _summary(
    spec: PatchSpec,
    pair: ModelPair,
    asked: Asked,
    results: dict[str, Result],
    notes: Sequence[str],
) -> dict[str, object]:
    """Content of `summary.json`: the finding first, then every number behind it."""
    split = results.get("factorial")
    return {
        **origin(pair),
        "question": spec.question,
        "sentence": " ".join(patch_sentences(list(results.values()))),
        "n_layers": pair.n_layers,
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
        "notes": list(notes),
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
