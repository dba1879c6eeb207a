"""The questions of a run about features, each on its half of the problems."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from elicit.features import (
    ContrastScores,
    FeatureError,
    ReasonScores,
    Sae,
    contrast_scores,
    cot_minus_direct,
    feature_table,
    fidelity,
    held_out,
    latent_scaling,
    reason_scores,
    regeneration,
    token_injection,
    transfer,
)
from elicit.features.reading import rows_of
from elicit.jobs._features.inputs import Asked, Ready
from elicit.jobs._features.spec import FeaturesSpec
from elicit.jobs._features.texts import Texts, rows
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.runs import Execution, Progress, RunDirectory, ScopedCheckpoint


@dataclass(eq=False, kw_only=True)
class Found:
    """What a run found, and what it left out and why."""

    sae: Sae
    results: dict[str, Result] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Why a model's gates are failed, by its side of the pair."""


def find(
    spec: FeaturesSpec,
    pair: ModelPair,
    asked: Asked,
    ready: Ready,
    texts: Texts,
    sae: Sae,
    *,
    run: RunDirectory,
    progress: Progress,
) -> Found:
    """Everything a run asks of an SAE, in order: gates, candidates, falsification, transfer.

    Args:
        spec: What to do.
        pair: The two models.
        asked: What is asked.
        ready: Prompts and words.
        texts: What is read.
        sae: The dictionary.
        run: Keeps finished batches.
        progress: Told how far it is.
    """
    found = Found(sae=sae)
    _gates(spec, pair, ready, texts, found, progress)
    if found.failed and not spec.allow_unfaithful:
        return found
    origins = _candidates(spec, pair, asked, ready, texts, found, progress)
    if origins:
        _falsify(spec, pair, asked, ready, texts, origins, found, run, progress)
    else:
        found.notes.append(
            "No score named a candidate: no feature is clearly more active before a trace than "
            "before an answer, and none stands out near words of reasoning."
        )
    _transfer(spec, pair, ready, texts, found, progress)
    return found


def _gates(
    spec: FeaturesSpec,
    pair: ModelPair,
    ready: Ready,
    texts: Texts,
    found: Found,
    progress: Progress,
) -> None:
    here = texts.part(test=True)
    must = ("base", "post") if spec.train_on == "both" else (ready.on,)
    for on in ("base", "post"):
        gate = fidelity(
            pair,
            found.sae,
            rows(here),
            on=on,
            problem=[text.problem for text in here],
            outliers=spec.outliers,
            inference=spec.inference,
            execution=Execution(max_tokens=spec.max_tokens, progress=progress),
        )
        found.results[f"fidelity-{on}"] = gate
        try:
            gate.require(max_fvu=spec.max_fvu, least_recovered=spec.least_recovered)
        except FeatureError as error:
            if on in must:
                # What to do about it is for whoever wrote the line, not for readers of a page.
                found.failed[on] = f"{str(error).rsplit('. ', 1)[0]}."


def _candidates(
    spec: FeaturesSpec,
    pair: ModelPair,
    asked: Asked,
    ready: Ready,
    texts: Texts,
    found: Found,
    progress: Progress,
) -> dict[int, str]:
    """Features that a score names on the problems to choose on, with the scores that do."""
    sae, common = found.sae, {"on": ready.on, "max_tokens": spec.max_tokens, "progress": progress}
    named: dict[str, Sequence[int]] = {}
    reasoning, plain = (texts.part(test=False, reasons=which) for which in (True, False))
    chosen = [p.id for p in asked.choose if p.id in ready.cot and p.id in ready.direct]
    ends = cot_minus_direct(
        pair,
        sae,
        cot=[ready.cot[i] for i in chosen],
        direct=[ready.direct[i] for i in chosen],
        **common,
    )
    found.results["contrast-prompts"] = ends
    named["prompt’s end"] = _clear(ends, ends.top(spec.top, by="difference"))
    both = (*reasoning, *plain)
    written = [[(i, p) for p in range(t.begin, len(t.ids))] for i, t in enumerate(both)]
    contrast = contrast_scores(
        pair,
        sae,
        rows(both),
        positive=[at for i in range(len(reasoning)) for at in written[i]],
        negative=[at for i in range(len(reasoning), len(both)) for at in written[i]],
        **common,
    )
    contrast = replace(contrast, what="texts that reason against texts that answer at once")
    found.results["contrast-texts"] = contrast
    named["texts"] = _clear(contrast, contrast.top(spec.top))
    scores = _reason_scores(
        pair,
        ready,
        rows(reasoning),
        found,
        Execution(max_tokens=spec.max_tokens, progress=progress),
    )
    if scores is not None:
        found.results["reason"] = scores
        named["ReasonScore"] = [i for i in scores.top(spec.top) if scores.score[i] > 0]
    named["asked for"] = spec.features
    origins: dict[int, list[str]] = {}
    for score, some in named.items():
        for place, feature in enumerate(some, start=1):
            mark = score if score == "asked for" else f"{score} {place}"
            origins.setdefault(int(feature), []).append(mark)
    return {feature: ", ".join(marks) for feature, marks in origins.items()}


