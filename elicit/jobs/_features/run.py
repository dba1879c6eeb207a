"""The job behind `elicit features`: gates, candidates, what rejects them, transfer, the page."""

import shlex
from pathlib import Path

from elicit.features import (
    Conclusion,
    Sae,
    conclude,
)
from elicit.jobs._features.dictionary import SAE, sae_of
from elicit.jobs._features.find import Search, find
from elicit.jobs._features.inputs import Asked, Ready, ready, refuse_early
from elicit.jobs._features.spec import FeaturesSpec, Which
from elicit.jobs._features.summary import features_summary
from elicit.jobs._features.texts import Texts, write_texts
from elicit.jobs._frame import Job, Outcome, Prepared, Run, Work, execute
from elicit.pair import ModelPair
from elicit.results import Result, digest_json, sha256_file
from elicit.runs import Progress

USEFUL = 30
"""Problems to test on below which intervals say little."""


def features(spec: FeaturesSpec, *, progress: Progress | None = None) -> Run:
    """Find SAE features of reasoning, try to reject them, and write the page about the rest.

    Everything that can be refused is refused before a model runs. A killed run continues where it
    stopped and ends with the same bytes. Leaves the page, `summary.json`, `run.yaml` and every
    result in `spec.out`.

    Args:
        spec: What to do.
        progress: Receives what is being done.

    Raises:
        ElicitError: Something is missing, damaged, or allows no finding.
    """
    return execute(_JOB, spec, progress)


def _prepare(spec: FeaturesSpec, pair: ModelPair, checked: Asked) -> Prepared[tuple[Asked, Ready]]:
    prepared = ready(spec, pair, checked)
    return Prepared((checked, prepared), _identity(spec, checked, prepared))


def _measure(work: Work[FeaturesSpec, tuple[Asked, Ready]]) -> Outcome:
    spec, pair, run, progress = work.spec, work.pair, work.run, work.progress
    asked, prepared = work.inputs
    texts = write_texts(spec, pair, asked, prepared, run=run, progress=progress)
    sae = sae_of(spec, pair, prepared, texts, run=run, progress=progress)
    found = find(spec, pair, asked, prepared, texts, sae, run=run, progress=progress)
    conclusion = _concluded(pair, asked, prepared, found)
    results: dict[str, Result] = {"conclusion": conclusion, **found.results}
    return Outcome(
        results=results,
        summary=features_summary(sae, results, on=prepared.on),
        notes=[*found.notes, *_remarks(spec, asked, texts, sae)],
        next=_next(spec, prepared.on, run.path, conclusion),
    )


_JOB = Job(check=refuse_early, prepare=_prepare, measure=_measure)


def _identity(spec: FeaturesSpec, asked: Asked, prepared: Ready) -> dict[str, object]:
    """Digests of everything that the values depend on besides models and arguments."""
    return {
        "tasks": {asked.task.name: asked.task.digest},
        "sae": None if prepared.sae is None else prepared.sae.digest,
        "groups": None if spec.groups is None else sha256_file(spec.groups),
        "texts": digest_json([[t.text, t.problem, t.source] for t in asked.texts]),
    }


def _concluded(pair: ModelPair, asked: Asked, prepared: Ready, found: Search) -> Conclusion:
    return conclude(
        pair,
        found.sae,
        list(found.results.values()),
        model=prepared.on,
        failed=list(found.failed.values()),
        n_choose=len(asked.choose),
        n_test=len(asked.test),
    )


def _next(spec: FeaturesSpec, on: Which, folder: Path, found: Conclusion) -> str:
    """The command that steers with the clearest survivor; empty where there is none."""
    if not found.survivors:
        return ""
    words = ["elicit", "steer"]
    words += ["--pair", spec.pair] if spec.pair else ["--base", f"{spec.base}"]
    words += [] if spec.pair else ["--post", f"{spec.post}"]
    for name in ("problems", "reasoning_cue", "direct_cue", "shown"):
        value = getattr(spec, name)
        words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    words += ["--templated"] if spec.templated else []
    words += ["--on", "post"] if on == "post" else []
    words += ["--sae", spec.sae or str(folder / SAE), "--feature", str(found.survivors[0])]
    return shlex.join([*words, "--out", f"{folder}-steer"])


def _remarks(spec: FeaturesSpec, asked: Asked, texts: Texts, sae: Sae) -> list[str]:
    """What a reader should know of the run."""
    told = []
    if len(asked.test) < USEFUL:
        told.append(
            f"There are {len(asked.test)} problems to test on: below {USEFUL}, intervals say "
            "little."
        )
    for who, n in texts.left_out.items():
        told.append(
            f"{n} of {len(asked.task)} texts ({who}) did not do what their prompt calls for and "
            "are not read."
        )
    if spec.sae is None:
        told.append(
            f"The SAE was trained in this run on {len(texts.part(test=False))} texts of the "
            f"problems to choose on. It is in the folder {SAE} of the run, and --sae loads it."
        )
    elif sae.published.fvu is None:
        told.append("The makers of the SAE publish no FVU, so its gate is the convention’s alone.")
    return told
