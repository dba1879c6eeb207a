"""The job behind `elicit features`: gates, candidates, what rejects them, transfer, the page."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from elicit.features import (
    Conclusion,
    HeldOut,
    Regeneration,
    Sae,
    TokenInjection,
    conclude,
)
from elicit.jobs._features.dictionary import SAE, sae_of
from elicit.jobs._features.find import Found, find
from elicit.jobs._features.inputs import Asked, Ready, ready, refuse_early
from elicit.jobs._features.spec import FeaturesSpec, Which
from elicit.jobs._features.summary import features_summary
from elicit.jobs._features.texts import Texts, write_texts
from elicit.jobs._frame import PagedRun, close, open_pair, running
from elicit.page import first
from elicit.pair import ModelPair
from elicit.results import Result, digest_json, sha256_file
from elicit.runs import NoProgress, Progress

USEFUL = 30
"""Problems to test on below which intervals say little."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FeaturesRun(PagedRun):
    """A finished run."""

    results: dict[str, Result]
    """Everything that was measured, by the name of its folder."""


def run_features(spec: FeaturesSpec, *, progress: Progress | None = None) -> FeaturesRun:
    """Find features of reasoning, try to reject them, and write the page about those that stay.

    Everything that can be refused is refused before a model runs. A killed run goes on where it
    stopped and ends with the same bytes.

    Args:
        spec: What to do.
        progress: Told what is being done.

    Raises:
        ElicitError: Something asked for is missing, damaged, or allows no finding.
    """
    progress = progress or NoProgress()
    asked = refuse_early(spec)
    pair = open_pair(spec, progress)
    prepared = ready(spec, pair, asked)
    with running(spec, pair, _identity(spec, asked, prepared)) as run:
        texts = write_texts(spec, pair, asked, prepared, run=run, progress=progress)
        sae = sae_of(spec, pair, prepared, texts, run=run, progress=progress)
        found = find(spec, pair, asked, prepared, texts, sae, run=run, progress=progress)
        conclusion = _concluded(pair, asked, prepared, found)
        results: dict[str, Result] = {"conclusion": conclusion, **found.results}
        for name, result in results.items():
            run.save_result(name, result)
        notes = [*pair.notes, *found.notes, *_remarks(spec, asked, texts, sae)]
        follow = _next(spec, prepared.on, run.path, conclusion)
        summary = features_summary(pair, sae, results, on=prepared.on, next=follow, notes=notes)
        after = [f"Next: {follow}"] if follow else []
        page = close(run, spec, summary, list(results.values()), [*notes, *after])
    return FeaturesRun(path=run.path, page=page, summary=summary, results=results)


def _identity(spec: FeaturesSpec, asked: Asked, prepared: Ready) -> dict[str, object]:
    """Digests of everything that the values depend on besides models and arguments."""
    return {
        "tasks": {asked.task.name: asked.task.digest},
        "sae": None if prepared.sae is None else prepared.sae.digest,
        "groups": None if spec.groups is None else sha256_file(spec.groups),
        "texts": digest_json([[t.text, t.problem, t.source] for t in asked.texts]),
    }


def _concluded(pair: ModelPair, asked: Asked, prepared: Ready, found: Found) -> Conclusion:
    results = list(found.results.values())
    return conclude(
        pair,
        found.sae,
        model=pair.base_name if prepared.on == "base" else pair.post_name,
        failed=list(found.failed.values()),
        n_choose=len(asked.choose),
        n_test=len(asked.test),
        held=first(results, HeldOut),
        injection=first(results, TokenInjection),
        again=first(results, Regeneration),
    )


def _next(spec: FeaturesSpec, on: Which, folder: Path, found: Conclusion) -> str:
    """The command that steers with the clearest feature that stays; empty where none does."""
    if not found.stays:
        return ""
    words = ["elicit", "steer"]
    words += ["--pair", spec.pair] if spec.pair else ["--base", f"{spec.base}"]
    words += [] if spec.pair else ["--post", f"{spec.post}"]
    for name in ("problems", "reasoning_cue", "direct_cue", "shown"):
        value = getattr(spec, name)
        words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    words += ["--templated"] if spec.templated else []
    words += ["--on", "post"] if on == "post" else []
    words += ["--sae", spec.sae or str(folder / SAE), "--feature", str(found.stays[0])]
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
