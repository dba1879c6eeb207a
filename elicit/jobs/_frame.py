"""What every job on a pair does around its questions: open the pair and the run, leave a page."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from elicit.jobs._spec import PairSpec, SpecError
from elicit.page import render
from elicit.pair import Loading, ModelPair, load_pair
from elicit.results import Result, canonical_json, installed_versions
from elicit.runs import Progress, RunDirectory

TINY = 20_000_000
"""Parameters below which a second thread does not pay."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PagedRun:
    """A finished run that left a page."""

    path: Path
    """The run directory."""
    page: Path
    """The page to open."""
    summary: dict[str, object]
    """Content of `summary.json`."""


def open_pair(spec: PairSpec, progress: Progress) -> ModelPair:
    """The two models of a specification.

    Args:
        spec: Which models, and where.
        progress: Told that they are loaded.

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
        allow_identical=spec.allow_identical,
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
def running(
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
    with run, few_threads(pair):
        # A run that is repeated or resumed from its own file must not discard itself.
        spec.model_copy(update={"fresh": False}).to_yaml(run.path / "run.yaml")
        yield run


@contextmanager
def few_threads(pair: ModelPair) -> Iterator[None]:
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


def close(
    run: RunDirectory,
    spec: PairSpec,
    summary: Mapping[str, object],
    results: Sequence[Result],
    notes: Sequence[str],
) -> Path:
    """Write the summary and the page, and end the run.

    Args:
        run: The run directory.
        spec: What was done.
        summary: Content of `summary.json`.
        results: What the page shows.
        notes: Remarks on the page.

    Returns:
        The page.

    Raises:
        RunError: The disk is full.
    """
    run.write_text("summary.json", canonical_json(summary).decode())
    config = spec.model_dump(mode="json", exclude={"out", "fresh"}, exclude_defaults=True)
    page = run.write_text(
        "report.html", render(results, notes=notes, config=config, command=spec.command)
    )
    run.finish()
    return page


def origin(pair: ModelPair) -> dict[str, object]:
    """What every `summary.json` begins with: version and models.

    Args:
        pair: The two models.
    """
    return {
        "elicit": installed_versions()["elicit"],
        "pair": {
            "base": pair.base_name,
            "post": pair.post_name,
            "base_digest": pair.base_digest,
            "post_digest": pair.post_digest,
            "identical": pair.identical,
        },
    }
