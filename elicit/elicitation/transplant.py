"""Transplant: does what post-training changed carry the skill to a model that lacks it?"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation._shares import accuracies, share_or_reason
from elicit.elicitation.errors import ElicitationError
from elicit.pair import ModelPair, Side
from elicit.results import Estimate, Result
from elicit.rollouts import Generation, Proxy, Rollouts, check_prompts, rollouts
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.tasks import Task
from elicit.weights import transplanted

What = Literal["logits", "weights"]
"""What is added to the host: the difference of the two models' logits at every token, or of their
weights."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Transplant(Result):
    """What post minus base brings about when it is added to another model, the host.

    A difference that elicits is a switch and does nothing on a host without the skill; one that
    created the skill carries it along. Only a clear share counts: a difference may also fail on a
    host for reasons of its own, such as a host that is sure of other answers.
    """

    host: str
    """Name of the host."""
    host_digest: str
    """SHA-256 of its weights."""
    what: str
    """What was added: `logits` or `weights`."""
    problem: tuple[str, ...]
    """Id of each problem."""
    host_right: Float[Tensor, " problem"]
    """Whether the host's greedy text is right."""
    right: Float[Tensor, " problem"]
    """Whether it is with the difference added."""
    post_right: Float[Tensor, " problem"]
    """Whether post's is."""
    accuracy: Annotated[Estimate, "model"]
    """Share right of each."""
    model: tuple[str, ...]
    """`host`, `host with the difference`, `post`."""
    share: Annotated[Estimate, ""]
    """Share of the gap from host to post that the difference closes, never clipped; NaN where
    `no_share` says why."""
    no_share: str
    """Why there is no share; empty where there is one."""
    text: tuple[str, ...]
    """What the host with the difference wrote. Text of a model: never trusted."""


def transplant(
    pair: ModelPair,
    host: Side,
    task: Task,
    *,
    name: str,
    what: What = "logits",
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Transplant:
    """Add post minus base to another model, and see what of its gap to post that closes.

    The host should be known not to have the skill, alone or when it is asked for: an early
    checkpoint of the base, or a sibling taught something else. Logits can be added to any host with
    the same tokens. Weights mean something only where the host comes from the pair's base: those of
    another training run have their features elsewhere, and adding to them does nothing. The host's
    own weights are back afterwards, bit for bit.

    Args:
        pair: Whose difference is added.
        host: A model with the same tokens for the same text; of the same architecture and sizes
            where weights are added.
        task: Problems.
        name: What the host is called.
        what: What is added.
        generation: How greedy texts are written; one for each problem.
        inference: Coverage, resamples and seed.
        execution: Checkpoint and progress.

    Raises:
        ElicitationError: The host is the pair's own base, reads other tokens, or several texts a
            problem are asked for.
        PartError: The host's parameters do not correspond to the pair's.
        RolloutError: The host's ids are other tokens.
    """
    post = pair.side("post")
    _check(pair, host, task, generation)
    how = {"generation": generation, "seed": inference.seed}

    def written(side: Side, key: str) -> Rollouts:
        return rollouts(side, task, **how, execution=execution.scoped(f"transplant/{key}"))

    alone, theirs = written(host, "host"), written(post, "post")
    changed = _changed(pair, host, task, what, generation, inference.seed, execution)
    rows = torch.stack([one.correct.double() for one in (alone, changed, theirs)])
    share, why = share_or_reason(rows[1], rows[0], rows[2], inference)
    return Transplant(
        provenance=pair.provenance(
            inference.seed,
            {"question": "transplant", "host": name, "host_digest": host.digest, "what": what,
             "level": inference.level},
            task_digests={task.name: task.digest},
        ),
        host=name,
        host_digest=host.digest,
        what=what,
        problem=tuple(problem.id for problem in task),
        host_right=rows[0],
        right=rows[1],
        post_right=rows[2],
        accuracy=accuracies(rows, inference),
        model=("host", "host with the difference", "post"),
        share=share,
        no_share=why.replace("base scores", "the host scores", 1),
        text=changed.text,
    )  # fmt: skip


def _changed(
    pair: ModelPair,
    host: Side,
    task: Task,
    what: What,
    generation: Generation,
    seed: int,
    execution: Execution,
) -> Rollouts:
    """Texts of the host with the difference added."""
    scope = execution.scoped(f"transplant/{what}/{pair.base_digest[:8]}-{pair.post_digest[:8]}")
    if what == "logits":
        rule = Proxy(expert=pair.side("post"), antiexpert=pair.side("base"))
        return rollouts(host, task, generation=generation, seed=seed, rule=rule, execution=scope)
    with transplanted(pair, host.bridge):
        return rollouts(host, task, generation=generation, seed=seed, execution=scope)


def _check(pair: ModelPair, host: Side, task: Task, generation: Generation) -> None:
    if generation.n_samples != 1:
        raise ElicitationError(
            f"n_samples is {generation.n_samples}, and one text a problem is compared. Pass "
            "n_samples=1."
        )
    if host.digest in (pair.base_digest, pair.post_digest):
        own = "base" if host.digest == pair.base_digest else "post"
        raise ElicitationError(
            f"the host has the weights of the pair's own {own} ({host.digest[:12]}), on which the "
            "difference says nothing that is not known. Pass another model, one that lacks the "
            "skill."
        )
    ours, theirs = (
        check_prompts(side, task, templated=generation.templated)
        for side in (pair.side("post"), host)
    )
    for problem, mine, other in zip(task, ours, theirs, strict=True):
        if mine != other:
            raise ElicitationError(
                f"the prompt of problem {problem.id!r} has the tokens {mine[:8]} in the pair and "
                f"{other[:8]} in the host, so the difference would be read with other meanings. "
                "Pass a host with the same tokenizer and template."
            )
