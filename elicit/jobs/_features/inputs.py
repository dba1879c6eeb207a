"""Problems, prompts, words and files of a features run, validated before it starts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from elicit.edits import shape_of
from elicit.features import (
    TRAINED_ON,
    PromptContrast,
    Sae,
    TokenGroups,
    TrainConfig,
    check_sae,
    known_words,
    load_sae,
    token_groups,
)
from elicit.jobs._cued import behaviour_of, problems_of
from elicit.jobs._features.files import FileText, read_groups, read_texts
from elicit.jobs._features.spec import FeaturesSpec
from elicit.jobs._frame import Work
from elicit.jobs._spec import SpecError
from elicit.organisms import REASONING_WORDS
from elicit.pair import ModelPair, SideName
from elicit.rollouts import check_prompts
from elicit.sites import Site, resolve_site
from elicit.tasks import Behaviour, Split, Task


@dataclass(frozen=True, kw_only=True)
class FeatureTask:
    """Inputs known before models are loaded."""

    behaviour: Behaviour
    marked: bool
    """Whether the behaviour has a marker visible in a few tokens."""
    task: Task
    split: Split
    """Selection problems and held-out problems."""
    kinds: tuple[str, ...]
    """Requested ones of `own` and `task`."""
    texts: tuple[FileText, ...] = ()
    """Texts of files."""
    words: Mapping[str, tuple[str, ...]] | None = None
    """Word groups of the user."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureInputs:
    """Inputs of the job, validated against both models."""

    source: FeatureTask
    cot: dict[str, list[int]]
    """Reasoning prompt of each problem."""
    direct: dict[str, list[int]]
    """Direct-answer prompt of each problem."""
    sae: Sae | None
    """SAE; None: trained in the run."""
    model: SideName
    """Model whose features are searched."""
    groups: TokenGroups | None
    without_groups: str
    """Why there is no ReasonScore; empty if there is one."""

    def ids(self, task: Task) -> list[str]:
        """Problems of a task that have both prompts."""
        return [p.id for p in task if p.id in self.cot and p.id in self.direct]

    def prompts(self, task: Task) -> PromptContrast:
        """Reasoning and direct-answer prompts of a task."""
        ids = self.ids(task)
        return PromptContrast(cot=[self.cot[i] for i in ids], direct=[self.direct[i] for i in ids])


FeatureWork = Work[FeaturesSpec, FeatureInputs]
"""The running job."""


def refuse_early(spec: FeaturesSpec) -> FeatureTask:
    """Refuse unusable problems and files before a model is loaded.

    Raises:
        ElicitError: A file is missing or invalid, or problems lack traces.
    """
    task = problems_of(spec)
    missing = [problem.id for problem in task if problem.trace is None]
    if "task" in spec.traces and missing:
        raise SpecError(
            f"traces has task, and {len(missing)} of {len(task)} problems of "
            f"{spec.problems or spec.pair} have no trace (the first is {missing[0]!r}). Add "
            "'trace' to every line, or choose traces='own'."
        )
    kinds = tuple(kind for kind in ("own", "task") if kind in spec.traces)
    files = [read_texts(name) for name in spec.traces if name not in ("own", "task")]
    told = tuple(note for file in files for note in file.notes)
    if not spec.traces:
        kinds = ("own",) if missing else ("own", "task")
    return FeatureTask(
        behaviour=behaviour_of(spec, task),
        marked=spec.reasoning_cue is None or spec.shown is not None,
        task=replace(task, notes=(*task.notes, *told)),
        split=Split.of(task, spec.choose_share, seed=spec.seed),
        kinds=kinds,
        texts=tuple(text for file in files for text in file.texts),
        words=None if spec.groups is None else read_groups(spec.groups),
    )


def prepare(spec: FeaturesSpec, pair: ModelPair, source: FeatureTask) -> FeatureInputs:
    """Validate prompts, SAE and words against the models, before they run.

    Raises:
        ElicitError: A prompt is too long, prompts do not differ, the SAE is of another model, or a
            word group has no tokens.
    """
    read = pair.alignment
    behaviour = source.behaviour
    prompts: list[dict[str, list[int]]] = []
    for which, name in ((behaviour.positive, "positive"), (behaviour.negative, "negative")):
        task = behaviour.prompts(source.task, which, name)
        for side in ("base", "post"):
            check_prompts(pair.side(side), task, templated=spec.templated)
        prompts.append({p.id: list(read.prompt(p.turns, templated=spec.templated)) for p in task})
    sae = None if spec.sae is None else load_sae(spec.sae, device=pair.device)
    model = spec.model or owner(spec, pair, sae)
    if sae is None:
        _refuse_training(spec, pair, model)
    else:
        for side in ("base", "post"):
            check_sae(pair, sae, side)
        sae.check_reconstructs()
        if spec.features:
            sae.check_features(spec.features)
    words, why = source.words, ""
    if words is None:
        words = known_words(pair)
        if len(words) < 2:
            words = known_words(pair, REASONING_WORDS)
        if len(words) < 2:
            why = "the tokenizer knows too few of the usual reasoning words; pass some as groups"
    inputs = FeatureInputs(
        source=source,
        cot=prompts[0],
        direct=prompts[1],
        sae=sae,
        model=model,
        groups=None if why else token_groups(pair, words),
        without_groups=why,
    )
    # Refuse prompts without a contrast and models that never stop before sampling.
    inputs.prompts(source.task)
    _ = pair.side("base").stop_ids
    return inputs


def owner(spec: FeaturesSpec, pair: ModelPair, sae: Sae | None) -> SideName:
    """Model an SAE belongs to; base if unknown or both."""
    if sae is None:
        return "post" if spec.train_on == "post" else "base"
    trained = sae.metadata.get(TRAINED_ON)
    own = isinstance(trained, list) and pair.post_digest in trained
    return "post" if own and pair.base_digest not in trained else "base"  # pyright: ignore


def site_of(spec: FeaturesSpec, pair: ModelPair) -> Site:
    """Site of a trained SAE.

    Raises:
        SiteError: The name matches several sites or none.
    """
    name = spec.site or f"resid_post.{round(0.6 * pair.n_layers)}"
    return resolve_site(name, shape_of(pair.base))


def training_of(spec: FeaturesSpec, pair: ModelPair) -> tuple[Site, TrainConfig]:
    """Site and training options of the run's SAE.

    Raises:
        ElicitError: The site is not unique, or the sizes are inconsistent.
    """
    site = site_of(spec, pair)
    d_sae = spec.d_sae or 2 * shape_of(pair.base).width(site)
    k = spec.k or min(4, d_sae // 2)
    return site, TrainConfig(d_sae=d_sae, k=k, n_steps=spec.steps or 400, batch=512, lr=3e-3)


def _refuse_training(spec: FeaturesSpec, pair: ModelPair, model: SideName) -> None:
    """Refuse training options that do not fit the request."""
    _, config = training_of(spec, pair)
    trained = spec.train_on or "base"
    if trained not in ("both", model):
        raise SpecError(
            f"model is {model!r} but the SAE is trained on {trained} only, so its fidelity gates "
            f"would measure drift. Pass train_on='{model}' or 'both', or leave model out."
        )
    if spec.features and max(spec.features) >= config.d_sae:
        raise SpecError(
            f"feature {max(spec.features)} is requested but the SAE will have {config.d_sae}. "
            f"Pass features 0 to {config.d_sae - 1}."
        )
