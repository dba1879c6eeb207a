"""Think@n in use: only the samples that are kept are finished."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.revision.convention import DepthConvention
from elicit.revision.lens import Lens
from elicit.revision.profile import lens_name
from elicit.revision.summing import over_problems
from elicit.revision.thinking.request import GENERATION, Request
from elicit.revision.thinking.result import Thought
from elicit.revision.thinking.votes import by_lot, counted, elected, lots_of, numbered, places
from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.tasks import Task


def think(
    pair: ModelPair,
    task: Task,
    *,
    model: str = "post",
    prefix: int = 50,
    keep: float = 0.5,
    inference: Inference = Inference(),
    convention: DepthConvention | None = None,
    lens: Lens | None = None,
    generation: Generation = GENERATION,
    execution: Execution = Execution(),
) -> Thought:
    """Answers voted by the samples whose prefixes think deepest, the others left unfinished.

    With the same seed it keeps the samples that `think_at_n` says it keeps, but for rounding of the
    logits. Whether the ranking is worth anything, only the controls there can say.

    Args:
        pair: The two models.
        task: Problems with their right answers.
        model: Which model, base or post.
        prefix: Tokens of each that are read; fewer where it ends before.
        keep: Share of the samples that are finished and vote.
        inference: Coverage and resamples of the intervals, and the seed.
        convention: What settled and deep mean; the paper's as corrected if None.
        lens: How layers are read; the logit lens if None.
        generation: How samples are generated: how many, how long, prefix included, and at a
            temperature above 0; depth is read at temperature 1 all the same.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: An argument is out of range, the model has too few layers for the convention,
            the lens is another model's, or nothing was written that could be read.
        RolloutError: No token could be drawn.
        TaskError: A prompt leaves no room for a text, or is not made of known words.

    Source: Chen et al. 2026, arXiv:2602.13517.
    """
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
    deep = request.depths(prefixes)
    dtr = prefixes.each(deep.dtr)
    order = torch.cat(
        [
            places(own, lots_of(inference.seed, problem.id, n=n, n_draws=1))
            for own, problem in zip(dtr, task, strict=True)
        ]
    )
    kept = order < request.n_kept
    rows = kept.flatten().nonzero()[:, 0].tolist()
    whole = request.finish(begun, rows)
    spent, truncated = begun.n_tokens.clone(), torch.zeros(len(begun), dtype=torch.bool)
    spent[rows], truncated[rows] = whole.n_tokens, whole.truncated
    answers, votes, right = [], [], []
    for i, problem in enumerate(task):
        own = slice(i * request.n_kept, (i + 1) * request.n_kept)
        answer = numbered(whole.extracted[own], problem.candidates)
        everyone = torch.ones(1, request.n_kept, dtype=torch.bool)
        right.append(elected(answer, whole.correct[own], everyone))
        at, n_votes = _first(answer, everyone, order[i, kept[i]])
        answers.append(None if at is None else whole.extracted[own][at])
        votes.append(n_votes / request.n_kept)
    right = torch.cat(right)
    accuracy, low, high = over_problems(right, inference=inference)
    return Thought(
        convention=request.convention,
        model=model,
        lens=lens_name(request.side.lens),
        sampling=request.sampling,
        n=n,
        prefix=prefix,
        n_kept=request.n_kept,
        n_projected=deep.n_projected,
        level=inference.level,
        accuracy=accuracy.item(),
        accuracy_low=low.item(),
        accuracy_high=high.item(),
        problem=whole.problem,
        answer=tuple(answers),
        votes=torch.tensor(votes, dtype=torch.float64),
        right=right,
        spent=spent.view(-1, n).sum(-1),
        by_lot=torch.tensor([by_lot(own, request.n_kept) for own in dtr], dtype=torch.float64),
        dtr=dtr,
        kept=kept,
        truncated=truncated.view(-1, n),
        provenance=pair.provenance(
            seed=inference.seed,
            arguments=request.arguments(),
            task_digests={task.name: task.digest},
        ),
    )


def _first(
    answer: Int[Tensor, " sample"],
    voters: Bool[Tensor, "1 sample"],
    order: Int[Tensor, " sample"],
) -> tuple[int | None, int]:
    """The sample of lowest place whose answer has the most votes, and how many these are."""
    votes = counted(answer, voters)[0]
    if not len(votes):
        return None, 0
    most = int(votes.max())
    at = next(i for i in order.argsort().tolist() if answer[i] >= 0 and votes[answer[i]] == most)
    return at, most
