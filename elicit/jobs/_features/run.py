"""The job behind `elicit features`: fidelity gates, candidates, tests, transfer, page."""

import shlex
from contextlib import nullcontext
from pathlib import Path

from elicit.features import Conclusion, HeldOut, Sae, conclude, disagreements
from elicit.jobs._asked import Asked
from elicit.jobs._features.cost import FEATURES_COSTING
from elicit.jobs._features.dictionary import SAE, sae_of
from elicit.jobs._features.find import Search
from elicit.jobs._features.inputs import (
    FeatureInputs,
    FeatureTask,
    FeatureWork,
    prepare,
    refuse_early,
)
from elicit.jobs._features.spec import FeaturesSpec
from elicit.jobs._features.summary import features_summary
from elicit.jobs._features.texts import Texts, write_texts
from elicit.jobs._frame import Job, Outcome, Prepared, Run, execute
from elicit.jobs._groups import grouped, grouped_summary
from elicit.pair import ModelPair, SideName
from elicit.results import Result, digest_json, sha256_file
from elicit.runs import Progress

USEFUL = 30
"""Number of held-out problems below which intervals are wide."""
MOST_BY_GROUP = 6
"""Features whose activations are given by group; intervals widen with their number."""


def features(spec: FeaturesSpec, *, progress: Progress | None = None) -> Run:
    """Find SAE features of reasoning, try to reject them, and write the page.

    Invalid input is refused before a model runs. A killed run resumes and ends with the same bytes.
    Writes the page, `summary.json`, `run.yaml` and every result to `spec.out`.

    Raises:
        ElicitError: Input is missing, damaged or insufficient.
    """
    return execute(JOB, spec, progress)


def _prepare(spec: FeaturesSpec, pair: ModelPair, checked: FeatureTask) -> Prepared[FeatureInputs]:
    inputs = prepare(spec, pair, checked)
    identity = {
        "tasks": {checked.task.name: checked.task.digest},
        "sae": None if inputs.sae is None else inputs.sae.digest,
        "groups": None if spec.groups is None else sha256_file(spec.groups),
        "texts": digest_json([[t.text, t.problem, t.source] for t in checked.texts]),
    }
    return Prepared(inputs, identity, checked.task.notes, _asked)


def _asked(inputs: FeatureInputs) -> list[Asked]:
    score = (
        "Numbers are activations of features of a sparse autoencoder: directions in the residual "
        "stream, few of them active at a token."
    )
    return [Asked(name=inputs.source.task.name, score=score, task=inputs.source.task)]


def _measure(work: FeatureWork) -> Outcome:
    model, split = work.inputs.model, work.inputs.source.split
    stages = [stage.name for stage in FEATURES_COSTING.stages(work.spec, work.pair, work.inputs)]
    with work.stage("writing texts") if "writing texts" in stages else nullcontext():
        texts = write_texts(work)
    with work.stage("training an SAE") if "training an SAE" in stages else nullcontext():
        sae = sae_of(work, texts)
    with work.stage("scores and tests"):
        search = Search(work=work, texts=texts, sae=sae)
        search.run()
    conclusion = conclude(
        work.pair,
        sae,
        list(search.results.values()),
        model=model,
        failed=list(search.failed.values()),
        n_choose=len(split.choose),
        n_test=len(split.test),
    )
    by, said = _by_group(work, conclusion, search.results.get("held-out"))
    results: dict[str, Result] = {"conclusion": conclusion, **search.results, **by}
    return Outcome(
        results=results,
        summary={**features_summary(sae, results, model=model), **grouped_summary(by)},
        notes=[*search.notes, *_remarks(work, texts, sae), *said],
        next=_next(work.spec, model, work.run.path, conclusion),
    )


JOB = Job(check=refuse_early, prepare=_prepare, measure=_measure, costing=FEATURES_COSTING)


def _by_group(
    work: FeatureWork, conclusion: Conclusion, held: Result | None
) -> tuple[dict[str, Result], list[str]]:
    """What survives, or else every candidate, by group of the held-out problems."""
    if not isinstance(held, HeldOut) or held.gap is None:
        return {}, []
    known, inputs = held.feature.tolist(), work.inputs
    shown = conclusion.survivors or tuple(known)
    return grouped(
        work.spec,
        inputs.source.task,
        {f"feature {i}": held.gap[known.index(i)] for i in shown[:MOST_BY_GROUP]},
        of="activation before reasoning minus before a direct answer",
        unit="activation",
        problems=inputs.ids(inputs.source.split.test),
        minus=None,
    )


def _next(spec: FeaturesSpec, model: SideName, folder: Path, conclusion: Conclusion) -> str:
    """Command that steers with the clearest survivor; empty if there is none."""
    if not conclusion.survivors:
        return ""
    words = ["elicit", "steer"]
    words += ["--pair", spec.pair] if spec.pair else ["--base", f"{spec.base}"]
    words += [] if spec.pair else ["--post", f"{spec.post}"]
    for name in ("problems", "reasoning_cue", "direct_cue", "shown"):
        value = getattr(spec, name)
        words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    words += ["--templated"] if spec.templated else []
    words += ["--on", "post"] if model == "post" else []
    here = Path.cwd()
    # As the user would write it, so that the page does not tell where this machine keeps its runs.
    folder = folder.relative_to(here) if folder.is_relative_to(here) else folder
    words += ["--sae", spec.sae or str(folder / SAE), "--feature", str(conclusion.survivors[0])]
    return shlex.join([*words, "--out", f"{folder}-steer"])


def _remarks(work: FeatureWork, texts: Texts, sae: Sae) -> list[str]:
    """Notes on the run for the reader."""
    longest = max(len(text.ids) for text in texts.every)
    source, notes = work.inputs.source, [*disagreements(work.pair, sae, longest=longest)]
    n_test = len(source.split.test)
    if n_test < USEFUL:
        notes.append(f"There are {n_test} held-out problems: below {USEFUL}, intervals are wide.")
    for who, n in texts.left_out.items():
        notes.append(
            f"{n} of {len(source.task)} texts ({who}) did not do what their prompt calls for and "
            "are not read."
        )
    if work.inputs.sae is None:
        notes.append(
            f"The SAE was trained in this run on {len(texts.part(test=False))} texts of the "
            f"selection problems. It is in the folder {SAE} of the run; load it with --sae."
        )
    elif sae.published.fvu is None:
        notes.append("No FVU is published for this SAE, so its gate is a convention.")
    return notes
