"""What `elicit steer` steers with: a direction or a feature, with what stands beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from elicit.directions import (
    Direction,
    DirectionError,
    DirectionSet,
    TrainedVector,
    diff_mean,
    matched_controls,
    paired_pca,
    traced,
    train_vector,
)
from elicit.edits import Where, everywhere, generated, last, shape_of
from elicit.elicitation import Arm, LiveFeatures, direction_arms, feature_arms
from elicit.elicitation.feature_arms import TIMES
from elicit.elicitation.pushes import How
from elicit.features import Sae, fidelity, load_sae
from elicit.features.reading import checked
from elicit.pair import ModelPair
from elicit.pair.handles import Bridge
from elicit.report.exists_job import behaviour_of
from elicit.report.spec import SpecError
from elicit.report.steer_spec import SteerSpec
from elicit.results import NoProgress, Progress, Result, digest_tensors, load_result
from elicit.sites import Site, expand, parse_site
from elicit.tasks import Task
from elicit.verdicts.behaviours import NEGATIVE, PLAIN, REASONS, longer_than, matching

MAX_FVU = 0.5
"""Unexplained variance above which a page warns that an SAE hardly holds what it reads."""


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What is looked for in texts, and the problems under words that call for it."""

    name: str
    """What figures call it."""
    shown: Callable[[str], bool]
    """Whether a text shows it."""
    wordings: dict[str, Task]
    """All problems in every other way of asking, by its name; none without cues."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """What is steered with, one set of arms for each place that comes into question."""

    candidates: tuple[tuple[Arm, ...], ...]
    """Arms of each place; more than one where the place is chosen by what it does."""
    directions: tuple[Direction, ...]
    """The vector of each."""
    results: dict[str, Result] = field(default_factory=dict)
    """What was measured on the way, by the name of its folder."""
    facts: dict[str, object] = field(default_factory=dict)
    """What the summary says of it."""
    notes: tuple[str, ...] = ()
    """Remarks."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Loaded:
    """What was read from disk before any model was: a vector or an SAE, or neither."""

    vector: Result | None = None
    sae: Sae | None = None

    @property
    def digests(self) -> dict[str, str]:
        """What tells a run with it from runs with others."""
        found: dict[str, str] = {}
        if self.sae is not None:
            found["sae"] = self.sae.function_digest
        if isinstance(self.vector, Direction | DirectionSet | TrainedVector):
            found["vector"] = digest_tensors({"vector": self.vector.vector})
        return found


def looked_for(spec: SteerSpec, task: Task) -> Looked:
    """What is looked for, and other wordings of the problems.

    Args:
        spec: What to do.
        task: All problems.

    Raises:
        VerdictError: The cues are the same, or the mark is no regular expression.
    """
    if spec.pair is None and spec.reasoning_cue is None:
        shown = longer_than(REASONS - 1) if spec.shown is None else matching(spec.shown)
        return Looked(name="reasons before it answers", shown=shown, wordings={})
    behaviour = behaviour_of(spec)
    asked = behaviour.asked(task)
    return Looked(
        name=behaviour.name,
        shown=behaviour.shown,
        wordings={name: asked[name] for name in asked if name != PLAIN},
    )


def load_source(spec: SteerSpec) -> Loaded:
    """Read what the user named, before any model is loaded for it.

    Args:
        spec: What to do.

    Raises:
        SpecError: The folder holds another result than a direction.
        ResultError: It holds no whole result.
        FeatureError: There is no such SAE, or it has no such feature.
    """
    if spec.source == "feature":
        assert spec.sae is not None and spec.feature is not None
        sae = load_sae(spec.sae, device=spec.device)
        sae.check_features((spec.feature,))
        sae.check_reconstructs()
        return Loaded(sae=sae)
    if spec.vector is None:
        return Loaded()
    found = load_result(spec.vector)
    if not isinstance(found, Direction | DirectionSet | TrainedVector):
        raise SpecError(
            f"vector names {spec.vector}, which holds a {type(found).__name__}, and nothing can be "
            "steered by that. Name the folder of a Direction, a DirectionSet or a TrainedVector."
        )
    if spec.sites and not isinstance(found, DirectionSet):
        raise SpecError(
            f"sites are {', '.join(spec.sites)}, and the vector in {spec.vector} belongs to one "
            "site, so they would be ignored. Leave sites out."
        )
    return Loaded(vector=found)


