"""Think@n: sample, measure the depth of each prefix, finish only the deepest, vote."""

import torch

from elicit.pair import ModelPair
from elicit.results import Estimate
from elicit.revision.errors import RevisionError
from elicit.revision.thinking._arms import Samples, run_arms
from elicit.revision.thinking._discrimination import discrimination
from elicit.revision.thinking._prefixes import GENERATION, PrefixSampler, PrefixSelection
from elicit.revision.thinking._voting import numbered
from elicit.revision.thinking.result import ThinkAtN
from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.stats import Inference, joint_estimate
from elicit.tasks import Task

_RIVALS = ("cons", "random", "matched")


def think_at_n(
    pair: ModelPair,
    task: Task,
    *,
    model: str = "post",
    selection: PrefixSelection = PrefixSelection(),
    n_draws: int = 1000,
    generation: Generation = GENERATION,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> ThinkAtN:
    """Accuracy and cost of voting among the deepest-thinking samples, against controls.

    Each sample's deep-thinking ratio is read on its first tokens; the share with the highest ratios
    votes. For the controls every sample is finished here, but a way to vote is charged only what it
    would have written by itself; `think` alone finishes no more than it keeps.

    Args:
        pair: The two models.
        task: Problems with their right answers.
        model: Which model, base or post.
        selection: Prefix, share that is kept, convention and lens.
        n_draws: Random orders (controls, choices among equal scores) that are averaged.
        generation: How samples are generated: how many, how long, prefix included, and at a
            temperature above 0; depth and confidence are read at 1 all the same.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: An argument is out of range, the model has too few layers for the convention,
            or the lens is another model's.
        TextError: Nothing was written that could be read.
        RolloutError: No token could be sampled.
        TaskError: A prompt leaves no room for a text, or is not made of known words.

    Source: Chen et al. 2026, arXiv:2602.13517: n = 48, prefix 50, keep 0.5. Their cost formula
        charges the rejected η·n; here it is the general (1 − η)·n, and less where texts end early.
    """
    if n_draws < 1:
        raise RevisionError(
            f"n_draws is {n_draws}, so the random controls would have no vote. Pass 1 or more."
        )
    sampler = PrefixSampler(pair, task, model, selection, generation, inference, execution)
    n = sampler.n
    begun = sampler.begin()
    prefixes = sampler.prefixes(begun)
    deep, confident = sampler.depths(prefixes), sampler.confidence(prefixes)
    whole = sampler.finish(begun, range(len(begun)))
    samples = Samples(
        answer=torch.stack(
            [
                numbered(whole.extracted[i * n : (i + 1) * n], problem.candidates)
                for i, problem in enumerate(task)
            ]
        ),
        correct=whole.correct.view(-1, n),
        n_tokens=whole.n_tokens.view(-1, n),
        n_begun=begun.n_tokens.view(-1, n),
    )
    dtr, certainty, entropy = map(prefixes.each, (deep.dtr, confident.certainty, confident.entropy))
    arms = run_arms(
        samples,
        {"think": dtr, "certain": certainty, "low_entropy": -entropy, "shallow": -dtr},
        problem=whole.problem,
        n_kept=sampler.n_kept,
        n_draws=n_draws,
        seed=inference.seed,
    )
    length = samples.n_tokens.double()
    values = {"dtr": dtr, "certainty": certainty, "entropy": entropy, "length": length}
    scores = [
        discrimination(
            -score if name in ("entropy", "length") else score, samples.correct, inference=inference
        )
        for name, score in values.items()
    ]
    gains = [
        joint_estimate((arms.right - arms.right[arms.arm.index(name)]).T, inference=inference)
        for name in _RIVALS
    ]
    return ThinkAtN(
        **sampler.record(deep),
        n_draws=n_draws,
        arm=arms.arm,
        accuracy=joint_estimate(arms.right.T, inference=inference),
        tokens=joint_estimate(arms.tokens.T, inference=inference),
        tied=arms.tied.mean(-1),
        rival=_RIVALS,
        gain=Estimate.stack(gains),
        score=tuple(values),
        n_mixed=torch.tensor([each.n_mixed for each in scores]),
        auroc=Estimate.stack(each.auroc for each in scores),
        r=Estimate.stack(each.r for each in scores),
        problem=whole.problem,
        right=arms.right,
        spent=arms.tokens,
        value=torch.stack(list(values.values())),
        kept=arms.kept,
        correct=samples.correct,
        truncated=whole.truncated.view(-1, n),
        answer=samples.answer,
        n_tokens=samples.n_tokens,
        n_begun=samples.n_begun,
        provenance=pair.provenance(
            seed=inference.seed,
            arguments={**sampler.arguments(), "n_draws": n_draws},
            task_digests={task.name: task.digest},
        ),
    )
