"""A guided hybrid as a mechanism, its control, and post's picking without a vector."""

from dataclasses import dataclass

from elicit.elicitation.bench import Attempt, Bench, Sees, Writes
from elicit.elicitation.hybrid._arms import (
    GuidedWriter,
    HybridArm,
    choose_coefficients,
    hybrid_arms,
)
from elicit.elicitation.hybrid.design import HybridDesign
from elicit.elicitation.hybrid.fit import HybridTraining, fit_hybrid
from elicit.elicitation.hybrid.measure import measure_hybrid
from elicit.pair import hugging_face_model
from elicit.rollouts import Generation, Guidance, Rollouts, guided_rollouts
from elicit.runs import Execution
from elicit.sites import Site
from elicit.tasks import Split, Task

BITS = 16.0
"""Bits that one fitted number can hold at most."""
MOST_CHOOSE = 24
"""Problems on which the coefficients of gates that are only shown are chosen."""


@dataclass(frozen=True, kw_only=True)
class HybridSteering:
    """Base with a vector added where a switch on its own state fires; both fitted on post's texts.

    Post is not read while the texts of the test are written.
    """

    control: bool = False
    """Whether a random vector of the same norm takes the place of the fitted one."""
    site: Site | None = None
    """Where the vector is added; None takes the residual stream after 0.6 of the layers."""
    coefficients: tuple[float, ...] = (0.5, 1.0)
    """Multiples of the vector to choose from."""
    training: HybridTraining = HybridTraining()
    """How the vector is fitted."""
    most_texts: int = 96
    """Most problems to fit on."""
    gates: bool = True
    """Whether all gates are measured beside it, for the page, their coefficients chosen on at most
    `MOST_CHOOSE` problems; a control measures none."""

    @property
    def name(self) -> str:
        """What figures and tables call it."""
        return "hybrid, random vector" if self.control else "hybrid"

    @property
    def sees(self) -> Sees:
        """Post's greedy tokens."""
        return "post texts"

    def attempt(self, bench: Bench) -> Attempt:
        """Fit vector and switch, choose a coefficient, and write with the learned switch.

        Raises:
            ElicitationError: Base and post differ at no token.
        """
        task = bench.fit
        if len(task) > self.most_texts:
            task = task.subset(self.most_texts, seed=bench.inference.seed)
        fit = fit_hybrid(
            bench.pair,
            task,
            site=self.site,
            training=self.training,
            generation=bench.generation,
            seed=bench.inference.seed,
            execution=bench.execution,
        )
        design = HybridDesign(gates=("learned",), coefficients=self.coefficients)
        arms = hybrid_arms(fit, design, bench.inference.seed)
        wanted = "random vector 0" if self.control else "learned"
        arm = next(arm for arm in arms if arm.name == wanted)
        writer = GuidedWriter(
            base=bench.base,
            post=bench.post,
            generation=bench.generation,
            seed=bench.inference.seed,
            execution=bench.execution,
        )
        chosen, tried = choose_coefficients([arm], writer, bench.choose, design)
        made = writer.guided(chosen[0].guidance, bench.choose).rollouts
        details = {}
        if self.gates and not self.control:
            few = min(MOST_CHOOSE, len(bench.choose))
            details = {
                "hybrid": measure_hybrid(
                    bench.pair,
                    Split(
                        choose=bench.choose.subset(few, seed=bench.inference.seed),
                        test=bench.test,
                    ),
                    fit,
                    design=HybridDesign(coefficients=self.coefficients),
                    shown=bench.behaviour.shown,
                    generation=bench.generation,
                    inference=bench.inference,
                    execution=bench.execution,
                )
            }
        # Post writes the texts and both read them; each update reads 16 of them in base.
        n_trained = round(16 * self.training.steps * fit.n_tokens / fit.n_texts)
        n_read = 3 * fit.n_tokens + len(self.coefficients) * int(made.n_tokens.sum())
        best = chosen[0].coefficient
        return Attempt(
            chosen=made.correct.double(),
            tests=(bench.tried(_writes(bench, chosen[0]), bench.test, sampled=True),),
            # A random vector tells nothing, the switch that it hangs on does.
            bits=BITS * (fit.switch.n_parameters if self.control else fit.n_parameters),
            n_trained=fit.n_parameters,
            n_tokens=n_read + n_trained,
            flops=bench.flops(n_read) + bench.flops(n_trained, trained=True),
            setting=f"{wanted} at {fit.site}, coefficient {best:g}",
            rejected=tuple(
                f"coefficient {c:g}: {rate:.2f}"
                for c, rate in zip(design.coefficients, tried[0].tolist(), strict=True)
                if c != best
            ),
            details=details,
        )


@dataclass(frozen=True, kw_only=True)
class Reranking:
    """Base's most probable tokens, of which post picks one at every token; no vector."""

    among: tuple[int, ...] = (5,)
    """Tokens among which post picks, to choose from."""
    name: str = "rerank"
    """What figures and tables call it."""
    control: bool = False
    """It is what a hybrid is to be held against, and no control of base's ability."""

    @property
    def sees(self) -> Sees:
        """Post is there at every token."""
        return "post weights"

    def attempt(self, bench: Bench) -> Attempt:
        """Choose among how many tokens post picks, and write.

        Raises:
            RolloutError: See `guided_rollouts`.
        """
        arms = [
            HybridArm(
                name=f"post picks among base's top {k}",
                kind="baseline",
                guidance=Guidance(switch="none", rerank=k),
            )
            for k in self.among
        ]
        texts = [_writes(bench, a)(bench.choose, bench.generation, bench.execution) for a in arms]
        right = [one.correct.double() for one in texts]
        best = max(range(len(arms)), key=lambda i: (right[i].mean().item(), -self.among[i]))
        n_tokens = sum(int(one.n_tokens.sum()) for one in texts)
        n_parameters = sum(p.numel() for p in hugging_face_model(bench.post.bridge).parameters())
        return Attempt(
            chosen=right[best],
            tests=(bench.tried(_writes(bench, arms[best]), bench.test, sampled=True),),
            bits=BITS * n_parameters,
            n_tokens=n_tokens,
            # Both models read every token.
            flops=2 * bench.flops(n_tokens),
            setting=arms[best].name,
            rejected=tuple(
                f"{arm.name}: {rate.mean().item():.2f}"
                for i, (arm, rate) in enumerate(zip(arms, right, strict=True))
                if i != best
            ),
        )


def _writes(bench: Bench, arm: HybridArm) -> Writes:
    """Base's guided texts."""

    def write(task: Task, generation: Generation, execution: Execution) -> Rollouts:
        return guided_rollouts(
            bench.base,
            task,
            arm.guidance,
            guide=bench.post,
            generation=generation,
            seed=bench.inference.seed,
            execution=execution,
        ).rollouts

    return write
