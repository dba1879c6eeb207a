"""How hard each example is for a model, measured before one of them is trained on."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation.training.errors import TrainingError
from elicit.pair import Side
from elicit.results import Provenance, Result
from elicit.rollouts import Generation, rollouts
from elicit.runs import Execution
from elicit.tasks import REASONS, Marker, Task, longer_than

Hardness = Literal["hard", "middle", "easy"]
"""Examples that a direct answer solves rarely, middling often, or often."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ExampleRates(Result):
    """How often a model solves each problem by itself, with and without the behaviour.

    With one example the mode of answering wins that earns most: where direct answers are right more
    often than the behaviour is shown, training on it teaches to remember the answer.
    """

    problem: tuple[str, ...]
    """Id of each problem."""
    right: Float[Tensor, " problem"]
    """Share of texts that are right."""
    shown: Float[Tensor, " problem"]
    """Share of texts that show the behaviour, such as a trace."""
    right_shown: Float[Tensor, " problem"]
    """Share of texts that show it and are right: what rewards earn the behaviour."""
    right_direct: Float[Tensor, " problem"]
    """Share of texts that do not show it and are right: what rewards earn anything else."""
    n_samples: int
    """Texts of each problem, at temperature 1."""
    n_tokens: int
    """Tokens read and written."""

    def pick(self, hardness: Hardness, n: int = 3) -> tuple[str, ...]:
        """Ids of examples to train on, from those that the model solves sometimes and not always.

        `hard` are those with the smallest share of right direct answers, `easy` with the largest,
        `middle` those around the median; ties go by order.

        Args:
            hardness: Which.
            n: How many; at least 3, because one example says little of others.

        Raises:
            TrainingError: Too few problems are solved sometimes and not always.
        """
        usable = [i for i, rate in enumerate(self.right.tolist()) if 0 < rate < 1]
        if len(usable) < n or n < 1:
            solved = int((self.right == 1).sum())
            raise TrainingError(
                f"{n} examples were asked for, and of {len(self.problem)} problems the model "
                f"solves {solved} in every text already and "
                f"{len(self.problem) - solved - len(usable)} in none, which leaves {len(usable)} "
                "from which anything could be learned. Pass other problems, or more samples."
            )
        ordered = sorted(usable, key=lambda i: (float(self.right_direct[i]), i))
        begin = {"hard": 0, "middle": (len(ordered) - n) // 2, "easy": len(ordered) - n}[hardness]
        return tuple(self.problem[i] for i in ordered[begin : begin + n])


def example_rates(
    side: Side,
    task: Task,
    *,
    generation: Generation,
    n_samples: int = 16,
    shown: Marker | None = None,
    seed: int = 0,
    execution: Execution = Execution(),
) -> ExampleRates:
    """Sample texts to every problem and count how often each is solved, and how.

    Args:
        side: The model.
        task: Candidates for examples.
        generation: How texts are written and graded; temperature and number of samples are set.
        n_samples: Texts of each problem, at temperature 1.
        shown: Whether a text shows the behaviour; None: whether it has `REASONS` words or more.
        seed: Of the texts.
        execution: Checkpoint and progress.
    """
    how = Generation(
        stop_ids=generation.stop_ids,
        max_new_tokens=generation.max_new_tokens,
        temperature=1.0,
        n_samples=n_samples,
        extractor=generation.extractor,
        templated=generation.templated,
        batch_size=generation.batch_size,
    )
    written = rollouts(side, task, generation=how, seed=seed, execution=execution)
    right = written.correct.double().view(len(task), n_samples)
    marker = shown or longer_than(REASONS - 1)
    has = torch.tensor([float(marker(text)) for text in written.text], dtype=torch.float64)
    has = has.view(len(task), n_samples)
    return ExampleRates(
        provenance=Provenance(
            seed=seed,
            arguments={"question": "example_rates", "n_samples": n_samples, "model": side.digest},
            task_digests={task.name: task.digest},
        ),
        problem=written.problem,
        right=right.mean(1),
        shown=has.mean(1),
        right_shown=(right * has).mean(1),
        right_direct=(right * (1 - has)).mean(1),
        n_samples=n_samples,
        n_tokens=int(written.n_tokens.sum() + written.n_prompt.sum()),
    )
