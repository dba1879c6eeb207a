"""Think@n: sample, read the depth of each beginning, finish only the deepest, vote."""

import torch

from elicit.pair import ModelPair
from elicit.revision.convention import DepthConvention
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens
from elicit.revision.profile import lens_name
from elicit.revision.summing import over_problems
from elicit.revision.thinking.arms import Samples, run_arms
from elicit.revision.thinking.request import GENERATION, Request
from elicit.revision.thinking.result import ThinkAtN
from elicit.revision.thinking.votes import numbered
from elicit.revision.thinking.within import telling
from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.tasks import Task

_RIVALS = ("cons", "random", "matched")


def think_at_n(
    pair: ModelPair,
    task: Task,
    *,
    model: str = "post",
    prefix: int = 50,
    keep: float = 0.5,
    inference: Inference = Inference(),
    convention: DepthConvention | None = None,
    lens: Lens | None = None,
    n_draws: int = 1000,
    generation: Generation = GENERATION,
    execution: Execution = Execution(),
) -> ThinkAtN:
    """What voting among the deepest-thinking samples is worth, beside every control.

    Each sample's deep-thinking ratio is read on its first tokens; the share with the highest ratios
    votes. For the controls every sample is finished here, but a way to vote is charged only what it
    would have written by itself; `think` alone finishes no more than it keeps.

    Args:
        pair: The two models.
        task: Problems with their right answers.
        model: Which model, base or post.
        prefix: Tokens of each that are read; fewer where it ends before.
        keep: Share of the samples that vote.
        inference: Coverage and resamples of the intervals, and the seed.
        convention: What settled and deep mean; the paper's as corrected if None.
        lens: How layers are read; the logit lens if None.
        n_draws: Draws of lots (random orders, choices among equal scores) that are averaged.
        generation: How samples are generated: how many, how long, prefix included, and at a
            temperature above 0; depth and confidence are read at 1 all the same.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: An argument is out of range, the model has too few layers for the convention,
            the lens is another model's, or nothing was written that could be read.
        RolloutError: No token could be drawn.
        TaskError: A prompt leaves no room for a text, or is not made of known words.

    Source: Chen et al. 2026, arXiv:2602.13517: n = 48, prefix 50, keep 0.5. Their cost formula
        charges the rejected η·n; here it is the general (1 − η)·n, and less where texts end early.
    """
    if n_draws < 1:
        raise RevisionError(
            f"n_draws is {n_draws}, so the random controls would have no vote. Pass 1 or more."
        )
    request = Request(
        pair=pair,
        task=task,
        model=model,
        prefix=prefix,
        keep=keep,
        generation=generation,
        convention=convention or DepthConvention(),
        lens=lens,
        inference=inference,
        execution=execution,
    )
    n = request.n
    begun = request.begin()
    prefixes = request.prefixes(begun)
    deep, sure = request.depths(prefixes), request.confidence(prefixes)
    whole = request.finish(begun, range(len(begun)))
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
    dtr, certainty, entropy = map(prefixes.each, (deep.dtr, sure.certainty, sure.entropy))
    arms = run_arms(
        samples,
        {"think": dtr, "certain": certainty, "low_entropy": -entropy, "shallow": -dtr},
        problem=whole.problem,
        n_kept=request.n_kept,
        n_draws=n_draws,
        seed=inference.seed,
    )
    length = samples.n_tokens.double()
    values = {"dtr": dtr, "certainty": certainty, "entropy": entropy, "length": length}
    options = {
        "level": inference.level,
        "n_resamples": inference.n_resamples,
        "seed": inference.seed,
    }
    told = [
        telling(-held if name in ("entropy", "length") else held, samples.correct, **options)
        for name, held in values.items()
    ]
    accuracy, tokens = (over_problems(part, **options) for part in (arms.right, arms.tokens))
    gains = [
        over_problems(arms.right - arms.right[arms.arm.index(name)], **options) for name in _RIVALS
    ]
    gain, gain_low, gain_high = (torch.stack(list(end)) for end in zip(*gains, strict=True))
    auroc, r = (
        torch.tensor([getattr(one, kind) for one in told], dtype=torch.float64).unbind(-1)
        for kind in ("auroc", "r")
    )
    return ThinkAtN(
        convention=request.convention,
        model=model,
        lens=lens_name(request.side.lens),
        sampling=request.sampling,
        n=n,
        prefix=prefix,
        n_kept=request.n_kept,
        n_draws=n_draws,
        n_projected=deep.n_projected,
        level=inference.level,
        arm=arms.arm,
        accuracy=accuracy[0],
        accuracy_low=accuracy[1],
        accuracy_high=accuracy[2],
        tokens=tokens[0],
        tokens_low=tokens[1],
        tokens_high=tokens[2],
        by_lot=arms.by_lot.mean(-1),
        rival=_RIVALS,
        gain=gain,
        gain_low=gain_low,
        gain_high=gain_high,
        score=tuple(values),
        n_mixed=torch.tensor([one.n_mixed for one in told]),
        auroc=auroc[0],
        auroc_low=auroc[1],
        auroc_high=auroc[2],
        r=r[0],
        r_low=r[1],
        r_high=r[2],
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
            arguments={**request.arguments(), "n_draws": n_draws},
            task_digests={task.name: task.digest},
        ),
    )