def _reason_scores(
    pair: ModelPair, ready: Ready, texts: list[list[int]], found: Found, execution: Execution
) -> ReasonScores | None:
    """ReasonScores over the groups of words that the texts hold; a note says why there is none."""
    groups, why = ready.groups, ready.without_groups
    if groups is not None:
        asked, groups = groups.group, groups.among(rows_of(pair, texts))
        there = () if groups is None else groups.group
        missing = [name for name in asked if name not in there]
        if groups is None:
            why = f"the texts hold too few of the words {', '.join(asked)}"
        elif missing:
            found.notes.append(
                f"ReasonScore is over {', '.join(there)}: no text to choose on holds "
                f"{', '.join(missing)}."
            )
    if groups is not None:
        try:
            return reason_scores(pair, found.sae, texts, groups, on=ready.on, execution=execution)
        except FeatureError as error:
            why = str(error).rstrip(".")
    found.notes.append(f"There is no ReasonScore: {why}.")
    return None


def _clear(scores: ContrastScores, top: Sequence[int]) -> list[int]:
    """Those that are clearly more active on the first set."""
    return [i for i in top if scores.p_holm[i] <= 0.01 and scores.difference[i] > 0]


def _falsify(
    spec: FeaturesSpec,
    pair: ModelPair,
    asked: Asked,
    ready: Ready,
    texts: Texts,
    origins: dict[int, str],
    found: Found,
    run: RunDirectory,
    progress: Progress,
) -> None:
    sae, features = found.sae, list(origins)
    common = {"on": ready.on, "max_tokens": spec.max_tokens, "progress": progress}
    sure = {"level": spec.level, "n_resamples": spec.n_resamples, "seed": spec.seed}
    tested = [p.id for p in asked.test if p.id in ready.cot and p.id in ready.direct]
    found.results["held-out"] = held_out(
        pair,
        sae,
        features,
        cot=[ready.cot[i] for i in tested],
        direct=[ready.direct[i] for i in tested],
        found_by=list(origins.values()),
        **common,
        **sure,
    )
    reasoning, plain = (texts.part(test=True, reasons=which) for which in (True, False))
    own = texts.part(test=True, reasons=True, source=ready.on) or reasoning
    table = feature_table(pair, sae, features, rows((*own, *plain)), n_examples=4, **common)
    found.results["table"] = table
    before = rows(texts.part(test=False, reasons=True))
    active = feature_table(pair, sae, features, before, n_examples=1, **common).density > 0
    lively = [f for f, yes in zip(features, active.tolist(), strict=True) if yes]
    if len(lively) < len(features):
        silent = ", ".join(str(f) for f in features if f not in lively)
        found.notes.append(
            f"Feature {silent} is active in no text with reasoning to choose on, so there are no "
            "tokens of it to put in."
        )
    if lively:
        found.results["injection"] = token_injection(
            pair, sae, lively, reasoning=before, plain=rows(plain), seed=spec.seed, **common
        )
    found.results["regeneration"] = regeneration(
        pair,
        sae,
        features,
        rows(own),
        stop_ids=ready.stops,
        problem=[text.problem for text in own],
        begins=[max(text.begin - 1, 1) for text in own],
        shown=asked.behaviour.shown if asked.marked else None,
        n_places=spec.n_places,
        n_samples=spec.n_samples,
        window=spec.window,
        temperature=spec.temperature,
        execution=Execution(checkpoint=ScopedCheckpoint(run, "regeneration")),
        **common,
        **sure,
    )


def _transfer(
    spec: FeaturesSpec,
    pair: ModelPair,
    ready: Ready,
    texts: Texts,
    found: Found,
    progress: Progress,
) -> None:
    here = texts.part(test=True)
    try:
        found.results["transfer"] = transfer(
            pair,
            found.sae,
            rows(here),
            own=ready.on,
            fit=rows(texts.part(test=False)),
            problem=[text.problem for text in here],
            inference=spec.inference,
            execution=Execution(max_tokens=spec.max_tokens, progress=progress),
        )
    except FeatureError as error:
        found.notes.append(f"Transfer was not measured: {error}")
    try:
        found.results["scaling"] = latent_scaling(
            pair,
            found.sae,
            rows(here),
            on=ready.on,
            execution=Execution(max_tokens=spec.max_tokens, progress=progress),
        )
    except FeatureError as error:
        found.notes.append(f"Latent scaling was not measured: {error}")
