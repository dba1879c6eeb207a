"""The job behind `elicit exists`: the ladder of existence, written down with its page."""

from dataclasses import dataclass

from elicit.jobs._baselines import texts_of
from elicit.jobs._cued import behaviour_of, task_of
from elicit.jobs._exists.spec import ExistsSpec
from elicit.jobs._frame import PagedRun, close, open_pair, origin, running
from elicit.page.verdicts import ladder_sentence
from elicit.rollouts import Generation
from elicit.runs import Execution, NoProgress, Progress, ScopedCheckpoint
from elicit.verdicts import Ladder
from elicit.verdicts.existence import STRENGTHS, climb

USEFUL = 40
"""Problems to test on below which a loss can hardly be excluded."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ExistsRun(PagedRun):
    """A finished run."""

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
    pair = open_pair(spec, progress)
    with running(
        spec,
        pair,
        {
            "tasks": {task.name: task.digest},
            "baselines": dict(texts_of(spec.baselines)),
        },
    ) as run:
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
            inference=spec.inference,
            generation=Generation(
                extractor=spec.extractor,
                max_new_tokens=spec.max_new_tokens,
                templated=spec.templated,
            ),
            execution=Execution(
                max_tokens=spec.max_tokens,
                checkpoint=ScopedCheckpoint(run, "ladder"),
                progress=progress,
            ),
        )
        run.save_result("ladder", ladder)
        notes = [*pair.notes]
        if ladder.n_test < USEFUL:
            notes.append(
                f"There are {ladder.n_test} problems to test on: below {USEFUL}, a loss of a tenth "
                "can hardly be excluded, and rungs that must exclude one stay under-powered."
            )
        summary: dict[str, object] = {
            **origin(pair),
            "sentence": ladder_sentence(ladder),
            "n_layers": pair.n_layers,
            **ladder.summary(),
            "notes": notes,
        }
        page = close(run, spec, summary, [ladder], notes)
    return ExistsRun(path=run.path, page=page, summary=summary, ladder=ladder)
