"""From a specification to problems, prompts, words and files that are worth a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
from elicit.jobs._features.files import Given, read_groups, read_texts
from elicit.jobs._features.spec import FeaturesSpec, Which
from elicit.jobs._spec import SpecError
from elicit.organisms import REASONING_WORDS
from elicit.pair import ModelPair
from elicit.rollouts import check_prompts
from elicit.sites import Site, resolve_site
from elicit.tasks import Behaviour, Split, Task


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is read and looked for, as far as it is known before a model runs."""

    behaviour: Behaviour
    marked: bool
    """Whether the behaviour has a mark that a few tokens can show."""
    task: Task
    choose: Task
    test: Task
    kinds: tuple[str, ...]
    """`own` and `task`, as far as they are read."""
    texts: tuple[Given, ...] = ()
    """Texts of files."""
    words: Mapping[str, tuple[str, ...]] | None = None
    """Groups of words that the user gave."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Ready:
    """The same held against the two models, with nothing left to refuse."""

    cot: dict[str, list[int]]
    """Prompt for a trace of each problem."""
    direct: dict[str, list[int]]
    """Prompt for an answer of each problem."""
    stops: tuple[int, ...]
    sae: Sae | None
    """None where one is trained."""
    on: Which
    groups: TokenGroups | None
    without_groups: str
    """Why there is no ReasonScore; empty where there is."""


def refuse_early(spec: FeaturesSpec) -> Asked:
    """Refuse problems and files that cannot serve, before a model is loaded for them.

    Args:
        spec: What to do.

    Raises:
        ElicitError: A file is missing or wrong, or its problems lack what is to be read.
    """
    task = problems_of(spec)
    behaviour = behaviour_of(spec, task)
    split = Split.of(task, spec.choose_share, seed=spec.seed)
    missing = [problem.id for problem in task if problem.trace is None]
    if "task" in spec.traces and missing:
        raise SpecError(
            f"the task’s own traces are to be read and {len(missing)} of {len(task)} problems of "
            f"{spec.problems or spec.pair} have none (the first is {missing[0]!r}). Add 'trace' to "
            "every line, or choose traces='own'."
        )
    kinds = tuple(kind for kind in ("own", "task") if kind in spec.traces)
    files = [name for name in spec.traces if name not in ("own", "task")]
    if not spec.traces:
        kinds = ("own",) if missing or spec.templated else ("own", "task")
    return Asked(
        behaviour=behaviour,
        marked=spec.reasoning_cue is None or spec.shown is not None,
        task=task,
        choose=split.choose,
        test=split.test,
        kinds=kinds,
        texts=tuple(text for name in files for text in read_texts(Path(name))),
        words=None if spec.groups is None else read_groups(spec.groups),
    )


def ready(spec: FeaturesSpec, pair: ModelPair, asked: Asked) -> Ready:
    """Hold prompts, SAE and words against the models, before any of them runs.

    Args:
        spec: What to do.
        pair: The two models.
        asked: What is asked.

    Raises:
        ElicitError: A prompt does not fit, the contrast is none, the SAE is of another model, or a
            group of words has no tokens.
    """
    encode = pair.alignment.templated if spec.templated else pair.alignment.plain
    sides: list[dict[str, list[int]]] = []
    for which, what in (
        (asked.behaviour.positive, "positive"),
        (asked.behaviour.negative, "negative"),
    ):
        asked_so = asked.behaviour.prompts(asked.task, which, what)
        for name in ("base", "post"):
            check_prompts(pair.side(name), asked_so, templated=spec.templated)
        sides.append({problem.id: encode(problem.prompt) for problem in asked_so})
    # What has no contrast is refused here.
    PromptContrast(cot=list(sides[0].values()), direct=list(sides[1].values()))
    sae = None if spec.sae is None else load_sae(spec.sae, device=pair.device)
    on = spec.on or owner(spec, pair, sae)
    if sae is None:
        _refuse_training(spec, pair, on)
    else:
        for which in ("base", "post"):
            check_sae(pair, sae, which)
        sae.check_reconstructs()
        if spec.features:
            sae.check_features(spec.features)
    words, why = asked.words, ""
    if words is None:
        words = known_words(pair)
        if len(words) < 2:
            words = known_words(pair, REASONING_WORDS)
        if len(words) < 2:
            why = (
                "the tokenizer knows too few of the usual words of reasoning; name some with groups"
            )
    return Ready(
        cot=sides[0],
        direct=sides[1],
        stops=pair.side("base").stop_ids,
        sae=sae,
        on=on,
        groups=None if why else token_groups(pair, words),
        without_groups=why,
    )


def owner(spec: FeaturesSpec, pair: ModelPair, sae: Sae | None) -> Which:
    """Which model an SAE belongs to; base where that is not known or it belongs to both.

    Args:
        spec: What to do.
        pair: The two models.
        sae: The SAE, if there is one already.
    """
    if sae is None:
        return "post" if spec.train_on == "post" else "base"
    trained = sae.metadata.get(TRAINED_ON)
    own = isinstance(trained, list) and pair.post_digest in trained
    return "post" if own and pair.base_digest not in trained else "base"  # pyright: ignore


def site_of(spec: FeaturesSpec, pair: ModelPair) -> Site:
    """Where an SAE is trained to read.

    Args:
        spec: What to do.
        pair: The two models.

    Raises:
        SiteError: The name stands for several sites, or for none.
    """
    name = spec.site or f"resid_post.{round(0.6 * pair.n_layers)}"
    return resolve_site(name, shape_of(pair.base))


def training_of(spec: FeaturesSpec, pair: ModelPair) -> tuple[Site, TrainConfig]:
    """Where the SAE of the run reads, and how it is trained.

    Args:
        spec: What to do.
        pair: The two models.

    Raises:
        ElicitError: The site is none or several, or the sizes do not fit together.
    """
    site = site_of(spec, pair)
    d_sae = spec.d_sae or 2 * shape_of(pair.base).width(site)
    k = spec.k or min(4, d_sae // 2)
    return site, TrainConfig(d_sae=d_sae, k=k, n_steps=spec.steps or 400, batch=512, lr=3e-3)


def _refuse_training(spec: FeaturesSpec, pair: ModelPair, on: Which) -> None:
    """Refuse an SAE that could not be trained, or would not have what is asked of it."""
    _, config = training_of(spec, pair)
    trained = spec.train_on or "base"
    if trained not in ("both", on):
        raise SpecError(
            f"on is {on!r} and the SAE is trained on {trained} alone, so its gates would be told "
            f"of the other model’s drift. Pass train_on='{on}' or 'both', or leave on out."
        )
    if spec.features and max(spec.features) >= config.d_sae:
        raise SpecError(
            f"feature {max(spec.features)} is asked for and the SAE will have {config.d_sae}, so "
            f"there is none of that number. Pass features 0 to {config.d_sae - 1}."
        )