def find_source(
    spec: SteerSpec,
    pair: ModelPair,
    loaded: Loaded,
    looked: Looked,
    choosing: Task,
    *,
    progress: Progress | None = None,
) -> Source:
    """What is steered with, found on the problems to choose on.

    Args:
        spec: What to do.
        pair: The two models.
        loaded: What was read from disk.
        looked: What is looked for.
        choosing: The problems.
        progress: Told how far it is.

    Raises:
        ElicitError: The prompts are no contrast, problems have no trace to train on, or an SAE or
            a direction is of another model or width.
    """
    if loaded.sae is not None:
        return _feature(spec, pair, loaded.sae, looked, choosing, progress)
    if loaded.vector is not None:
        return _saved(spec, pair, loaded.vector)
    if spec.source == "trained":
        return _trained(spec, pair, choosing, progress)
    return _contrasted(spec, pair, looked, choosing, progress)


def where_of(spec: SteerSpec) -> Where:
    """For which tokens.

    Args:
        spec: What to do.
    """
    made = {"last": last(), "first": generated(0, 0), "generated": generated(), "all": everywhere()}
    return made[spec.where]


def model_of(spec: SteerSpec, pair: ModelPair) -> Bridge:
    """The model that is steered.

    Args:
        spec: What to do.
        pair: The two models.
    """
    return pair.base if spec.on == "base" else pair.post


def _sites(spec: SteerSpec, pair: ModelPair) -> tuple[Site, ...]:
    """Places that come into question."""
    shape = shape_of(model_of(spec, pair))
    named = [site for name in spec.sites or ("resid_post",) for site in expand(name, shape)]
    return tuple(dict.fromkeys(named))


def _arms(spec: SteerSpec, direction: Direction) -> tuple[Arm, ...]:
    """A direction with controls of its norm."""
    controls = matched_controls(direction, n_random=spec.n_random, seed=spec.seed)
    return direction_arms(direction, where=where_of(spec), controls=controls)


def _between(
    spec: SteerSpec,
    pair: ModelPair,
    looked: Looked,
    choosing: Task,
    sites: Sequence[Site],
    progress: Progress | None,
) -> DirectionSet:
    """Directions between prompts that call for it and prompts that do not."""
    ids = {problem.id for problem in choosing}
    positive, negative = (
        replace(task, problems=tuple(p for p in task if p.id in ids))
        for task in list(looked.wordings.values())[:2]
    )
    find = paired_pca if spec.source == "pca" else diff_mean
    return find(
        model_of(spec, pair),
        pair.alignment,
        positive,
        negative,
        at=sites,
        templated=spec.templated,
        level=spec.level,
        n_resamples=spec.n_resamples,
        seed=spec.seed,
        max_tokens=spec.max_tokens,
        progress=progress,
    )


def _contrasted(
    spec: SteerSpec,
    pair: ModelPair,
    looked: Looked,
    choosing: Task,
    progress: Progress | None,
) -> Source:
    """A direction between two kinds of prompts, at every site that comes into question."""
    found = _between(spec, pair, looked, choosing, _sites(spec, pair), progress)
    each = [found.at(parse_site(name)) for name in found.site]
    return _of(spec, each, results={"directions": found})


def _of(
    spec: SteerSpec,
    directions: Sequence[Direction],
    *,
    results: dict[str, Result] | None = None,
    notes: Sequence[str] = (),
) -> Source:
    """A source of one direction or several of one kind."""
    return Source(
        candidates=tuple(_arms(spec, one) for one in directions),
        directions=tuple(directions),
        results=results or {},
        notes=tuple(notes),
    )


def _saved(spec: SteerSpec, pair: ModelPair, found: Result) -> Source:
    """A direction from disk, or several."""
    assert isinstance(found, Direction | DirectionSet | TrainedVector)
    notes = []
    if found.model_digest not in (pair.base_digest, pair.post_digest):
        notes.append(
            f"The vector was found on {found.model}, which is neither model of this pair: what it "
            "does here may be that of any vector of its size."
        )
    if isinstance(found, TrainedVector):
        return _of(spec, [found.direction], notes=notes)
    if isinstance(found, Direction):
        return _of(spec, [found], notes=notes)
    wanted = _sites(spec, pair) if spec.sites else [parse_site(name) for name in found.site]
    return _of(spec, [found.at(site) for site in wanted], notes=notes)


