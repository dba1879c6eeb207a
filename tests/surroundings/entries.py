"""Public calls that run a model, on a tiny pair, each with its numbers as one vector."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

import torch

from elicit import (
    capture,
    directions,
    elicitation,
    grafting,
    patching,
    representations,
    revision,
    rollouts,
    tasks,
    texts,
    weights,
)
from elicit.edits import Steer, generated, last
from elicit.pair import ModelPair, hugging_face_model
from elicit.rollouts import Generation
from elicit.sites import resid_post
from elicit.stats import Inference
from elicit.tasks import Problem, Task
from elicit.texts import TokenRows
from tests.checkpoints import WORDS
from tests.patching.test_sweep import contrast_of
from tests.rollouts.made import VECTOR, task_of

FEW = {"inference": Inference(n_resamples=100)}
CONTRAST = contrast_of()
SITE = resid_post(1)
SITES = [resid_post(0), SITE]
SHORT = Generation(stop_ids=(2,), max_new_tokens=4)
ROWS = [[1, *range(5 + i, 13 + i)] for i in range(8)]
READ = TokenRows(
    rows=tuple(map(tuple, ROWS)),
    positions=tuple(tuple(range(3, 8)) for _ in ROWS),
    problem=tuple(f"p{i}" for i in range(len(ROWS))),
)
FACTS = Task(
    name="facts",
    problems=tuple(
        Problem(
            id=f"q{i}", prompt=" ".join(WORDS[i : i + 4]), answer="two", candidates=("two", "six")
        )
        for i in range(6)
    ),
)
LABELLED = representations.Labelled(
    rows=tuple((1, 5 + i % 2, 7 + i) for i in range(24)),
    position=(-1,) * 24,
    label=tuple("ab"[i % 2] for i in range(24)),
    problem=tuple(f"p{i}" for i in range(24)),
)
PAIRS = directions.PromptPairs(
    positive=tuple(f"the {word}" for word in WORDS[4:16]),
    negative=tuple(f"a {word}" for word in WORDS[4:16]),
)


@cache
def encoded(pair: ModelPair):
    """Made once, outside of whatever is switched on around a call."""
    return pair.alignment.pad(ROWS[:3])


@cache
def decomposed(pair: ModelPair):
    """Made once: a model in training mode is not decomposed, and one that was is run as before."""
    return capture.decompose(pair.post)


def whole(pair: ModelPair):
    batch = encoded(pair)
    return batch.ids, batch.mask, batch.position_ids


def lens_training():
    return revision.LensTraining(variant="bias", steps=2, tokens_per_step=40)


def arms(pair: ModelPair):
    made = directions.diff_mean(pair.side("post"), PAIRS, sites=[SITE], **FEW).at(SITE)
    return elicitation.direction_arms(made, where=generated())


CALLS: dict[str, Callable[[ModelPair], object]] = {
    "capture.capture": lambda p: capture.capture(p.post, encoded(p), sites=SITES, logits=True),
    "capture.moments": lambda p: [
        each.scatter for each in capture.moments(p.side("post"), ROWS, sites=SITES).values()
    ],
    "capture.cross_moments": lambda p: [
        each.scatter
        for each in capture.cross_moments(
            p.side("base"), p.side("post"), ROWS, sites=SITES
        ).values()
    ],
    "capture.full_logits": lambda p: capture.full_logits(p.post, *whole(p)),
    "capture.record": lambda p: capture.record(p.post, *whole(p)).resid,
    "capture.run_trunk": lambda p: capture.run_trunk(decomposed(p), encoded(p)).resid,
    "rollouts.rollouts": lambda p: rollouts.rollouts(
        p.side("post"), task_of(), generation=dataclasses.replace(SHORT, temperature=1.0)
    ),
    "rollouts.answer_task": lambda p: rollouts.answer_task(
        p.side("post"), task_of(), generation=SHORT
    ),
    "rollouts.dose_rollouts": lambda p: rollouts.dose_rollouts(
        p.side("post"),
        task_of(),
        lambda s: [Steer(SITE, VECTOR, scale=s, where=generated())],
        strengths=[0.0, 1.0],
        generation=SHORT,
    ),
    "rollouts.cross_rollouts": lambda p: rollouts.cross_rollouts(
        p.side("base"),
        p.side("post"),
        task_of(),
        [[rollouts.Takes(kind="jsd", budget=2)] * len(task_of())],
        generation=SHORT,
    ),
    "texts.residual_states": lambda p: texts.residual_states(
        p.side("post"), READ, n_layers=p.n_layers
    ),
    "tasks.score_forced": lambda p: (
        tasks.score_forced(
            lambda ids, mask, at: (
                hugging_face_model(p.post)(
                    input_ids=ids, attention_mask=mask, position_ids=at
                ).logits
            ),
            grafting.encode(p, grafting.facts(FACTS)),
        ).item_log_prob
    ),
    "weights.weight_change": lambda p: weights.weight_change(p, texts=[encoded(p)]),
    "grafting.sweep_parts": lambda p: grafting.sweep_parts(
        p, [grafting.facts(FACTS)], weights.parts_of(p, "layer"), direction="revert", **FEW
    ),
    "grafting.interpolate": lambda p: grafting.interpolate(
        p, [grafting.facts(FACTS)], alphas=[0.0, 0.5, 1.0], **FEW
    ),
    "grafting.integrate": lambda p: grafting.integrate(
        p, [grafting.facts(FACTS)], nodes=4, tolerance=9.0
    ),
    "patching.patch": lambda p: patching.patch(
        p, CONTRAST, patching.across(sites=["resid_post"], positions="last"), **FEW
    ),
    "patching.factorial": lambda p: patching.factorial(p, CONTRAST, **FEW),
    "patching.attribute": lambda p: patching.attribute(
        p, CONTRAST, patching.across(sites=["resid_post"], positions="last"), **FEW
    ),
    "patching.attribute_edges": lambda p: patching.attribute_edges(
        p, CONTRAST, patching.within("denoise", model="post"), **FEW
    ),
    "patching.path_patch": lambda p: patching.path_patch(
        p,
        CONTRAST,
        patching.within("denoise", model="post"),
        "attn_out.0",
        ["mlp_out.2"],
        **FEW,
    ),
    "directions.diff_mean": lambda p: directions.diff_mean(
        p.side("post"), PAIRS, sites=SITES, **FEW
    ),
    "directions.paired_pca": lambda p: directions.paired_pca(
        p.side("post"), PAIRS, sites=SITES, **FEW
    ),
    "directions.train_vector": lambda p: directions.train_vector(
        p.side("post"), task_of(), site=SITE, where=last(), steps=2
    ),
    "representations.probe": lambda p: representations.probe(p, LABELLED, sites=SITES, **FEW),
    "representations.similarity": lambda p: representations.similarity(p, ROWS, sites=SITES, **FEW),
    "revision.settling": lambda p: revision.settling(p, READ, **FEW),
    "revision.profile": lambda p: revision.profile(p, READ),
    "revision.fit_tuned_lens": lambda p: revision.fit_tuned_lens(
        p, READ.part(range(4)), held_out=READ.part(range(4, 8)), training=lens_training(), **FEW
    ),
    "elicitation.dose_curve": lambda p: elicitation.dose_curve(
        p.side("post"), task_of(), arms(p), strengths=[1.0], generation=SHORT, **FEW
    ),
}
"""By room and name; what is not here goes through the very same door, which a test holds."""


def values(found: object) -> Iterator[torch.Tensor]:
    """Every number in a result, in the order of its fields."""
    if isinstance(found, torch.Tensor):
        yield found.detach().double().flatten()
    elif isinstance(found, bool | int | float):
        yield torch.tensor([float(found)], dtype=torch.float64)
    elif isinstance(found, Mapping):
        for each in found.values():
            yield from values(each)
    elif dataclasses.is_dataclass(found) and not isinstance(found, type):
        for field in dataclasses.fields(found):
            if field.name != "provenance":
                yield from values(getattr(found, field.name))
    elif isinstance(found, Sequence) and not isinstance(found, str):
        for each in found:
            yield from values(each)


def numbers(found: object) -> torch.Tensor:
    """The same as one vector."""
    with torch.device("cpu"):
        return torch.cat([each.cpu() for each in values(found)])
