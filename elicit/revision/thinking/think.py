"""Think@n applied: only kept samples are finished."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.revision.thinking._prefixes import GENERATION, PrefixSampler, PrefixSelection
from elicit.revision.thinking._voting import (
    counted,
    elected,
    numbered,
    ranks,
    tie_breaks,
    tied_share,
)
from elicit.revision.thinking.result import Thought
from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.stats import Inference, joint_estimate
from elicit.tasks import Task


def think(
    pair: ModelPair,
    task: Task,
    *,
    model: str = "post",
    selection: PrefixSelection = PrefixSelection(),
    generation: Generation = GENERATION,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Thought:
    """Answers voted by the samples whose prefixes think deepest, the others left unfinished.

    With the same seed it keeps the samples that `think_at_n` says it keeps, but for rounding of the
    logits. Whether the ranking is worth anything, only the controls there can say.

    Args:
        pair: The two models.
        task: Problems with their right answers.
        model: Which model, base or post.
        selection: Prefix, share that is kept, convention and lens.
        generation: How samples are generated: how many, how long, prefix included, and at a
            temperature above 0; depth is read at temperature 1 all the same.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: An argument is out of range, the model has too few layers for the convention,
            or the lens is another model's.
        TextError: Nothing was written that could be read.
        RolloutError: No token could be sampled.
        TaskError: A prompt leaves no room for a text, or is not made of known words.

    Source: Chen et al. 2026, arXiv:2602.13517.
    """
    sampler = PrefixSampler(pair, task, model, selection, generation, inference, execution)
    n = sampler.n
    begun = sampler.begin()
    prefixes = sampler.prefixes(begun)
    deep = sampler.depths(prefixes)
    dtr = prefixes.each(deep.dtr)
    order = torch.cat(
        [
            ranks(scores, tie_breaks(inference.seed, problem.id, n=n, n_draws=1))
            for scores, problem in zip(dtr, task, strict=True)
        ]
    )
    kept = order < sampler.n_kept
    rows = kept.flatten().nonzero()[:, 0].tolist()
    whole = sampler.finish(begun, rows)
    spent, truncated = begun.n_tokens.clone(), torch.zeros(len(begun), dtype=torch.bool)
    spent[rows], truncated[rows] = whole.n_tokens, whole.truncated
    answers, votes, right = [], [], []
    for i, problem in enumerate(task):
        here = slice(i * sampler.n_kept, (i + 1) * sampler.n_kept)
        answer = numbered(whole.extracted[here], problem.candidates)
        everyone = torch.ones(1, sampler.n_kept, dtype=torch.bool)
        right.append(elected(answer, whole.correct[here], everyone))
        at, n_votes = _first(answer, everyone, order[i, kept[i]])
        answers.append(None if at is None else whole.extracted[here][at])
        votes.append(n_votes / sampler.n_kept)
    right = torch.cat(right)
    return Thought(
        **sampler.record(deep),
        accuracy=joint_estimate(right, inference=inference),
        problem=whole.problem,
        answer=tuple(answers),
        votes=torch.tensor(votes, dtype=torch.float64),
        right=right,
        spent=spent.view(-1, n).sum(-1),
        tied=torch.tensor(
            [tied_share(scores, sampler.n_kept) for scores in dtr], dtype=torch.float64
        ),
        dtr=dtr,
        kept=kept,
        truncated=truncated.view(-1, n),
        provenance=pair.provenance(
            seed=inference.seed,
            arguments=sampler.arguments(),
            task_digests={task.name: task.digest},
        ),
    )


def _first(
    answer: Int[Tensor, " sample"], voters: Bool[Tensor, "1 sample"], order: Int[Tensor, " sample"]
) -> tuple[int | None, int]:
    """The sample of lowest place whose answer has the most votes, and how many these are."""
    votes = counted(answer, voters)[0]
    if not len(votes):
        return None, 0
    most = int(votes.max())
    at = next(i for i in order.argsort().tolist() if answer[i] >= 0 and votes[answer[i]] == most)
    return at, most
