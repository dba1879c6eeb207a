"""The job behind `elicit revise`: settling depths of both models, with their page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from elicit.jobs._asked import Asked
from elicit.jobs._frame import FEW_PROBLEMS, Job, Outcome, Prepared, Run, Work, execute
from elicit.jobs._groups import grouped, grouped_summary
from elicit.jobs._revise.cost import REVISE_COSTING, rows_shown
from elicit.jobs._revise.inputs import (
    WRITERS,
    ModelTexts,
    ReviseInputs,
    encode_inputs,
    load_inputs,
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
    RHOS,
    THRESHOLDS,
    DepthConvention,
    Settling,
    TokenRows,
    TunedLensFit,
    depth_by_group,
    profile,
    sensitivity,
    settling,
)
from elicit.runs import Execution, Progress
from elicit.stats import mean_by_problem
from elicit.texts import LN2

MOST_GROUPS = 12
"""Maximum number of difficulties compared."""


def revise(spec: ReviseSpec, *, progress: Progress | None = None) -> Run:
    """Measure at which layer both models' predictions settle, and write the page.

    Inputs are validated before a model runs. A killed run resumes and ends with the same bytes.
    Writes the page, `summary.json`, `run.yaml` and every result to `spec.out`.

    Raises:
        ElicitError: An input is missing, damaged, or cannot be read.
    """
    return execute(JOB, spec, progress)


def _prepare(spec: ReviseSpec, pair: ModelPair, checked: ReviseInputs) -> Prepared[ReviseInputs]:
    inputs = encode_inputs(spec, pair, checked)
    identity = {"tasks": {inputs.task.name: inputs.task.digest}}
    return Prepared(inputs, identity, inputs.task.notes, _asked)


def _asked(inputs: ReviseInputs) -> list[Asked]:
    score = (
        "A token’s number is how many layers have run when its prediction settles; a problem’s is "
        "their mean."
    )
    return [Asked(name=inputs.task.name, score=score, task=inputs.task)]


def _measure(work: Work[ReviseSpec, ReviseInputs]) -> Outcome:
    spec, pair, inputs = work.spec, work.pair, work.inputs
    execution = replace(work.execution, memory=spec.memory * 2**20)
    written: dict[str, ModelTexts] = {}
    if "own" in inputs.kinds:
        with work.stage("writing texts"):
            written = {
                name: write_texts(spec, pair, inputs, name, execution=execution) for name in WRITERS
            }
    texts = _texts(inputs, written)
    fits: dict[str, TunedLensFit] = {}
    if spec.lens != "logit":
        with work.stage("fitting lenses"):
            fit, texts = halved(texts, spec.seed)
            fits = fit_lenses(spec, pair, fit, texts, execution=execution)
    results = _results(work, texts, fits, execution)
    shares = {
        name: {"truncated": text.truncated, "empty": text.empty} for name, text in written.items()
    }
    by, said = _by_group(spec, inputs, results["settling"], texts[0].source)
    return Outcome(
        results={**results, **by},
        summary={**revise_summary(results, fits=fits, texts=shares), **grouped_summary(by)},
        notes=[*_notes(spec, inputs, written, texts, results), *said],
    )


JOB = Job(check=load_inputs, prepare=_prepare, measure=_measure, costing=REVISE_COSTING)


def _texts(inputs: ReviseInputs, written: dict[str, ModelTexts]) -> list[TokenRows]:
    """All texts to read: given traces first, the decision last.

    Raises:
        SpecError: All generated texts are empty, and nothing else is read.
    """
    own = [text.rows for text in written.values() if text.rows is not None]
    given = [part for part in inputs.given if part.source != "prompt"]
    texts = [*given, *own, *(part for part in inputs.given if part.source == "prompt")]
    if not texts:
        raise SpecError(
            f"both models ended every text immediately after the {len(inputs.task)} prompts, so "
            "there is nothing to read. Check the prompts, or choose traces='given' or "
            "traces='decision'."
        )
    return texts


def _results(
    work: Work[ReviseSpec, ReviseInputs],
    texts: Sequence[TokenRows],
    fits: Mapping[str, TunedLensFit],
    execution: Execution,
) -> dict[str, Result]:
    """Results by folder name."""
    spec, pair = work.spec, work.pair
    convention = spec.depth_convention()
    lens = {name: fit.lens for name, fit in fits.items()}
    with work.stage("reading every layer"):
        settled = settling(
            pair,
            texts,
            convention=convention,
            lens=lens,
            inference=spec.inference,
            execution=execution.scoped("settling"),
        )
    results: dict[str, Result] = {"settling": settled}
    work.publish(Outcome(results=results, summary={}))
    first = texts[0]
    with work.stage("profiles of some texts"):
        results["profile"] = profile(
            pair,
            first.part(_spread(first, rows_shown(len(first), first.n_tokens / len(first)))),
            lens=lens,
            norm=convention.norm,
            execution=execution.scoped("profile"),
        )
    bit = LN2 if convention.unit == "nats" else 1.0
    results["sensitivity"] = sensitivity(
        settled,
        thresholds=sorted({convention.threshold, *(bit * g for g in THRESHOLDS)}),
        rhos=_rhos(convention, pair.n_layers),
        source=first.source,
        inference=spec.inference,
    )
    groups = _difficulties(settled, first)
    if 2 <= len({group for group in groups if group is not None}) <= MOST_GROUPS:
        results["by_difficulty"] = depth_by_group(settled, groups, inference=spec.inference)
    results |= {f"lens_{name}": fit for name, fit in fits.items()}
    return results


def _rhos(convention: DepthConvention, n_layers: int) -> list[float]:
    """The paper's values of rho and the chosen one, one per first deep layer."""
    starts = {math.ceil(rho * n_layers - 1e-9): rho for rho in reversed(RHOS)}
    starts[convention.deep_from(n_layers)] = convention.rho
    return sorted(rho for start, rho in starts.items() if start > convention.first_layer)


