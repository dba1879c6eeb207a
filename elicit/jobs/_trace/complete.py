"""The scorecard once more without the texts that were cut before their writer ended them."""

from collections.abc import Mapping
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from elicit.jobs._frame import Work
from elicit.jobs._trace.further import reach_of
from elicit.jobs._trace.inputs import TraceInputs
from elicit.jobs._trace.spec import TraceSpec
from elicit.rollouts import Rollouts
from elicit.traces import (
    Dependence,
    Readings,
    Thoughts,
    TraceError,
    discrimination,
    information,
)
from elicit.verdicts import Scorecard, scorecard


def cut_short(thoughts: Mapping[str, Thoughts], written: Mapping[str, Rollouts]) -> set[str]:
    """Problems on which a text of either model was cut before its end.

    Args:
        thoughts: What each model reads.
        written: Texts, also those without a thought.
    """
    read = {item.problem.id for each in thoughts.values() for item in each.items if item.truncated}
    return read | {
        texts.problem[int(texts.place[row])]
        for texts in written.values()
        for row in texts.truncated.nonzero()[:, 0].tolist()
    }


def complete_card(
    work: Work[TraceSpec, TraceInputs],
    card: Scorecard,
    readings: Readings,
    dependence: Dependence,
    solved: Float[Tensor, "reading problem"] | None,
    samples: Mapping[str, Rollouts],
    cut: set[str],
) -> Scorecard | None:
    """The card of the problems whose texts all ended by themselves.

    None where no text was cut, or too few problems are left. Of `coverage`, the problems with a cut
    sample are left out, of everything else those with a cut thought.

    Args:
        work: The job.
        card: The card of all texts.
        readings: Base's reading and post's.
        dependence: What altered thoughts did.
        solved: Whether each model's own answer is right, problems of `readings` first.
        samples: Several samples of each problem; may be empty.
        cut: Problems with a cut thought.
    """
    unfinished = cut_short({}, samples)
    if not cut and not unfinished:
        return None
    inference = work.spec.inference
    kept = [problem for problem in readings.problem if problem not in cut]
    try:
        few = readings.only(kept)
    except TraceError:
        return None
    finished = len(work.inputs.task) - len(unfinished)
    reached = reach_of(work, samples, without=unfinished) if samples and finished >= 2 else None
    others = [p.id for p in work.inputs.task if p.id not in set(readings.problem)]
    columns = [i for i, name in enumerate([*readings.problem, *others]) if name not in cut]
    made = scorecard(
        work.pair,
        dependence=dependence.only(kept, inference=inference),
        information=information(work.pair, few, inference=inference),
        discrimination=discrimination(work.pair, few, inference=inference),
        solved=None if solved is None else solved[:, columns],
        reach=reached,
        source=card.source,
        inference=inference,
    )
    note = made.note
    if samples and reached is None:
        n = "1 problem has" if finished else "no problem has"
        note = (*note[:-1], f"{n} no cut sample")
    return replace(made, note=note, n_cut=len(cut | unfinished))
