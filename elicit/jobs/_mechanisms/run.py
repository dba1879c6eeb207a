"""The job behind `elicit mechanisms`: what elicits the behaviour, and where it came from."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from elicit.elicitation import Bench, Mechanism, Tried, solved_overlap
from elicit.jobs._asked import GRADED, Asked
from elicit.jobs._baselines import texts_of
from elicit.jobs._frame import Job, Outcome, Prepared, Run, Work, execute
from elicit.jobs._groups import grouped, grouped_summary
from elicit.jobs._mechanisms.arms import means_of
from elicit.jobs._mechanisms.cost import MECHANISMS_COSTING
from elicit.jobs._mechanisms.evidence import Beside, host_name, measure_beside, open_host
from elicit.jobs._mechanisms.inputs import MechanismInputs, load_inputs
from elicit.jobs._mechanisms.known import known_pair
from elicit.jobs._mechanisms.names import CHEAP
from elicit.jobs._mechanisms.shifts import agreement_of, rows_of_post
from elicit.jobs._mechanisms.spec import MechanismsSpec
from elicit.jobs._mechanisms.trying import Tries, both_models, try_all
from elicit.pair import ModelPair
from elicit.results import ElicitError, Result
from elicit.rollouts import check_prompts
from elicit.runs import Progress
from elicit.stats import outcome_difference
from elicit.traces import EquationsHold
from elicit.verdicts import Evidence, Origin, VerdictError, origin

_BY_CONTENT: dict[str, Callable[[Any], object]] = {
    "feature": lambda means: means.sae.function_digest,
    "proxy": lambda means: [means.proxies.base_digest, means.proxies.post_digest],
}
"""What stands for the content of a file that a mechanism reads, by the mechanism's name."""
USEFUL = 60
"""Test problems below which the verdict is mostly undecided."""


def mechanisms(spec: MechanismsSpec, *, progress: Progress | None = None) -> Run:
    """Try what may elicit the behaviour from base, judge where it came from, and write the page.

    Invalid input is refused before a model runs. A killed run resumes and ends with the same bytes.
    The page, `summary.json`, `run.yaml` and every result are left in `spec.out`.

    Raises:
        ElicitError: An input is missing, damaged, or no mechanism could be tried.
    """
    return execute(JOB, spec, progress)


def _prepare(
    spec: MechanismsSpec, pair: ModelPair, checked: MechanismInputs
) -> Prepared[MechanismInputs]:
    for name in ("base", "post"):
        for task in (checked.fit, checked.choose, checked.test):
            check_prompts(pair.side(name), task, templated=spec.templated)
    # What does not fit the models is refused before the run begins, and counts by its content.
    other = {name: one for name, one in means_of(spec, pair).items() if name in _BY_CONTENT}
    host = open_host(spec, pair)
    identity = {
        **checked.identity,
        "baselines": dict(texts_of(spec.baselines)),
        "mechanisms": {name: _BY_CONTENT[name](one) for name, one in other.items()},
        "host": None if host is None else host.digest,
    }
    return Prepared(checked, identity, checked.notes, _asked)


def _asked(inputs: MechanismInputs) -> list[Asked]:
    score = f"{GRADED} Mechanisms were fitted and chosen on other problems."
    return [Asked(name="held-out problems", score=score, task=inputs.test)]


