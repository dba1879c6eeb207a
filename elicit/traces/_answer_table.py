"""What both models answered under one condition, problem by problem."""

from collections.abc import Sequence

import torch

from elicit.rollouts import Rollouts
from elicit.tasks import Task, parse_number, shown
from elicit.traces.abstentions import abstains
from elicit.traces.errors import TraceError


class AnswerTable:
    """What both models wrote under one condition, problem by problem."""

    def __init__(self, task: Task, texts: Sequence[Rollouts], abstentions: Sequence[str]) -> None:
        """Grade base's and post's texts to a task."""
        self.ids = tuple(sorted(problem.id for problem in task))
        if any(each.task_digest != task.digest for each in texts) or len(texts) != 2:
            raise TraceError(
                f"the {len(texts)} texts are not base's and post's of task {shown(task.name)}, so "
                "answers would be graded against other problems. Pass what both wrote to it."
            )
        place = {name: i for i, name in enumerate(self.ids)}
        at = torch.tensor([place[problem.id] for problem in task])
        self.right = torch.zeros(2, len(self.ids), dtype=torch.float64)
        self.none = torch.zeros(2, len(self.ids), dtype=torch.float64)
        values = [_value(problem.answer) for problem in task]
        floor, cut, long = [], [], []
        for m, each in enumerate(texts):
            rows = (each.sample == 0).nonzero()[:, 0].tolist()
            places = at[each.place[rows]]
            self.right[m, places] = each.correct[rows].double()
            problems = [task.problems[int(each.place[row])] for row in rows]
            self.none[m, places] = torch.tensor(
                [abstains(each.text[row], p, abstentions)
                 for row, p in zip(rows, problems, strict=True)]
            ).double()  # fmt: skip
            floor.append(_chance([each.extracted[row] for row in rows], values))
            cut.append(each.truncated[rows].double().mean())
            long.append(each.n_tokens[rows].double().mean())
        self.floor, self.truncated = torch.tensor(floor).double(), torch.stack(cut)
        self.mean_tokens = torch.stack(long)


def _value(answer: str) -> object:
    number = parse_number(answer)
    return " ".join(answer.split()).casefold() if number is None else number


def _chance(given: Sequence[str | None], right: Sequence[object]) -> float:
    """Mean share of the other problems whose answer each given answer is."""
    if len(right) < 2:
        return float("nan")
    hits = 0
    for place, answer in enumerate(given):
        if answer is not None:
            value = _value(answer)
            hits += sum(value == other for i, other in enumerate(right) if i != place)
    return hits / (len(right) * (len(right) - 1))
