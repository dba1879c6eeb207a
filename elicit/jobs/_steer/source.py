"""Source and target of `elicit steer`, as values."""

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
from elicit.jobs._cued import behaviour_of, shown_name
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
    """The target behaviour, and the problems under prompts that elicit it."""

    name: str
    """Name in figures."""
    shown: Marker
    """Whether a text shows the behaviour."""
    wordings: dict[str, Task]
    """All problems under every alternative prompt, by its name."""
    cued: bool
    """Whether the first two prompts are an eliciting one and a contrasting one."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """Steering arms, one set per candidate site."""

    candidates: tuple[tuple[Arm, ...], ...]
    """Arms of each site; several sets where the site is chosen by effect."""
    directions: tuple[Direction, ...]
    """Steering vector of each site."""
    results: dict[str, Result] = field(default_factory=dict)
    """Intermediate results by folder name."""
    facts: dict[str, object] = field(default_factory=dict)
    """Entries of the summary."""
    notes: tuple[str, ...] = ()
    """Remarks."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Loaded:
    """A vector or SAE read from disk before models are loaded; may be neither."""

    vector: Result | None = None
    sae: Sae | None = None

    @property
    def digests(self) -> dict[str, str]:
        """Digests that identify the loaded vector or SAE in a run's checkpoint."""
        found: dict[str, str] = {}
        if self.sae is not None:
            found["sae"] = self.sae.function_digest
        if isinstance(self.vector, Direction | DirectionSet | TrainedVector):
            found["vector"] = digest_tensors({"vector": self.vector.vector})
        return found


def looked_for(spec: SteerSpec, task: Task) -> Looked:
    """The target behaviour, and the problems under alternative prompts.

    Raises:
        ElicitError: The cues are equal, the pattern is no regular expression, or a baseline cannot
            be used as a prompt for these problems.
    """
    if spec.pair is None and spec.reasoning_cue is None:
        shown = longer_than(REASONS - 1) if spec.shown is None else matching(spec.shown)
        name = "reasons before it answers" if spec.shown is None else shown_name(spec.shown)
        behaviour = replace(trace_behaviour(), name=name, shown=shown)
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
    """Load the requested vector or SAE, before any model.

    Raises:
        SpecError: The folder holds a result other than a direction.
        ResultError: The folder holds no complete result.
        FeatureError: The SAE or the feature does not exist.
    """
    if spec.source == "feature":
        assert spec.sae is not None and spec.feature is not None
        # Where the model is whose tokens it edits, or each would cross to it and back.
        there = spec.post_device if spec.on == "post" else None
        sae = load_sae(spec.sae, device=there or spec.device)
        sae.check_features((spec.feature,))
        sae.check_reconstructs()
        return Loaded(sae=sae)
    if spec.vector is None:
        return Loaded()
    found = load_result(spec.vector)
    if not isinstance(found, Direction | DirectionSet | TrainedVector):
        raise SpecError(
            f"vector names {spec.vector}, which holds a {type(found).__name__} and not a steering "
            "vector. Name the folder of a Direction, a DirectionSet or a TrainedVector."
        )
    if spec.sites and not isinstance(found, DirectionSet):
        raise SpecError(
            f"sites are {', '.join(spec.sites)}, but the vector in {spec.vector} belongs to one "
            "site, so they would be ignored. Leave sites out."
        )
    return Loaded(vector=found)


def where_of(spec: SteerSpec) -> Where:
    """Positions that are steered."""
    made = {"last": last(), "first": generated(0, 0), "generated": generated(), "all": everywhere()}
    return made[spec.where]


def model_of(spec: SteerSpec, pair: ModelPair) -> Bridge:
    """The model that is steered."""
    return pair.base if spec.on == "base" else pair.post


def between(
    spec: SteerSpec,
    pair: ModelPair,
    looked: Looked,
    choosing: Task,
    sites: Sequence[Site],
    progress: Progress | None,
) -> DirectionSet:
    """Contrast directions between prompts that elicit the behaviour and prompts that do not.

    Raises:
        DirectionError: The two kinds of prompts do not differ.
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
