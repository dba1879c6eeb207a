"""What a search for features costs, and what it can do without."""

from elicit.jobs._budget import Costing, Cut, halves
from elicit.jobs._features.inputs import FeatureInputs
from elicit.jobs._features.spec import FeaturesSpec
from elicit.jobs._forecast import Stage, prompt_tokens
from elicit.pair import ModelPair
from elicit.rollouts import Generation
from elicit.tasks import LEAST

SCORES = 3
"""Scores that suggest candidates."""
READINGS = 14
"""Times that the texts are read: gates, scores, tables, injection, transfer."""
STEPS, STEP = 400, 512
"""Steps of training an SAE, and their tokens."""


def features_stages(spec: FeaturesSpec, pair: ModelPair, inputs: FeatureInputs) -> list[Stage]:
    """Writing texts, the SAE, then scores and tests."""
    task = inputs.source.task
    n, prompts = len(task), prompt_tokens(pair.side("base"), task, templated=spec.templated)
    own = "own" in inputs.source.kinds
    models = 2 if own else 0
    texts = 2 * models * n
    whole = texts * spec.max_new_tokens + 2 * models * prompts
    if "task" in inputs.source.kinds:
        traces = (problem.trace or "" for problem in task)
        whole += prompts + sum(len(pair.alignment.plain(trace)) for trace in traces)
    candidates = SCORES * spec.top + len(spec.features)
    resampled = candidates * 2 * spec.n_positions * spec.n_samples
    width = spec.d_sae or 2 * pair.d_model
    length = prompts / n + spec.max_new_tokens
    batch = Generation().batch_size
    stages = []
    if own:
        stages.append(
            Stage(
                name="writing texts",
                tokens=2 * models * prompts,
                written=texts * spec.max_new_tokens,
                texts=texts,
                context=length - spec.max_new_tokens / 2,
                cached=batch * length,
            )
        )
    if inputs.sae is None:
        steps = (spec.steps or STEPS) * STEP
        stages.append(
            Stage(
                name="training an SAE",
                tokens=whole / 2,
                context=length,
                flop=12.0 * steps * pair.d_model * width,
                nbytes=16.0 * pair.d_model * width,
            )
        )
    stages.append(
        Stage(
            name="scores and tests",
            tokens=READINGS * whole + resampled * whole / max(texts, n),
            unembedded=4.0 * whole,
            written=resampled * spec.window,
            jobs=READINGS,
            flop=READINGS * 4.0 * whole * pair.d_model * width,
            context=length,
            cached=batch * (length + spec.window),
        )
    )
    return stages


def features_cuts(spec: FeaturesSpec, _pair: ModelPair, inputs: FeatureInputs) -> list[Cut]:
    """What a search leaves out to fit a budget, in order."""
    cuts = []
    for name, least, what in (
        ("n_positions", 8, "problems were resampled per candidate"),
        ("n_samples", 4, "continuations were drawn per cut"),
        ("top", 2, "candidates were kept per score"),
    ):
        now = getattr(spec, name)
        if now > least:
            cuts.append(Cut(options={name: least}, what=f"{least} of {now} {what}"))
    return [*cuts, *halves(len(inputs.source.task), 2 * LEAST, "problems")]


FEATURES_COSTING = Costing(stages=features_stages, cuts=features_cuts)
