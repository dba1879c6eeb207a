"""Gates and controls of a hybrid, each at the coefficient that is best for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.directions import matched_controls
from elicit.elicitation.hybrid.design import Gate, HybridDesign
from elicit.elicitation.hybrid.fit import HybridFit
from elicit.pair import Side
from elicit.rollouts import Generation, Guidance, Guided, Rollouts, guided_rollouts, rollouts
from elicit.runs import Execution
from elicit.tasks import Task

RERANK = "rerank, no vector"
RATES = ("learned", "oracle")
"""Gates as often as which the random one fires, the first that is measured."""
NEAR = 0.02
"""Accuracies this close count as equal when a coefficient is chosen: the weaker push is taken."""


@dataclass(frozen=True, eq=False, kw_only=True)
class HybridArm:
    """One way of guiding base's texts."""

    name: str
    """A gate, the arm without a vector, or a random vector."""
    kind: str
    """`steered`, `control` or `baseline`."""
    guidance: Guidance
    """Where and how."""

    def at(self, coefficient: float) -> "HybridArm":
        """The same at another multiple of its vector."""
        return replace(self, guidance=replace(self.guidance, coefficients=(coefficient,)))

    @property
    def has_dose(self) -> bool:
        """Whether it pushes by one coefficient, which is to be chosen."""
        return self.guidance.vector is not None and not self.guidance.guardrail

    @property
    def coefficient(self) -> float:
        """Its one coefficient; NaN where it has none."""
        return self.guidance.coefficients[0] if self.has_dose else torch.nan


@dataclass(frozen=True, eq=False, kw_only=True)
class GuidedWriter:
    """Writes texts of a base, each problem with its own random stream."""

    base: Side
    """Writes."""
    post: Side
    """Guides, where a guidance asks for it."""
    generation: Generation
    """Generation options."""
    seed: int
    """Seed of all random streams."""
    execution: Execution
    """Checkpoint and progress."""

    def guided(self, guidance: Guidance, task: Task) -> Guided:
        """Guided texts; post is read only where the guidance needs it."""
        return guided_rollouts(
            self.base,
            task,
            guidance,
            guide=self.post,
            generation=self.generation,
            seed=self.seed,
            execution=self.execution,
        )

    def alone(self, side: Side, task: Task) -> Rollouts:
        """A model's own texts."""
        return rollouts(
            side, task, generation=self.generation, seed=self.seed, execution=self.execution
        )


def hybrid_arms(fit: HybridFit, design: HybridDesign, seed: int) -> tuple[HybridArm, ...]:
    """Every gate, the arm without a vector, and random vectors; the random gate has no rate yet.

    Args:
        fit: The vector and the switch.
        design: Gates, coefficients and controls.
        seed: Seed of random vectors.
    """
    switch = replace(fit.switch, threshold=design.threshold)

    def guidance(gate: Gate, vector: Tensor) -> Guidance:
        if gate == "none":
            return Guidance(switch="none")
        return Guidance(
            switch=gate,
            site=fit.site,
            vector=vector,
            coefficients=design.coefficients if design.guardrail else design.coefficients[:1],
            state_switch=switch if gate == "learned" else None,
            guardrail=design.guardrail,
        )

    kinds = {"oracle": "steered", "learned": "steered", "first": "baseline"}
    arms = [
        HybridArm(name=gate, kind=kinds.get(gate, "control"), guidance=guidance(gate, fit.vector))
        for gate in design.gates
    ]
    without = Guidance(switch="none", rerank=design.rerank)
    arms.append(HybridArm(name=RERANK, kind="baseline", guidance=without))
    others = matched_controls(fit.direction, n_random=design.n_random, shuffled=False, seed=seed)
    for number, other in enumerate(others):
        pushed = guidance("learned", other.vector)
        arms.append(HybridArm(name=f"random vector {number}", kind="control", guidance=pushed))
    return tuple(arms)


def choose_coefficients(
    arms: Sequence[HybridArm], writer: GuidedWriter, task: Task, design: HybridDesign
) -> tuple[list[HybridArm], Float[Tensor, "arm coefficient"]]:
    """Every arm at the coefficient that is best for it, and its accuracy at all of them.

    Args:
        arms: Gates and controls, in any order.
        writer: Writes their texts.
        task: Problems to choose on.
        design: Coefficients to choose from.
    """
    tried = torch.full((len(arms), len(design.coefficients)), torch.nan, dtype=torch.float64)
    chosen = list(arms)
    touched: dict[str, float] = {}
    random = any(arm.name == "random" for arm in arms)
    # The random gate fires as often as another one does, which must be known before it.
    for place in sorted(range(len(arms)), key=lambda i: arms[i].name == "random"):
        arm = arms[place]
        if arm.name == "random":
            rate = next(touched[name] for name in RATES if name in touched)
            arm = replace(arm, guidance=replace(arm.guidance, rate=rate))
        options = [arm.at(c) for c in design.coefficients] if arm.has_dose else [arm]
        if len(options) == 1 and (arm.name not in RATES or not random):
            chosen[place] = options[
                0
            ]  # nothing is to be chosen, and nobody asks how often it fires
            continue
        texts = [writer.guided(option.guidance, task) for option in options]
        right = torch.stack([one.rollouts.correct.double().mean() for one in texts])
        best = _weakest_best(right, [abs(option.coefficient) for option in options])
        chosen[place] = options[best]
        if arm.has_dose:
            tried[place] = right
        made = texts[best]
        touched[arm.name] = int(made.n_touched.sum()) / int(made.rollouts.n_tokens.sum())
    return chosen, tried


def _weakest_best(right: Float[Tensor, " option"], size: Sequence[float]) -> int:
    """The option that reaches nearly the best accuracy with the weakest push."""
    near = (right >= right.max() - NEAR).nonzero()[:, 0].tolist()
    return min(near, key=lambda i: size[i])
