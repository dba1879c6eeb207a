"""Power sampling: texts from the model's own distribution, sharpened over whole texts."""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.elicitation.decoding._provenance import provenance
from elicit.pair import Side
from elicit.results import Estimate, Result
from elicit.rollouts import Generation, particle_rollouts, rollouts
from elicit.runs import Execution
from elicit.stats import Inference, joint_estimate
from elicit.tasks import Marker, Task


@dataclass(frozen=True, eq=False, kw_only=True)
class PowerSample(Result):
    """Weighted texts from p(x)^alpha, beside texts drawn token by token at temperature 1/alpha.

    Sharpening over whole texts favours short and sure ones: a model that guesses at once may do so
    more often, so a share near 0 is what the target says. An effective number of particles near
    all of them says that their weights are alike, not that the distribution is covered: texts that
    no particle has begun are not missed by it.
    """

    problem: tuple[str, ...]
    """Id of each problem."""
    sample: tuple[str, ...]
    """`sharpened`: texts by their weights; `cold`: as many drawn at temperature 1/alpha."""
    right: Float[Tensor, "problem sample"]
    """Share of texts that are right."""
    accuracy: Annotated[Estimate, "sample"]
    """Mean over problems, with intervals simultaneous over both."""
    length: Float[Tensor, "problem sample"]
    """Mean tokens of a text."""
    drawn_right: Float[Tensor, " problem"]
    """Whether the one text drawn by its weight is right."""
    drawn: tuple[str, ...]
    """That text. Text of a model: never trusted."""
    log_weight: Float[Tensor, "problem particle"]
    """Log of each particle's share in the weights of its problem."""
    log_prob: Float[Tensor, "problem particle"]
    """Log-probability of each particle's text at temperature 1, nats."""
    text: tuple[str, ...]
    """Text of each particle, by problem. Text of a model: never trusted."""
    ess: Float[Tensor, " problem"]
    """Effective number of particles at the end."""
    least_ess: Float[Tensor, " problem"]
    """The least it was."""
    n_resamplings: Int[Tensor, " problem"]
    """How often particles were resampled by their weights."""
    n_distinct: Int[Tensor, " problem"]
    """Different texts among the particles."""
    alpha: float
    """Exponent of the distribution."""
    ramp: int
    """Tokens over which it rose."""
    n_tokens: int
    """Tokens that were drawn and kept, of the sharpened texts."""
    level: float
    """Nominal coverage of the intervals."""

    def shown(self, marker: Marker) -> Float[Tensor, " problem"]:
        """Weighted share of texts that show a behaviour.

        Args:
            marker: Whether a text shows it.
        """
        found = torch.tensor([float(marker(text)) for text in self.text], dtype=torch.float64)
        return (self.log_weight.exp() * found.view_as(self.log_weight)).sum(1)


def power_sample(
    side: Side,
    task: Task,
    *,
    alpha: float = 4.0,
    particles: int = 16,
    ramp: int = 8,
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> PowerSample:
    """Sample whole texts from p(x)^alpha by sequential Monte Carlo; see `particle_rollouts`.

    Args:
        side: The model.
        task: Problems with their reference answers.
        alpha: Exponent, above 0; 1 is the model itself.
        particles: Texts of each problem.
        ramp: Tokens over which the exponent rises from 1.
        generation: Longest text, stops, extraction and batches.
        inference: Coverage, resamples and seed of the intervals and of all random streams.
        execution: Checkpoint and progress.

    Raises:
        RolloutError: See `particle_rollouts`.
        TaskError: See `rollouts`.

    Source: Karan & Du 2025, arXiv:2510.14901, for the target; Power-SMC, arXiv:2602.10273, for the
        weights.
    """
    found = particle_rollouts(
        side,
        task,
        alpha=alpha,
        particles=particles,
        ramp=ramp,
        generation=generation,
        seed=inference.seed,
        execution=execution.scoped("sharpened"),
    )
    cold = rollouts(
        side,
        task,
        generation=replace(generation, temperature=1 / alpha, n_samples=particles),
        seed=inference.seed,
        execution=execution.scoped("cold"),
    )
    shape, share, texts = (len(task), particles), found.log_weight.exp(), found.rollouts
    drawn = found.drawn()

    def beside(name: str) -> Tensor:
        mine, theirs = (getattr(one, name).double().view(shape) for one in (texts, cold))
        return torch.stack([(share * mine).sum(1), theirs.mean(1)], dim=1)

    right = beside("correct")
    return PowerSample(
        provenance=provenance(
            side,
            task,
            {"question": "power_sample", "alpha": alpha, "particles": particles, "ramp": ramp},
            generation=generation,
            inference=inference,
        ),
        problem=tuple(problem.id for problem in task),
        sample=("sharpened", "cold"),
        right=right,
        accuracy=joint_estimate(right, inference=inference),
        length=beside("n_tokens"),
        drawn_right=drawn.correct.double(),
        drawn=drawn.text,
        log_weight=found.log_weight,
        log_prob=found.log_prob,
        text=texts.text,
        ess=found.ess,
        least_ess=found.least_ess,
        n_resamplings=found.n_resamplings,
        n_distinct=torch.tensor(
            [len(set(texts.text[i : i + particles])) for i in range(0, len(texts), particles)]
        ),
        alpha=alpha,
        ramp=ramp,
        n_tokens=int(texts.n_tokens.sum()),
        level=inference.level,
    )