def _spread(rows: TokenRows, n: int) -> list[int]:
    """Rows spread over lengths, in text order."""
    order = sorted(range(len(rows)), key=lambda i: (len(rows.positions[i]), i))
    n = min(n, len(order))
    return sorted(order[(2 * k + 1) * len(order) // (2 * n)] for k in range(n))


def _by_group(
    spec: ReviseSpec, inputs: ReviseInputs, settled: Result, source: str
) -> tuple[dict[str, Result], list[str]]:
    """Depth of both models by group of problems, as other commands have it; see `grouped`."""
    assert isinstance(settled, Settling)
    here = settled.source_of == settled.source.index(source)
    depths = mean_by_problem(settled.depth[:, here], settled.problem_of[here], len(settled.problem))
    return grouped(
        spec,
        inputs.task,
        dict(zip(settled.model, depths, strict=True)),
        of=f"layers run until predictions settle, {NAMES[source]}",
        unit="layers",
        problems=settled.problem,
    )


def _difficulties(settled: Settling, rows: TokenRows) -> list[str | float | int | None]:
    """Difficulty of each token of one source; None for tokens of the others."""
    groups: list[str | float | int | None] = [None] * len(settled.token)
    if not rows.difficulty:
        return groups
    here = (settled.source_of == settled.source.index(rows.source)).nonzero()[:, 0]
    for token, row in zip(here.tolist(), settled.row[here].tolist(), strict=True):
        groups[token] = rows.difficulty[row]
    return groups


def _notes(
    spec: ReviseSpec,
    inputs: ReviseInputs,
    written: dict[str, ModelTexts],
    texts: Sequence[TokenRows],
    results: dict[str, Result],
) -> list[str]:
    """Remarks for the page."""
    notes = []
    settled = results["settling"]
    assert isinstance(settled, Settling)
    n = len(inputs.task)
    if spec.lens != "logit":
        notes.append(
            "Each model is read through its own lens, fitted on half of the problems; depths are "
            "measured on the others. A lens can compute what its layer has not: compare it with "
            "the bias alone, and with a logit-lens run."
        )
    if spec.problems is None:
        notes.append(f"No problems were given: {n} of the pair’s own are used.")
    if n < FEW_PROBLEMS:
        notes.append(f"There are {n} problems: below {FEW_PROBLEMS}, intervals are unreliable.")
    if settled.deep_from == settled.n_layers:
        notes.append(
            f"⌈{spec.depth_convention().rho:g} · {settled.n_layers}⌉ = {settled.n_layers}, all "
            "layers, so “deep” only means: not settled before the last layer has run. With so few "
            "layers, use the settling depth rather than the ratio."
        )
    for name, text in written.items():
        if text.truncated:
            notes.append(
                f"{percent(text.truncated)} of {name}’s texts were truncated at "
                f"{inputs.max_new_tokens} tokens."
            )
        if text.empty:
            notes.append(
                f"{name} wrote an empty text for {text.empty} of {n} problems; these are not read."
            )
    if len(texts) > 1:
        notes.append(
            f"The sensitivity to conventions, the heat map and the difficulties are for the "
            f"{NAMES.get(texts[0].source, texts[0].source)}."
        )
    if len(_rhos(settled.convention, settled.n_layers)) < len({settled.convention.rho, *RHOS}):
        notes.append("Of several values of ρ at which deep begins at the same depth, one is shown.")
    groups = {group for group in texts[0].difficulty if group is not None}
    if len(groups) > MOST_GROUPS:
        notes.append(f"There are {len(groups)} difficulties, too many to compare.")
    if bool(settled.depth_diff.low.isnan().any()):
        notes.append("Some texts cover only one problem, so they have no interval.")
    return notes