def _measure(work: Work[MechanismsSpec, MechanismInputs]) -> Outcome:
    spec = work.spec
    bench = bench_of(work)
    with work.stage("both models"):
        base, post = both_models(bench)
        bench = replace(bench, read_on=rows_of_post(bench))
    means, stage = means_of(spec, work.pair), work.stage
    gap = _has_gap(base, post, bench)
    if not gap:
        # Nothing can be a share of no gap; what costs little is still shown, or at least a prompt.
        cheap = {name: one for name, one in means.items() if name in CHEAP}
        if not cheap:
            cheap = means_of(spec.model_copy(update={"arms": ("prompt",)}), work.pair)
            stage = contextlib.nullcontext  # none that was announced
        means = cheap
    found: list[Mechanism] = []

    def shown(mechanism: Mechanism) -> None:
        found.append(mechanism)
        work.publish(Outcome(results=_named(found), summary={}))

    tries = try_all(means, bench, base=base, post=post, stage=stage, after=shown)
    if not tries.mechanisms:
        raise VerdictError(
            "no mechanism could be tried, so nothing can be said of what base can do. "
            + " ".join(tries.notes)
        )
    known: dict[str, Origin] = {}
    untried: list[str] = []
    for truth in spec.known if gap else ():
        with work.stage(f"known pair: {truth}"):
            try:
                known[truth] = known_pair(
                    spec, truth, work.execution, has_skill=known.get("elicited")
                )
            except ElicitError as error:
                untried.append(f"The pair of known truth {truth} was not tried: {error}")
    with work.stage("beside"):
        beside = Beside()
        if gap:
            beside = measure_beside(spec, bench, open_host(spec, work.pair))
        agreement = agreement_of(bench, tries.states)
    verdict = origin(
        work.pair,
        tries.mechanisms,
        base=base,
        post=post,
        evidence=Evidence(
            text_bits=beside.text_bits,
            forced=beside.forced,
            transplant=beside.moved,
            learning_bits=beside.learning_bits,
            has_skill=known.get("elicited"),
            lacks_skill=known.get("created"),
        ),
        inference=spec.inference,
    )
    results: dict[str, Result] = {"origin": verdict, **_named(tries.mechanisms)}
    overlap = _overlap(tries.mechanisms, base, bench)
    results |= {"overlap": overlap} if overlap is not None else {}
    results |= {"agreement": agreement} if agreement is not None else {}
    results |= beside.results
    results |= tries.details
    rights = {"base": base.right, "post": post.right}
    rights |= {one.name: one.right.mean(1) for one in tries.mechanisms if one.sees == "nothing"}
    by, said = grouped(spec, bench.test, rights, of="right answers")
    results |= by
    results |= {f"known_{truth}": one for truth, one in known.items()}
    return Outcome(
        results=results,
        summary={**verdict.summary(), **grouped_summary(by)},
        notes=[*_notes(spec, bench, tries, beside, gap), *untried, *said],
        shown=tuple(name for name in results if not name.startswith("known_")),
    )


JOB = Job(check=load_inputs, prepare=_prepare, measure=_measure, costing=MECHANISMS_COSTING)


def bench_of(work: Work[MechanismsSpec, MechanismInputs]) -> Bench:
    """Problems, models and limits of a run.

    Args:
        work: The run.
    """
    spec, inputs = work.spec, work.inputs
    checker = EquationsHold(modulus=10 if spec.embedded else None)
    return Bench(
        pair=work.pair,
        fit=inputs.fit,
        choose=inputs.choose,
        test=inputs.test,
        behaviour=inputs.behaviour,
        generation=spec.generation,
        checker=None if spec.checker == "none" else checker,
        facts=inputs.facts,
        seeds=spec.run_seeds,
        n_samples=spec.samples,
        budget=spec.training_tokens,
        inference=spec.inference,
        execution=work.execution,
    )


def _named(found: Sequence[Mechanism]) -> dict[str, Result]:
    return {f"mechanism_{one.name}": one for one in found}


def _has_gap(base: Tried, post: Tried, bench: Bench) -> bool:
    """Whether post is clearly better."""
    if bench.pair.identical:
        return False
    level = bench.inference.level
    # The interval that the verdict reads.
    return bool(outcome_difference(post.right.numpy(), base.right.numpy(), level=level)[1] > 0)


def _overlap(found: Sequence[Mechanism], base: Tried, bench: Bench) -> Result | None:
    """Overlap of newly solved problems, among what was told at most the answers."""
    right = {
        one.name: one.right.mean(1)
        for one in found
        if one.sees in ("nothing", "answers") and not one.control
    }
    if len(right) < 2:
        return None
    return solved_overlap(base.right, right, [problem.difficulty for problem in bench.test])


def _notes(
    spec: MechanismsSpec, bench: Bench, tries: Tries, beside: Beside, gap: bool
) -> list[str]:
    """Remarks for the page."""
    notes = [*tries.notes, *beside.notes]
    n = len(bench.test)
    if not gap:
        notes.insert(
            0, "Post is not clearly better than base, so that nothing was trained or compared."
        )
    elif n < USEFUL:
        notes.append(f"There are {n} test problems: below {USEFUL}, most verdicts stay undecided.")
    if gap and not spec.known:
        notes.append(
            "No pair of known truth was tried, so nothing can be called created or not elicited."
        )
    if gap and host_name(spec) is None:
        notes.append(
            "No host was given, so whether post’s difference carries the skill to a model "
            "that lacks it was not asked."
        )
    if spec.embedded and gap:
        notes.append(
            f"{len(bench.fit)} fresh problems of the pair’s language were drawn to train on."
        )
    return notes
