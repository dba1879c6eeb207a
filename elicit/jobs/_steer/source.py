"""What `elicit steer` steers with and looks for, as values."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from elicit.directions import (
    Direction,
    DirectionSet,
    PromptPairs,
    TrainedVector,
    diff_mean,
    paired_pca,
)
from elicit.edits import Where, everywhere, generated, last
from elicit.elicitation import Arm
from elicit.features import Sae, load_sae
from elicit.jobs._baselines import baselines_of
from elicit.jobs._cued import behaviour_of
from elicit.jobs._spec import SpecError
from elicit.jobs._steer.spec import SteerSpec
from elicit.organisms import trace_behaviour
from elicit.pair import Bridge, ModelPair
from elicit.results import Result, digest_tensors, load_result
from elicit.runs import Execution, NoProgress, Progress
from elicit.sites import Site
from elicit.tasks import NEGATIVE, PLAIN, POSITIVE, REASONS, Marker, Task, longer_than, matching


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What is looked for in texts, and the problems under words that call for it."""

    name: str
    """What figures call it."""
    shown: Marker
    """Whether a text shows it."""
    wordings: dict[str, Task]
    """All problems in every other way of asking, by its name."""
    cued: bool
    """Whether the first two wordings are one that calls for it and one that does not."""


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
        ElicitError: The cues are the same, the mark is no regular expression, or a baseline is no
            way to ask these problems.
    """
    if spec.pair is None and spec.reasoning_cue is None:
        shown = longer_than(REASONS - 1) if spec.shown is None else matching(spec.shown)
        behaviour = replace(trace_behaviour(), name="reasons before it answers", shown=shown)
        behaviour = replace(behaviour, baselines=baselines_of(spec.baselines, task))
        left_out: tuple[str, ...] = (PLAIN, POSITIVE, NEGATIVE)
    else:
        behaviour, left_out = behaviour_of(spec, task), (PLAIN,)
    asked = behaviour.asked(task)
    return Looked(
        name=behaviour.name,
        shown=behaviour.shown,
        wordings={name: asked[name] for name in asked if name not in left_out},
        cued=POSITIVE not in left_out,
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


def between(
    spec: SteerSpec,
    pair: ModelPair,
    looked: Looked,
    choosing: Task,
    sites: Sequence[Site],
    progress: Progress | None,
) -> DirectionSet:
    """Directions between prompts that call for it and prompts that do not.

    Args:
        spec: What to do.
        pair: The two models.
        looked: What is looked for, with both kinds of prompts as its first two wordings.
        choosing: Problems to find them on.
        sites: Where.
        progress: Told how far it is.

    Raises:
        DirectionError: The prompts are no contrast.
    """
    ids = {problem.id for problem in choosing}
    positive, negative = (
        replace(task, problems=tuple(p for p in task if p.id in ids))
        for task in list(looked.wordings.values())[:2]
    )
    find = paired_pca if spec.source == "pca" else diff_mean
    return find(
        pair.side(spec.on),
        PromptPairs(positive=positive, negative=negative, templated=spec.templated),
        sites=sites,
        inference=spec.inference,
        execution=Execution(max_tokens=spec.max_tokens, progress=progress or NoProgress()),
    )
