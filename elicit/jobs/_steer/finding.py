"""From options to arms: a computed, trained or saved direction with its controls."""

from collections.abc import Sequence
from dataclasses import replace

from elicit import organisms
from elicit.directions import Direction, DirectionSet, TrainedVector, matched_controls, train_vector
from elicit.edits import shape_of
from elicit.elicitation import Arm, direction_arms
from elicit.jobs._spec import SpecError
from elicit.jobs._steer.feature import feature_source
from elicit.jobs._steer.source import Loaded, Looked, Source, between, model_of, where_of
from elicit.jobs._steer.spec import SteerSpec
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.runs import Execution, NoProgress, Progress
from elicit.sites import Site, parse_site, resolve_sites
from elicit.tasks import Task


def find_source(
    spec: SteerSpec,
    pair: ModelPair,
    loaded: Loaded,
    looked: Looked,
    choosing: Task,
    *,
    progress: Progress | None = None,
) -> Source:
    """Steering arms, from a direction computed on the selection problems or loaded from disk.

    Raises:
        ElicitError: The two kinds of prompts do not differ, problems have no trace to train on, or
            an SAE or direction is of another model or width.
    """
    if loaded.sae is not None:
        return feature_source(spec, pair, loaded.sae, looked, choosing, progress=progress)
    if loaded.vector is not None:
        return _saved(spec, pair, loaded.vector)
    if spec.source == "trained":
        return _trained(spec, pair, choosing, progress)
    return _contrasted(spec, pair, looked, choosing, progress)


def _sites(spec: SteerSpec, pair: ModelPair) -> tuple[Site, ...]:
    """Candidate sites."""
    shape = shape_of(model_of(spec, pair))
    return resolve_sites(spec.sites or ("resid_post",), shape)


def _arms(spec: SteerSpec, direction: Direction) -> tuple[Arm, ...]:
    """A direction and its norm-matched controls."""
    controls = matched_controls(direction, n_random=spec.n_random, seed=spec.seed)
    return direction_arms(direction, where=where_of(spec), controls=controls)


def _contrasted(
    spec: SteerSpec, pair: ModelPair, looked: Looked, choosing: Task, progress: Progress | None
) -> Source:
    """The contrast direction between two kinds of prompts, at every candidate site."""
    found = between(spec, pair, looked, choosing, _sites(spec, pair), progress)
    each = [found.at(parse_site(name)) for name in found.site]
    return _of(spec, each, results={"directions": found})


def _of(
    spec: SteerSpec,
    directions: Sequence[Direction],
    *,
    results: dict[str, Result] | None = None,
    notes: Sequence[str] = (),
) -> Source:
    """A source of one or several directions of one method."""
    return Source(
        candidates=tuple(_arms(spec, one) for one in directions),
        directions=tuple(directions),
        results=results or {},
        notes=tuple(notes),
    )


def _saved(spec: SteerSpec, pair: ModelPair, found: Result) -> Source:
    """One or several directions from disk."""
    assert isinstance(found, Direction | DirectionSet | TrainedVector)
    notes = []
    if found.model_digest not in (pair.base_digest, pair.post_digest):
        notes.append(
            f"The vector was computed on {found.model}, which is neither model of this pair: its "
            "effect here may be that of any vector of its norm."
        )
    if isinstance(found, TrainedVector):
        return _of(spec, [found.direction], notes=notes)
    if isinstance(found, Direction):
        return _of(spec, [found], notes=notes)
    wanted = _sites(spec, pair) if spec.sites else [parse_site(name) for name in found.site]
    return _of(spec, [found.at(site) for site in wanted], notes=notes)


def _trained(spec: SteerSpec, pair: ModelPair, choosing: Task, progress: Progress | None) -> Source:
    """A vector trained to raise the likelihood of the problems' traces."""
    if spec.pair is not None:
        solutions = organisms.traced(choosing)
    else:
        bare = [problem.id for problem in choosing if problem.trace is None]
        if bare:
            raise SpecError(
                f"problem {bare[0]!r} and {len(bare) - 1} more have no trace, so a vector "
                "cannot be trained. Add a trace to each line, or use method='diff-mean'."
            )
        solutions = Task(
            name=f"{choosing.name}, traced",
            problems=tuple(
                replace(p, answer=str(p.trace).strip(), candidates=None) for p in choosing
            ),
        )
    (site,) = _sites(spec, pair)
    found = train_vector(
        pair.side(spec.on),
        solutions,
        site=site,
        where=where_of(spec),
        steps=spec.steps,
        seed=spec.seed,
        execution=Execution(
            max_tokens=min(spec.max_tokens, 2048), progress=progress or NoProgress()
        ),
    )
    return Source(
        candidates=(_arms(spec, found.direction),),
        directions=(found.direction,),
        results={"trained": found},
        facts={"log_prob_before": found.log_prob_before, "log_prob_after": found.log_prob_after},
    )
