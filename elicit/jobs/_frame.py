"""The frame of every job: validate, open the pair and the run, measure, write results."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

from elicit.jobs._spec import PairSpec, SpecError
from elicit.page import render, sentences
from elicit.pair import DATE, Loading, ModelPair, load_pair
from elicit.results import Result, canonical_json, installed_versions
from elicit.runs import Execution, NoProgress, Progress, RunDirectory, RunError, refuse_foreign

S = TypeVar("S", bound=PairSpec)
C = TypeVar("C")
I = TypeVar("I")  # noqa: E741
SCHEMA = 2
"""Version of the keys of `summary.json`, raised by incompatible changes."""
TINY = 20_000_000
"""Number of parameters below which a second thread does not pay."""
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


@dataclass(frozen=True)
class Prepared(Generic[I]):
    """Inputs of a job, checked against the models."""

    inputs: I
    identity: Mapping[str, object]
    """Digests of everything but models and options that determines the values."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Work(Generic[S, I]):
    """A job in progress."""

    spec: S
    pair: ModelPair
    inputs: I
    run: RunDirectory
    progress: Progress

    @property
    def execution(self) -> Execution:
        """Execution settings; finished values are kept in the run directory."""
        return Execution(
            max_tokens=self.spec.max_tokens, checkpoint=self.run, progress=self.progress
        )


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


@dataclass(frozen=True, kw_only=True)
class Job(Generic[S, C, I]):
    """The steps of a command between options and page."""

    check: Callable[[S], C]
    """Validates options and reads inputs before models are loaded."""
    prepare: Callable[[S, ModelPair, C], Prepared[I]]
    """Checks the inputs against the models, before the run directory is created."""
    measure: Callable[[Work[S, I]], Outcome]
    """Computes the results."""


def execute(job: Job[S, C, I], spec: S, progress: Progress | None = None) -> Run:
    """Run a job; invalid input is refused before a model runs.

    A killed run resumes and ends with the same bytes.

    Raises:
        ElicitError: An input is missing, damaged, or incomparable.
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
    """Refuse an unusable run directory before models are loaded.

    Raises:
        RunError: It or a parent is a file, contains other files, or is not writable.
    """
    there = next(
        path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink()
    )
    if not there.is_dir():
        raise RunError(
            f"{there} is a file or a broken link, but a run needs a folder, so nothing could be "
            f"written to {folder}. Pass another folder."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise RunError(
            f"{there} is not writable by this user, so the run in {folder} would be lost. "
            "Pass another folder."
        )
    refuse_foreign(folder)


def open_pair(spec: PairSpec, progress: Progress) -> ModelPair:
    """Load the two models of a specification.

    Raises:
        ElicitError: They cannot be loaded or compared.
    """
    if spec.device not in ("cpu", "auto"):
        try:
            torch.empty(1, device=spec.device)
        except (RuntimeError, AssertionError) as error:
            why = str(error).splitlines()[0]
            raise SpecError(
                f"the device {spec.device!r} is not available here ({why}). Choose another, for "
                "instance cpu."
            ) from error
    progress.start(1, "loading both models")
    pair = load_pair(
        spec.pair or str(spec.base),
        spec.post,
        device=spec.device,
        dtype="auto" if spec.dtype == "auto" else getattr(torch, spec.dtype),
        vocab=spec.vocab,
        allow_identical=spec.loads_identical,
        loading=Loading(
            device_map=spec.device_map,
            trust_remote_code=spec.trust_remote_code,
            attn_implementation=spec.attn_implementation or "eager",
            unused_tensors=spec.unused_tensors,
            revision_base=spec.base_revision,
            revision_post=spec.post_revision,
            renamed_tokens=dict(one.split("=", 1) for one in spec.renamed_tokens),
            adds_bos=spec.adds_bos,
            separator=spec.separator,
            template_date=spec.template_date or DATE,
        ),
    )
    progress.advance()
    progress.stop()
    return pair


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
        # A run that is repeated or resumed from its run.yaml must not discard itself.
        spec.model_copy(update={"fresh": False}).to_yaml(run.path / "run.yaml")
        yield run


@contextmanager
def _few_threads(pair: ModelPair) -> Iterator[None]:
    """One thread for models so small that more threads slow them down."""
    before = torch.get_num_threads()
    size = sum(parameter.numel() for parameter in pair.base.parameters())
    try:
        if size < TINY and pair.device == "cpu":
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


def _origin(pair: ModelPair) -> dict[str, object]:
    """Version and models, the head of every `summary.json`."""
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
