"""The job behind `elicit graft`: scores of one model with parts of the other."""

from elicit.grafting import sweep_parts
from elicit.jobs._frame import Job, Outcome, Prepared, Run, Work, execute
from elicit.jobs._graft.spec import GraftSpec
from elicit.jobs._groups import grouped_summary
from elicit.jobs._report.cost import GRAFT_COSTING
from elicit.jobs._report.scores import Scores, load_scores, prepare_scores, scores_by_group
from elicit.pair import ModelPair
from elicit.runs import Progress
from elicit.weights import Part, part, parts_of


def graft(spec: GraftSpec, *, progress: Progress | None = None) -> Run:
    """Score both models, and one of them with parts of the other.

    Inputs are validated before a model runs. A killed run resumes and ends with the same bytes.
    Writes the page, `summary.json`, `run.yaml` and every result to `spec.out`.

    Raises:
        ElicitError: An input is missing, damaged, or cannot be compared.
    """
    return execute(JOB, spec, progress)


def _prepare(
    spec: GraftSpec, pair: ModelPair, checked: Scores
) -> Prepared[tuple[Scores, list[Part]]]:
    parts = [part(pair, name) for name in dict.fromkeys(spec.parts)]
    scores = prepare_scores(spec, pair, checked)
    inputs = (checked, parts or [*parts_of(pair, "layer")])
    return Prepared(inputs, scores.identity, scores.notes)


def _sweep(work: Work[GraftSpec, tuple[Scores, list[Part]]]) -> Outcome:
    scores, parts = work.inputs
    with work.stage("moving parts"):
        sweep = sweep_parts(
            work.pair,
            scores.all,
            parts,
            work.spec.direction,
            inference=work.spec.inference,
            execution=work.execution,
        )
    found, notes = scores_by_group(work.spec, work.pair, scores, work.execution)
    summary = {"level": sweep.level, **sweep.summary(), **grouped_summary(found)}
    return Outcome(results={"graft": sweep, **found}, summary=summary, notes=notes)


JOB = Job(check=load_scores, prepare=_prepare, measure=_sweep, costing=GRAFT_COSTING)
