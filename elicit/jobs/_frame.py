"""The frame of every job: refuse early, open the pair and the run, measure, write it down."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

from elicit.jobs._spec import PairSpec, SpecError
from elicit.page import render, sentences
from elicit.pair import Loading, ModelPair, load_pair
from elicit.results import Result, canonical_json, installed_versions
from elicit.runs import Execution, NoProgress, Progress, RunDirectory, RunError, refuse_foreign

S = TypeVar("S", bound=PairSpec)
C = TypeVar("C")
I = TypeVar("I")  # noqa: E741
SCHEMA = 2
"""Version of the keys of `summary.json`; a change that breaks a reader raises it."""
TINY = 20_000_000
"""Parameters below which a second thread does not pay."""
FEW_PROBLEMS = 30
"""Problems below which intervals say little."""


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
    """Everything that was measured, by the name of its folder."""


@dataclass(frozen=True)
class Prepared(Generic[I]):
    """What a job measures on, checked against the models."""

    inputs: I
    identity: Mapping[str, object]
    """Digests of what the values depend on besides models and options."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Work(Generic[S, I]):
    """A job that is under way."""

    spec: S
    pair: ModelPair
    inputs: I
    run: RunDirectory
    progress: Progress

    @property
    def execution(self) -> Execution:
        """How its questions run: what is finished is kept in the run directory."""
        return Execution(
            max_tokens=self.spec.max_tokens, checkpoint=self.run, progress=self.progress
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a job measured."""

    results: dict[str, Result]
    """By the name of the folder."""
    summary: Mapping[str, object]
    """Content of `summary.json` besides version, models, sentence and notes."""
    notes: Sequence[str] = ()
    """What a reader should know of the run."""
    next: str = ""
    """Command to continue with; empty where there is none."""
    shown: tuple[str, ...] | None = None
    """Results on the page; all of them if None."""


@dataclass(frozen=True, kw_only=True)
class Job(Generic[S, C, I]):
    """What a command does between its options and its page."""

    check: Callable[[S], C]
    """Refuses what can be refused before models are loaded, and returns what it read."""
    prepare: Callable[[S, ModelPair, C], Prepared[I]]
    """Checks it against the models, before there is a run directory."""
    measure: Callable[[Work[S, I]], Outcome]
    """Does the work."""


def execute(job: Job[S, C, I], spec: S, progress: Progress | None = None) -> Run:
    """Do a job: everything that can be refused is refused before a model runs.

    A killed run continues where it stopped and ends with the same bytes.

    Args:
        job: What is done.
        spec: With which options.
        progress: Receives what is being done.

    Raises:
        ElicitError: Something is missing, damaged, or cannot be compared.
    """
    progress = progress or NoProgress()
    refuse_output(spec.out)
    checked = job.check(spec)
    pair = open_pair(spec, progress)
    prepared = job.prepare(spec, pair, checked)
    with _running(spec, pair, prepared.identity) as run:
        outcome = job.measure(
            Work(spec=spec, pair=pair, inputs=prepared.inputs, run=run, progress=progress)
        )
        for name, result in outcome.results.items():
            run.save_result(name, result)
        names = outcome.results if outcome.shown is None else outcome.shown
        shown = [outcome.results[name] for name in names]
        notes = [*pair.notes, *outcome.notes]
        summary = {
            **_origin(pair),
            "sentence": " ".join(sentences(shown)) or None,
            "n_layers": pair.n_layers,
            **outcome.summary,
            "next": outcome.next or None,
            "notes": notes,
        }
        run.write_text("summary.json", canonical_json(summary).decode())
        config = spec.model_dump(mode="json", exclude={"out", "fresh"}, exclude_defaults=True)
        after = [f"Next: {outcome.next}"] if outcome.next else []
        html = render(shown, notes=[*notes, *after], config=config, command=spec.command)
        page = run.write_text("report.html", html)
        run.finish()
    return Run(path=run.path, page=page, summary=summary, results=outcome.results)


def refuse_output(folder: Path) -> None:
    """Refuse a run directory that cannot become one, before models are loaded for it.

    Args:
        folder: Where the run is to go.

    Raises:
        RunError: It or a folder above it is a file, holds other things, or cannot be written.
    """
    there = next(
        path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink()
    )
    if not there.is_dir():
        raise RunError(
            f"{there} is a file or a broken link and a run needs a folder, so nothing could be "
            f"written to {folder}. Pass another folder."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise RunError(
            f"{there} cannot be written by this user, so the run in {folder} would be lost. "
            "Pass another folder."
        )
    refuse_foreign(folder)


def open_pair(spec: PairSpec, progress: Progress) -> ModelPair:
    """The two models of a specification.

    Args:
        spec: Which models, and where.
        progress: Receives that they are being loaded.

    Raises:
        ElicitError: They cannot be loaded or compared.
    """
    if spec.device != "cpu":
        try:
            torch.empty(1, device=spec.device)
        except (RuntimeError, AssertionError) as error:
            why = str(error).splitlines()[0]
            raise SpecError(
                f"the device {spec.device!r} cannot be used here ({why}). Choose another, for "
                "instance cpu."
            ) from error
    progress.start(1, "loading both models")
    pair = load_pair(
        spec.pair or str(spec.base),
        spec.post,
        device=spec.device,
        dtype=getattr(torch, spec.dtype),
        vocab=spec.vocab,
        allow_identical=spec.loads_identical,
        loading=Loading(
            device_map=spec.device_map,
            trust_remote_code=spec.trust_remote_code,
            attn_implementation=spec.attn_implementation or "eager",
        ),
    )
    progress.advance()
    progress.stop()
    return pair


@contextmanager
def _running(
    spec: PairSpec, pair: ModelPair, identity: Mapping[str, object]
) -> Iterator[RunDirectory]:
    """The run directory of a job, new or resumed, with its options written down.

    Args:
        spec: What to do.
        pair: The two models.
        identity: Digests of what the values depend on besides models and options.

    Raises:
        RunError: It cannot be written or holds something else.
    """
    run = RunDirectory.open(
        spec.out,
        kind=spec.command,
        arguments=spec.arguments(),
        identity={"base": pair.base_digest, "post": pair.post_digest, **identity},
        fresh=spec.fresh,
    )
    with run, _few_threads(pair):
        # A run that is repeated or resumed from its own file must not discard itself.
        spec.model_copy(update={"fresh": False}).to_yaml(run.path / "run.yaml")
        yield run


@contextmanager
def _few_threads(pair: ModelPair) -> Iterator[None]:
    """One thread for models so small that more threads cost more than they bring.

    Args:
        pair: The two models.
    """
    before = torch.get_num_threads()
    size = sum(parameter.numel() for parameter in pair.base.parameters())
    try:
        if size < TINY and pair.device == "cpu":
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


def _origin(pair: ModelPair) -> dict[str, object]:
    """What every `summary.json` begins with: version and models.

    Args:
        pair: The two models.
    """
    return {
        "schema": SCHEMA,
        "elicit": installed_versions()["elicit"],
        "pair": {
            "base": pair.base_name,
            "post": pair.post_name,
            "base_digest": pair.base_digest,
            "post_digest": pair.post_digest,
            "identical": pair.identical,
        },
    }
