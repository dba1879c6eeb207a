"""The job behind `elicit graft`: one model with parts of the other, scored and written down."""

from elicit.grafting import sweep_parts
from elicit.jobs._frame import Job, Outcome, Prepared, Run, Work, execute
from elicit.jobs._graft.spec import GraftSpec
from elicit.jobs._report.run import Scores, load_scores, prepare_scores
from elicit.pair import ModelPair
from elicit.runs import Progress
from elicit.weights import Part, part, parts_of


def graft(spec: GraftSpec, *, progress: Progress | None = None) -> Run:
    """Score both models, and one of them with parts of the other.

    Everything that can be refused is refused before a model runs. A killed run continues where it
    stopped and ends with the same bytes. Leaves the page, `summary.json`, `run.yaml` and every
    result in `spec.out`.

    Args:
        spec: What to do.
        progress: Receives what is being done.

    Raises:
        ElicitError: Something is missing, damaged, or cannot be compared.
    """
    return execute(_JOB, spec, progress)


def _prepare(
    spec: GraftSpec, pair: ModelPair, checked: Scores
) -> Prepared[tuple[Scores, list[Part]]]:
    parts = [part(pair, name) for name in dict.fromkeys(spec.parts)]
    scores = prepare_scores(spec, pair, checked)
    return Prepared((checked, parts or [*parts_of(pair, "layer")]), scores.identity)


def _sweep(work: Work[GraftSpec, tuple[Scores, list[Part]]]) -> Outcome:
    scores, parts = work.inputs
    sweep = sweep_parts(
        work.pair,
        scores.all,
        parts,
        work.spec.direction,
        inference=work.spec.inference,
        execution=work.execution,
    )
    return Outcome(results={"graft": sweep}, summary={"level": sweep.level, **sweep.summary()})


_JOB = Job(check=load_scores, prepare=_prepare, measure=_sweep)