def _trained(spec: SteerSpec, pair: ModelPair, choosing: Task, progress: Progress | None) -> Source:
    """A vector trained to make the problems' own traces probable."""
    if spec.pair is not None:
        solutions = traced(choosing)
    else:
        bare = [problem.id for problem in choosing if problem.trace is None]
        if bare:
            raise SpecError(
                f"problem {bare[0]!r} and {len(bare) - 1} more have no trace, so there is no text "
                "to train a vector on. Add a trace to each line, or use --method diff-mean."
            )
        solutions = Task(
            name=f"{choosing.name}, traced",
            problems=tuple(
                replace(p, answer=str(p.trace).strip(), candidates=None) for p in choosing
            ),
        )
    (site,) = _sites(spec, pair)
    found = train_vector(
        model_of(spec, pair),
        pair.alignment,
        solutions,
        at=site,
        where=where_of(spec),
        steps=spec.steps,
        seed=spec.seed,
        max_tokens=min(spec.max_tokens, 2048),
        progress=progress,
    )
    return Source(
        candidates=(_arms(spec, found.direction),),
        directions=(found.direction,),
        results={"trained": found},
        facts={
            "log_prob_before": found.log_prob_before,
            "log_prob_after": found.log_prob_after,
        },
    )


def _feature(
    spec: SteerSpec,
    pair: ModelPair,
    sae: Sae,
    looked: Looked,
    choosing: Task,
    progress: Progress | None,
) -> Source:
    """A feature of an SAE, beside features that fire as often and the plainer way."""
    assert spec.feature is not None
    checked(pair, sae, spec.on)
    rows = _rows(spec, pair, looked, choosing)
    found = fidelity(
        pair, sae, rows, on=spec.on, max_tokens=spec.max_tokens, progress=progress or NoProgress()
    )
    rate = float(found.density[spec.feature])
    notes = [
        f"Feature {spec.feature} of {sae.name} is active at {100 * rate:.2g} % of the tokens of "
        f"these problems, at most {found.max_act[spec.feature]:.4g}. The SAE leaves "
        f"{found.fvu:.2g} of the variance at {sae.site} unexplained, with {found.l0:.3g} active "
        "features a token."
    ]
    if not found.fvu <= MAX_FVU:
        notes.append(
            f"With more than {MAX_FVU:g} of the variance unexplained, features stand for little of "
            "what the model does there."
        )
    baselines: list[Direction] = []
    if looked.wordings:
        try:
            means = _between(spec, pair, looked, choosing, [sae.site], progress)
            baselines = [means.at(sae.site)]
        except DirectionError as error:
            notes.append(f"No difference of means stands beside the feature: {error}")
    how: How = "project_out" if spec.how == "project-out" else spec.how
    arms = feature_arms(
        sae,
        spec.feature,
        where=where_of(spec),
        measured=found,
        how=how,
        amount=spec.amount,
        live=LiveFeatures(n=spec.n_live, factor=spec.live_factor),
        n_random=spec.n_random,
        baselines=baselines,
        seed=spec.seed,
    )
    largest = float(found.max_act[spec.feature])
    amount = 1.0 if how == "project_out" else spec.amount or TIMES * largest
    trained = pair.base_digest if spec.on == "base" else pair.post_digest
    row = sae.directions[spec.feature].detach().cpu().float() * amount
    return Source(
        candidates=(arms,),
        directions=(
            Direction(
                provenance=found.provenance,
                vector=row,
                site=sae.site,
                model=found.model,
                model_digest=trained,
                how=f"decoder row of feature {spec.feature}",
                position="every token",
                norm=row.norm().item(),
                resid_norm=float("nan"),
                n=found.n_tokens,
            ),
        ),
        results={"fidelity": found},
        facts={
            "sae": sae.name,
            "feature": spec.feature,
            "how": spec.how,
            "amount": None if how == "project_out" else amount,
            "density": rate,
            "max_act": largest,
            "fvu": found.fvu,
            "l0": found.l0,
            "dead_fraction": found.dead_fraction,
        },
        notes=tuple(notes),
    )


def _rows(spec: SteerSpec, pair: ModelPair, looked: Looked, choosing: Task) -> list[list[int]]:
    """Texts in which firing rates are measured: the problems in every wording, solved."""
    ids, rows = {problem.id for problem in choosing}, []
    for task in (choosing, *looked.wordings.values()):
        for problem in task:
            if problem.id not in ids:
                continue
            if spec.templated:
                # What a chat template puts after a prompt is not to be guessed.
                rows.append(pair.alignment.templated(problem.prompt))
                continue
            # Where the words call for an answer at once, no trace is written.
            body = None if task.name.endswith(NEGATIVE) else problem.trace
            rows.append(pair.alignment.plain(f"{problem.prompt} {body or problem.answer}"))
    return rows
