"""The frame of every job: validate, open the pair and the run, measure, write results."""

import html
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import torch

from elicit.jobs._budget import (
    Costing,
    Planned,
    budget_notes,
    fit,
    save_plan,
    saved_plan,
    with_options,
)
from elicit.jobs._forecast import calibrate, forecast
from elicit.jobs._lengths import with_texts
from elicit.jobs._opening import open_pair, refuse_output
from elicit.jobs._page import PAGE, Outcome, Page
from elicit.jobs._prepared import Prepared
from elicit.jobs._serving import served_by
from elicit.jobs._shared import Shared
from elicit.jobs._spec import PairSpec
from elicit.jobs._stages import StageProgress, Weighted
from elicit.pair import ModelPair
from elicit.results import ElicitError, Result, clean_text
from elicit.runs import (
    Announcing,
    Execution,
    NoProgress,
    Progress,
    RunDirectory,
    RunError,
)
from elicit.surroundings import guarded

S = TypeVar("S", bound=PairSpec)
C = TypeVar("C")
I = TypeVar("I")  # noqa: E741
TINY = 20_000_000
"""Number of parameters below which a second thread does not pay."""
INLINE = 2 * 2**20
"""Bytes of a page up to which a notebook shows it whole."""
FEW_PROBLEMS = 30
"""Number of problems below which intervals are uninformative."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """A finished run."""

    path: Path
    """The run directory."""
    page: Path
    """The page to open."""
    summary: dict[str, object]
    """Content of `summary.json`."""
    results: dict[str, Result]
    """Every result, by folder name."""

    def _repr_html_(self) -> str:
        """The finding and the page itself, for notebooks; a large page is named alone."""
        said = html.escape(clean_text(str(self.summary.get("sentence") or "")))
        where = f"<p>{said}</p><p><code>{html.escape(str(self.page))}</code></p>"
        if not self.page.is_file() or self.page.stat().st_size > INLINE:
            return where
        inner = html.escape(self.page.read_text(encoding="utf-8"))
        return (
            f'{where}<iframe srcdoc="{inner}" sandbox="allow-scripts" title="The page of this run" '
            'style="width: 100%; height: 44rem; border: 1px solid #d9dee3"></iframe>'
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Work(Generic[S, I]):
    """A job in progress."""

    spec: S
    pair: ModelPair
    inputs: I
    run: RunDirectory
    progress: Progress
    publish: Callable[["Outcome"], None] = lambda _outcome: None
    """Shows the results so far on the page, if a while has passed."""
    shared: Shared | None = None
    """What it has in common with other runs of one audit."""
    left_out: tuple[str, ...] = ()
    """What its budget left out."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """A stage of the forecast, for everything that reports progress inside.

        Args:
            name: Its name.
        """
        progress = self.progress
        return progress.stage(name) if isinstance(progress, StageProgress) else nullcontext()

    @property
    def execution(self) -> Execution:
        """Execution settings; finished values are kept in the run directory."""
        kept = self.run if self.shared is None else self.shared.over(self.run)
        return Execution(max_tokens=self.spec.max_tokens, checkpoint=kept, progress=self.progress)


@dataclass(frozen=True, kw_only=True)
class Job(Generic[S, C, I]):
    """The steps of a command between options and page."""

    check: Callable[[S], C]
    """Validates options and reads inputs before models are loaded."""
    prepare: Callable[[S, ModelPair, C], Prepared[I]]
    """Checks the inputs against the models, before the run directory is created."""
    measure: Callable[[Work[S, I]], Outcome]
    """Computes the results."""
    costing: Costing[S, I]
    """Stages, for the forecast, and what a budget leaves out."""


@guarded
def execute(
    job: Job[S, C, I], spec: S, progress: Progress | None = None, shared: Shared | None = None
) -> Run:
    """Run a job; invalid input is refused before a model runs.

    A killed run resumes and ends with the same bytes. `shared`: the loaded pair and texts that
    other runs wrote; it changes no value.

    Raises:
        ElicitError: An input is missing, damaged, or incomparable.
    """
    progress = progress or NoProgress()
    refuse_output(spec.out)
    checked = job.check(spec)
    pair = open_pair(spec, progress) if shared is None else shared.pair
    prepared = job.prepare(spec, pair, checked)
    with (
        served_by(spec, pair) as served,
        _running(spec, pair, prepared.identity) as run,
    ):
        planned, stages = _planned(job, spec, pair, prepared.inputs, run, progress)
        if isinstance(progress, Announcing):
            for line in served:
                progress.announce(line)
        notes = [*pair.notes, *prepared.notes, *budget_notes(planned), *served]
        page = Page(
            spec=spec,
            pair=pair,
            run=run,
            notes=notes,
            cost=planned.forecast.to_json(),
            asked=prepared.asked(planned.inputs),
        )
        work = Work(
            spec=planned.spec,
            pair=pair,
            inputs=planned.inputs,
            run=run,
            progress=stages,
            publish=page.refresh,
            shared=shared,
            left_out=planned.left_out,
        )
        outcome = job.measure(work)
        summary = page.write(outcome)
        run.finish()
    return Run(path=run.path, page=run.path / PAGE, summary=summary, results=outcome.results)


def _planned(
    job: Job[S, C, I], spec: S, pair: ModelPair, inputs: I, run: RunDirectory, progress: Progress
) -> tuple[Planned[S, I], StageProgress]:
    """The run within its budget, and its progress over stages weighted by their cost."""

    def again(spec: S) -> I:
        return job.prepare(spec, pair, job.check(spec)).inputs

    costing = job.costing
    cost = forecast(pair, costing.stages(spec, pair, inputs))
    planned = Planned(spec=spec, inputs=inputs, forecast=cost)
    watched = isinstance(progress, Announcing)
    speed = calibrate(pair) if watched or spec.budget is not None else None
    asked = costing.asked(spec, inputs)
    if speed is not None and asked is not None:
        speed = with_texts(pair, *asked, speed, seconds=2.0 + 0.6 * (spec.budget or 0.0))
    if spec.budget is not None and speed is not None:
        cuts = costing.cuts(spec, pair, inputs)
        kept = saved_plan(run, {name for cut in cuts for name in cut.options})
        if kept is None:
            planned, options = fit(costing, planned, pair, speed, again)
            save_plan(run, options, planned.left_out)
        else:
            planned = with_options(costing, planned, kept[0], pair, again)
            planned = replace(planned, left_out=kept[1])
    cost = planned.forecast
    if isinstance(progress, Announcing) and speed is not None:
        progress.announce(cost.sentence(speed))
    weighted = [
        Weighted(
            name=stage.name,
            weight=speed.seconds(stage, cost.size) if speed else cost.flop_of(stage),
            texts=stage.texts,
            jobs=stage.jobs,
        )
        for stage in cost.stages
    ]
    return planned, StageProgress(progress, weighted)


@contextmanager
def _running(
    spec: PairSpec, pair: ModelPair, identity: Mapping[str, object]
) -> Iterator[RunDirectory]:
    """The run directory of a job, new or resumed, with its options saved.

    Raises:
        RunError: It is not writable or contains something else.
    """
    run = RunDirectory.open(
        spec.out,
        kind=spec.command,
        arguments=spec.arguments(),
        identity={**pair.identity, **identity},
        fresh=spec.fresh,
    )
    with run, _few_threads(pair):
        run.write_text("run.yaml", spec.yaml())
        with _pieces_named(run):
            yield run


@contextmanager
def _pieces_named(run: RunDirectory) -> Iterator[None]:
    """Name finished pieces as a possible cause where a run that read some meets a foreign error.

    A piece from someone else can be whole and yet hold other values than this run writes.

    Raises:
        RunError: The block raised what is no error of this package, after pieces were read.
    """
    try:
        yield
    except (ElicitError, MemoryError):
        raise
    except Exception as error:
        if not run.n_read or type(error).__name__ == "OutOfMemoryError":
            raise
        raise RunError(
            f"The run in {run.path} went on with {run.n_read} finished pieces and stopped with "
            f"{type(error).__name__}: {str(error)[:200]}. Either a piece holds other values than "
            "this version writes, or this is a fault of elicit. Pass fresh=True to recompute every "
            "piece; if the error stays, please report it."
        ) from error


@contextmanager
def _few_threads(pair: ModelPair) -> Iterator[None]:
    """One thread for models so small that more threads slow them down."""
    before = torch.get_num_threads()
    try:
        if pair.device == "cpu" and sum(p.numel() for p in pair.base.parameters()) < TINY:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)
