"""What every way of training shares: the choice of an update, the end, the result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import capture
from elicit.elicitation.training._parametrised import Parametrised
from elicit.elicitation.training.errors import TrainingError
from elicit.pair import Side
from elicit.rollouts import Generation, answer_task, check_prompts
from elicit.runs import Execution
from elicit.sites import Site
from elicit.tasks import Task

MOST_READ = 64
"""Prompts over which norms of activations are averaged."""


@dataclass(kw_only=True)
class Course:
    """Follows a fit: answers the problems to choose on, keeps the best parameters, ends it."""

    side: Side
    """The model."""
    trained: Parametrised
    """What is trained."""
    choose: Task | None
    """Problems to choose on."""
    generation: Generation
    """How their answers are written, greedily whatever it says."""
    stop: Callable[[Tensor], str]
    """From what all updates so far measured, why training ends there; empty where it goes on."""
    stop_right: float
    """Share of these problems that ends training when it is right."""
    check: Callable[[Tensor], None]
    """Refuses, from the same, what cannot become anything."""
    execution: Execution
    """Checkpoint of the answers."""
    steps: int
    """Most updates."""
    stopped: str = "steps"
    """Why training ended."""
    n_updates: int = 0
    """Updates behind `best`."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """The parameters that were chosen so far."""
    choice: list[int] = field(default_factory=list)
    """Updates after which problems were answered."""
    right: list[Tensor] = field(default_factory=list)
    """Whether each was right."""
    n_tokens: int = 0
    """Tokens of the answers and their prompts."""

    def ends(self, measured: Float[Tensor, "step measure"]) -> bool:
        """See `Watch`."""
        reason = self.stop(measured)
        if not reason and self.right and self.right[-1].double().mean() >= self.stop_right:
            reason = "right"
        if reason:
            self.stopped = reason
        return bool(reason)

    def kept(self, measured: Float[Tensor, "step measure"]) -> None:
        """See `Watch`."""
        self.check(measured)
        n_updates = len(measured)
        self.trained.refresh()
        if self.choose is None:
            if n_updates == self.steps or self.stop(measured):
                self.best, self.n_updates = self.trained.values(), n_updates
            return
        found = self.execution.checkpoint.get_or_compute(f"choose-{n_updates}", self._answered)
        self.n_tokens += int(found["tokens"])
        self.choice.append(n_updates)
        self.right.append(found["right"])
        most = max(int(right.sum()) for right in self.right)
        if int(found["right"].sum()) == most:
            self.best, self.n_updates = self.trained.values(), n_updates

    def _answered(self) -> dict[str, Tensor]:
        """Greedy answers under the parameters as they are."""
        assert self.choose is not None
        greedy = replace(self.generation, temperature=0.0, n_samples=1)
        # No checkpoint below: its keys would not know what the model reads now.
        plain = replace(Execution(), max_tokens=self.execution.max_tokens)
        answers = answer_task(self.side, self.choose, generation=greedy, execution=plain)
        prompts = check_prompts(self.side, self.choose, templated=greedy.templated)
        n_tokens = int(answers.n_tokens.sum()) + sum(map(len, prompts))
        return {"right": answers.correct, "tokens": torch.tensor(n_tokens)}


def output_norms(
    side: Side, prompts: Sequence[Sequence[int]], execution: Execution
) -> Float[Tensor, " layer"]:
    """Mean norm of each layer's output at the prompts' last token.

    Args:
        side: The model.
        prompts: Token ids of prompts, of which the first `MOST_READ` are read.
        execution: Most tokens of a forward.

    Raises:
        TrainingError: A norm is not finite.
    """
    sites = [Site("resid_post", layer) for layer in range(len(side.bridge.blocks))]
    batch = side.alignment.pad(prompts[:MOST_READ], padding="left")
    with torch.no_grad():
        read = capture(side.bridge, batch, sites=sites, max_tokens=execution.max_tokens)
    norms = torch.stack([read.at[site][:, -1].float().norm(dim=-1).mean() for site in sites])
    if not bool(norms.isfinite().all()):
        raise TrainingError(
            f"the norm of layer {int((~norms.isfinite()).nonzero()[0])}'s output is not finite, so "
            "vectors could not be scaled by it. Run the model in a wider dtype."
        )
    return norms.cpu()
