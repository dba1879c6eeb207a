"""The job behind `elicit revise`: when both models settle, written down with its page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from elicit.jobs._frame import PagedRun, close, open_pair, running
from elicit.jobs._report.run import FEW_PROBLEMS
from elicit.jobs._revise.inputs import (
    WRITERS,
    Asked,
    Written,
    asked_of,
    refuse_early,
    write_texts,
)
from elicit.jobs._revise.lens import fit_lenses, halved
from elicit.jobs._revise.spec import ReviseSpec
from elicit.jobs._revise.summary import revise_summary
from elicit.jobs._spec import SpecError
from elicit.page.revision import NAMES, percent
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.revision import (
    DepthConvention,
    Settling,
    Traces,
    TunedLensFit,
    depth_by_group,
    profile,
    sensitivity,
    settling,
)
from elicit.revision.reading import LN2
from elicit.revision.sensitivity import RHOS, THRESHOLDS
from elicit.runs import Execution, NoProgress, Progress, ScopedCheckpoint

ROWS = 4
"""Rows whose every layer is kept."""
MOST_GROUPS = 12
"""Difficulties that are still told apart."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ReviseRun(PagedRun):
    """A finished run."""

    results: dict[str, Result]
    """Settling, profile, sensitivity, depths by difficulty and lenses where there are some."""


def run_revise(spec: ReviseSpec, *, progress: Progress | None = None) -> ReviseRun:
    """Read when both models settle on what they predict, and write the page about it.

    Everything that can be refused is refused before a model runs. A killed run goes on where it
    stopped and ends with the same bytes.

    Args:
        spec: What to do.
        progress: Told what is being done.

    Raises:
        ElicitError: Something asked for is missing, damaged, or cannot be read.
    """
    progress = progress or NoProgress()
    asked = refuse_early(spec)
    pair = open_pair(spec, progress)
    asked = asked_of(spec, pair, asked)
    with running(
        spec,
        pair,
        {
            "tasks": {asked.task.name: asked.task.digest},
        },
    ) as run:
        written = {
            name: write_texts(
                spec, pair, asked, name, execution=Execution(checkpoint=run, progress=progress)
            )
            for name in (WRITERS if "own" in asked.kinds else ())
        }
        traces = _traces(asked, written)
        fits: dict[str, TunedLensFit] = {}
        if spec.lens != "logit":
            fit, traces = halved(traces, spec.seed)
            fits = fit_lenses(
                spec, pair, fit, traces, execution=Execution(checkpoint=run, progress=progress)
            )
        results = _results(spec, pair, traces, fits, Execution(checkpoint=run, progress=progress))
        for name, result in results.items():
            run.save_result(name, result)
        notes = [*pair.notes, *_remarks(spec, asked, written, traces, results)]
        texts = {
            name: {"truncated": text.truncated, "empty": text.empty}
            for name, text in written.items()
        }
        summary = revise_summary(pair, results, fits=fits, texts=texts, notes=notes)
        page = close(run, spec, summary, list(results.values()), notes)
    return ReviseRun(path=run.path, page=page, summary=summary, results=results)


def _traces(asked: Asked, written: dict[str, Written]) -> list[Traces]:
    """Everything that is read, given traces first, the decision last.

    Raises:
        SpecError: No model wrote anything, and nothing else is read.
    """
    own = [text.traces for text in written.values() if text.traces is not None]
    given = [part for part in asked.given if part.source != "prompt"]
    found = [*given, *own, *(part for part in asked.given if part.source == "prompt")]
    if not found:
        raise SpecError(
            f"neither model wrote anything after the {len(asked.task)} prompts but the end of a "
            "text, so there is nothing to read. Check the prompts, or choose --traces given or "
            "--traces decision."
        )
    return found


