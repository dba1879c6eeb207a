"""Decode rows of tokens and grade their answers."""

from collections.abc import Sequence

import torch

from elicit.pair import Alignment
from elicit.rollouts.values import Rollouts, Sampling
from elicit.rollouts.writing import Row
from elicit.tasks import Extractor, Task, check


def graded(
    alignment: Alignment,
    task: Task,
    rows: Sequence[Row],
    texts: Sequence[Sequence[int]],
    *,
    prompts: Sequence[Sequence[int]],
    n_forced: Sequence[int],
    sampling: Sampling,
    extractor: Extractor,
) -> Rollouts:
    """Rows with their decoded text, extracted answer and grade.

    `n_forced`: tokens given at the beginning of each problem's texts.
    """
    # The tokenizer of the template alone may know the tokens that a templated text is made of.
    reader = alignment.template_tokenizer if sampling.templated else alignment.tokenizer
    read = tuple(str(reader.decode(list(ids), skip_special_tokens=True)) for ids in texts)
    found = [
        check(text, task.problems[row.place], extractor)
        for text, row in zip(read, rows, strict=True)
    ]
    strengths = [row.strength for row in rows if row.strength is not None]
    return Rollouts(
        task=task.name,
        task_digest=task.digest,
        sampling=sampling,
        problem=tuple(problem.id for problem in task),
        place=torch.tensor([row.place for row in rows]),
        sample=torch.tensor([row.sample for row in rows]),
        strength=torch.tensor(strengths, dtype=torch.float64) if strengths else None,
        correct=torch.tensor([one.correct for one in found]),
        truncated=torch.tensor([ids[-1] not in sampling.stop_ids for ids in texts]),
        n_tokens=torch.tensor([len(ids) for ids in texts]),
        n_forced=torch.tensor(list(n_forced)),
        n_prompt=torch.tensor([len(ids) for ids in prompts]),
        written=torch.tensor([i for ids in texts for i in ids], dtype=torch.long),
        prompted=torch.tensor([i for ids in prompts for i in ids], dtype=torch.long),
        text=read,
        extracted=tuple(one.extracted for one in found),
    )
