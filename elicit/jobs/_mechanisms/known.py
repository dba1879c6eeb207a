"""The same mechanisms on pairs of known truth: what they can do, and what they cannot fake."""

import contextlib
import math

from elicit import organisms
from elicit.elicitation import Bench
from elicit.jobs._mechanisms.arms import means_of
from elicit.jobs._mechanisms.evidence import learning_bits
from elicit.jobs._mechanisms.inputs import fresh_problems
from elicit.jobs._mechanisms.spec import ControlName, MechanismsSpec
from elicit.jobs._mechanisms.trying import both_models, try_all
from elicit.pair import load_pair
from elicit.runs import Execution
from elicit.tasks import load_task
from elicit.traces import EquationsHold
from elicit.verdicts import Evidence, Origin, origin

PAIRS: dict[ControlName, str] = {"elicited": "organism:rl", "created": "organism:created"}
"""Embedded pair of each known truth."""


def known_pair(
    spec: MechanismsSpec,
    truth: ControlName,
    execution: Execution,
    *,
    has_skill: Origin | None = None,
) -> Origin:
    """The verdict on an embedded pair by the mechanisms that the verdict rests on.

    Mechanisms, settings, limits and the number of problems are those of the run, as far as the
    embedded pair has problems; each is trained once.

    Args:
        spec: Options of the run.
        truth: Which pair.
        execution: Checkpoint and progress.
        has_skill: The verdict on the pair that is known to have the skill.

    Raises:
        ElicitError: No mechanism could be tried on it.
    """
    own = control_spec(spec, truth)
    bench = _bench(own, spec, execution.scoped(f"known {truth}"))
    base, post = both_models(bench)
    means = means_of(own, bench.pair)
    tries = try_all(means, bench, base=base, post=post, stage=lambda name: contextlib.nullcontext())
    return origin(
        bench.pair,
        tries.mechanisms,
        base=base,
        post=post,
        evidence=Evidence(
            learning_bits=learning_bits(bench) if spec.learns else math.nan, has_skill=has_skill
        ),
        inference=spec.inference,
    )


def control_spec(spec: MechanismsSpec, truth: ControlName) -> MechanismsSpec:
    """Options under which the mechanisms of a run are tried on a pair of known truth.

    Args:
        spec: Options of the run.
        truth: Which pair.
    """
    return MechanismsSpec(
        pair=PAIRS[truth],
        arms=spec.repeated,
        seeds=1,
        training_tokens=spec.training_tokens,
        samples=0,
        examples=spec.examples,
        controls=(),
        seed=spec.seed,
        level=spec.level,
        n_resamples=spec.n_resamples,
        out=spec.out,
    )


def _bench(own: MechanismsSpec, spec: MechanismsSpec, execution: Execution) -> Bench:
    pair = organisms.resolve(str(own.pair))
    task = load_task(pair.problems, name="problems")
    choose, test = task.split((0.5, 0.5), own.seed)
    if spec.limit is not None:
        n = max(2, spec.limit // 2)
        choose, test = (part.subset(min(len(part), n), own.seed) for part in (choose, test))
    return Bench(
        pair=load_pair(pair.base.name, pair.post.name),
        fit=fresh_problems(task, own.seed),
        choose=choose,
        test=test,
        behaviour=organisms.trace_behaviour(),
        generation=own.generation,
        checker=EquationsHold(modulus=10),
        seeds=own.run_seeds,
        n_samples=0,
        budget=own.training_tokens,
        inference=own.inference,
        execution=execution,
    )