def _results(
    spec: ReviseSpec,
    pair: ModelPair,
    traces: Sequence[Traces],
    fits: Mapping[str, TunedLensFit],
    execution: Execution,
) -> dict[str, Result]:
    """Every result by the name of its folder."""
    convention = spec.depth_convention()
    budget = spec.budget * 2**20
    lens = {name: fit.lens for name, fit in fits.items()}
    found = settling(
        pair,
        traces,
        convention=convention,
        lens=lens,
        inference=spec.inference,
        execution=Execution(
            memory=budget,
            max_tokens=spec.max_tokens,
            checkpoint=ScopedCheckpoint(execution.checkpoint, "settling"),
            progress=execution.progress,
        ),
    )
    results: dict[str, Result] = {"settling": found}
    first = traces[0]
    results["profile"] = profile(
        pair,
        first.part(_spread(first, ROWS)),
        lens=lens,
        norm=convention.norm,
        execution=Execution(
            memory=budget,
            max_tokens=spec.max_tokens,
            checkpoint=ScopedCheckpoint(execution.checkpoint, "profile"),
            progress=execution.progress,
        ),
    )
    bit = LN2 if convention.unit == "nats" else 1.0
    results["sensitivity"] = sensitivity(
        found,
        thresholds=sorted({convention.threshold, *(bit * g for g in THRESHOLDS)}),
        rhos=_rhos(convention, pair.n_layers),
        source=first.source,
        inference=spec.inference,
    )
    groups = _difficulties(found, first)
    if 2 <= len({group for group in groups if group is not None}) <= MOST_GROUPS:
        results["by_difficulty"] = depth_by_group(found, groups, inference=spec.inference)
    results |= {f"lens_{name}": fit for name, fit in fits.items()}
    return results


def _rhos(convention: DepthConvention, n_layers: int) -> list[float]:
    """The paper's values of rho and the one chosen, one for each layer that deep can begin at."""
    starts = {math.ceil(rho * n_layers - 1e-9): rho for rho in reversed(RHOS)}
    starts[convention.deep_from(n_layers)] = convention.rho
    return sorted(rho for start, rho in starts.items() if start > convention.first_layer)


def _spread(traces: Traces, n: int) -> list[int]:
    """Rows from the shorter to the longer ones, in the order of the traces."""
    order = sorted(range(len(traces)), key=lambda i: (len(traces.positions[i]), i))
    n = min(n, len(order))
    return sorted(order[(2 * k + 1) * len(order) // (2 * n)] for k in range(n))


def _difficulties(found: Settling, traces: Traces) -> list[str | float | int | None]:
    """Difficulty of each token of one source; None for tokens of the others."""
    groups: list[str | float | int | None] = [None] * len(found.token)
    if not traces.difficulty:
        return groups
    here = (found.source_of == found.source.index(traces.source)).nonzero()[:, 0]
    for place, row in zip(here.tolist(), found.row[here].tolist(), strict=True):
        groups[place] = traces.difficulty[row]
    return groups


def _remarks(
    spec: ReviseSpec,
    asked: Asked,
    written: dict[str, Written],
    traces: Sequence[Traces],
    results: dict[str, Result],
) -> list[str]:
    """What a reader should know of the run."""
    told = []
    found = results["settling"]
    assert isinstance(found, Settling)
    n = len(asked.task)
    if spec.lens != "logit":
        told.append(
            "Each model is read through its own lens, fitted on half of the problems; every depth "
            "is of the others. A lens can know what its layer has not computed: compare it "
            "with the bias alone, and with a run by the logit lens."
        )
    if spec.problems is None:
        told.append(f"No problems were given: {n} of the pair’s own are read.")
    if n < FEW_PROBLEMS:
        told.append(f"There are {n} problems: below {FEW_PROBLEMS}, intervals say little.")
    if found.deep_from == found.n_layers:
        told.append(
            f"⌈{spec.depth_convention().rho:g} · {found.n_layers}⌉ is the last layer, so “deep” "
            "only means: not settled before the end. Of so few layers, read the settling depth "
            "rather than the ratio."
        )
    for name, text in written.items():
        if text.truncated:
            told.append(
                f"{percent(text.truncated)} of {name}’s texts were cut at {asked.room} tokens "
                "before they ended, so what they say is not whole."
            )
        if text.empty:
            told.append(
                f"{name} wrote nothing but the end to {text.empty} of {n} problems, of which "
                "nothing is read."
            )
    if len(traces) > 1:
        told.append(
            f"The band of conventions, the heat map and the difficulties are those of the "
            f"{NAMES.get(traces[0].source, traces[0].source)}."
        )
    if len(_rhos(found.convention, found.n_layers)) < len({found.convention.rho, *RHOS}):
        told.append(
            "Of the values of ρ at which deep begins at the same layer, the band holds one."
        )
    groups = {group for group in traces[0].difficulty if group is not None}
    if len(groups) > MOST_GROUPS:
        told.append(f"There are {len(groups)} difficulties, too many to tell apart in a table.")
    if bool(torch.isnan(found.depth_diff_low).any()):
        told.append("Some texts are of one problem only, so there is no interval for them.")
    return told
