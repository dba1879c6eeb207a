"""The job behind `elicit exists`: the ladder of existence, written down with its page."""

from dataclasses import dataclass
from pathlib import Path

from elicit.report.baselines import texts_of
from elicit.report.cued import behaviour_of, task_of
from elicit.report.exists_sections import ladder_sentence
from elicit.report.exists_spec import ExistsSpec
from elicit.report.job import few_threads, open_pair
from elicit.report.page import render
from elicit.results import (
    CellsUnder,
    NoProgress,
    Progress,
    RunDirectory,
    canonical_json,
    installed_versions,
)
from elicit.verdicts import Ladder
from elicit.verdicts.existence import STRENGTHS, climb

USEFUL = 40
"""Problems to test on below which a loss can hardly be excluded."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ExistsRun:
    """A finished run."""

    path: Path
    """The run directory."""
    page: Path
    """The page to open."""
    summary: dict[str, object]
    """Content of `summary.json`."""
    ladder: Ladder
    """The ladder."""


def run_exists(spec: ExistsSpec, *, progress: Progress | None = None) -> ExistsRun:
    """Climb the ladder of existence and write the page about it.

    Everything that can be refused is refused before a model runs. A killed run goes on where it
    stopped and ends with the same bytes.

    Args:
        spec: What to do.
        progress: Told what is being done.

    Raises:
        ElicitError: Something asked for is missing, damaged, or allows no verdict.
    """
    progress = progress or NoProgress()
    task = task_of(spec)
    behaviour = behaviour_of(spec, task)
    progress.start(1, "loading both models")
    pair = open_pair(spec)
    progress.advance()
    progress.stop()
    run = RunDirectory.open(
        spec.out,
        kind="exists",
        arguments=spec.arguments(),
        identity={
            "base": pair.base_digest,
            "post": pair.post_digest,
            "tasks": {task.name: task.digest},
            "baselines": dict(texts_of(spec.baselines)),
        },
        fresh=spec.fresh,
    )
    with run, few_threads(pair):
        # A run that is repeated or resumed from its own file must not discard itself.
        spec.model_copy(update={"fresh": False}).to_yaml(run.path / "run.yaml")
        ladder = climb(
            pair,
            behaviour,
            task,
            sites=spec.sites or None,
            strengths=spec.strengths or STRENGTHS,
            choose_share=spec.choose_share,
            n_random=spec.n_random,
            n_redrawn=spec.n_redrawn,
            margin=spec.margin,
            least_share=spec.least_share,
            least_effect=spec.least_effect,
            level=spec.level,
            n_resamples=spec.n_resamples,
            extractor=spec.extractor,
            max_new_tokens=spec.max_new_tokens,
            templated=spec.templated,
            seed=spec.seed,
            max_tokens=spec.max_tokens,
            cells=CellsUnder(run, "ladder"),
            progress=progress,
        )
        run.save_result("ladder", ladder)
        notes = [*pair.notes]
        if ladder.n_test < USEFUL:
            notes.append(
                f"There are {ladder.n_test} problems to test on: below {USEFUL}, a loss of a tenth "
                "can hardly be excluded, and rungs that must exclude one stay under-powered."
            )
        summary: dict[str, object] = {
            "elicit": installed_versions()["elicit"],
            "pair": {
                "base": pair.base_name,
                "post": pair.post_name,
                "base_digest": pair.base_digest,
                "post_digest": pair.post_digest,
                "identical": pair.identical,
            },
            "sentence": ladder_sentence(ladder),
            "n_layers": pair.n_layers,
            **ladder.summary(),
            "notes": notes,
        }
        run.write_text("summary.json", canonical_json(summary).decode())
        page = run.write_text(
            "report.html",
            render(
                [ladder],
                notes=notes,
                config=spec.model_dump(
                    mode="json", exclude={"out", "fresh"}, exclude_defaults=True
                ),
                command="exists",
            ),
        )
        run.finish()
    return ExistsRun(path=run.path, page=page, summary=summary, ladder=ladder)
