"""How much of the gap a guided hybrid closes, by gate and beside its controls."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.elicitation._shares import share_or_reason
from elicit.elicitation.errors import ElicitationError
from elicit.elicitation.hybrid._arms import GuidedWriter, choose_coefficients, hybrid_arms
from elicit.elicitation.hybrid._reading import read_states
from elicit.elicitation.hybrid.design import HybridDesign
from elicit.elicitation.hybrid.disagreements import differing
from elicit.elicitation.hybrid.fit import HybridFit
from elicit.pair import ModelPair
from elicit.results import Estimate, Provenance, Result
from elicit.rollouts import Generation, Rollouts
from elicit.runs import Execution
from elicit.stats import Inference, linearised_auroc, problem_mean
from elicit.tasks import REASONS, Marker, Split, longer_than

SHOWN = 6
"""Problems whose texts are kept."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Hybrid(Result):
    """Base's texts with a vector added at single tokens: accuracy and cost by gate.

    Every gate and control has the coefficient that is best for it on other problems.
    """

    arm: tuple[str, ...]
    """Gates by their names, then `rerank, no vector`, then random vectors."""
    kind: tuple[str, ...]
    """`steered`; `control`, which should do nothing if vector and place matter; `baseline`, another
    way to the same end."""
    reads_post: Bool[Tensor, " arm"]
    """Whether post is there while the text is written."""
    dose: Float[Tensor, " arm"]
    """Its multiple of the vector; NaN where there is none, or all are candidates."""
    coefficient: Float[Tensor, " coefficient"]
    """Multiples that were tried."""
    choose_accuracy: Float[Tensor, "arm coefficient"]
    """Accuracy on the problems to choose on; NaN where a coefficient does not apply, or nothing was
    to be chosen."""
    accuracy: Annotated[Estimate, "arm"]
    """Share of held-out problems that are right."""
    share: Annotated[Estimate, "arm"]
    """Share of the gap from base to post that is closed: 0 none, 1 all, never clipped (Fieller)."""
    no_share: str
    """Why there is no share; empty where there is one."""
    touched: Annotated[Estimate, "arm"]
    """Share of a text's tokens that were decided after a push, or picked by post against base."""
    changed: Annotated[Estimate, "arm"]
    """Share of a text's tokens that are not what base would have written there."""
    traces: Annotated[Estimate, "arm"]
    """Share of texts that show reasoning."""
    alone: tuple[str, ...]
    """`base`, `post`."""
    alone_accuracy: Annotated[Estimate, "alone"]
    """Accuracy of each model's own texts."""
    alone_traces: Annotated[Estimate, "alone"]
    """Share of their texts that show reasoning."""
    per_text: Annotated[Estimate, ""]
    """Tokens of post's text at which base would write another one."""
    differ: Annotated[Estimate, ""]
    """The same as a share of the text's tokens."""
    switch_at: Float[Tensor, " place"]
    """Mean probability of the learned switch at these tokens, and at all others."""
    place: tuple[str, ...]
    """`where they differ`, `elsewhere`."""
    switch_auroc: float
    """How well it tells them apart on held-out texts: 0.5 is chance; NaN where all are alike."""
    relative_norm: float
    """Norm of the vector over that of the states it is added to, at coefficient 1."""
    guardrail: bool
    """Whether post picked between base's own token and the pushed ones."""
    rerank: int
    """Base's most probable tokens among which post picks in the arm without a vector."""
    n_fitted: int
    """Numbers fitted on what post would write: vector and switch."""
    n_choose: int
    """Problems on which coefficients were chosen."""
    problem: tuple[str, ...]
    """Held-out problems, the unit of every interval."""
    correct: Bool[Tensor, "arm problem"]
    """Whether each text is right."""
    alone_correct: Bool[Tensor, "alone problem"]
    """Whether each model's own text is right."""
    text: tuple[tuple[str, ...], ...]
    """Each arm's texts for the first problems. Text of a model: never trusted."""

    def of(self, arm: str) -> int:
        """Index of an arm.

        Raises:
            ElicitationError: It was not measured.
        """
        if arm not in self.arm:
            raise ElicitationError(
                f"there is no arm {arm!r}; there are {', '.join(self.arm)}. Pass one of these."
            )
        return self.arm.index(arm)


def measure_hybrid(
    pair: ModelPair,
    split: Split,
    fit: HybridFit,
    *,
    design: HybridDesign = HybridDesign(),
    shown: Marker | None = None,
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Hybrid:
    """Write with base, push where each gate fires, and grade; post's picking beside it.

    Args:
        pair: The two models.
        split: Problems to choose coefficients on, and held-out ones; none of them fitted on.
        fit: The vector and the switch.
        design: Gates, coefficients, controls, and whether post may pick (off).
        shown: Whether a text shows reasoning; None takes texts of 12 words or more.
        generation: Generation options.
        inference: Coverage, resamples and seed; the seed also draws random vectors and gates.
        execution: Checkpoint and progress.

    Raises:
        ElicitationError: The fit is of another base, or the two models differ nowhere.
        RolloutError: See `guided_rollouts`.

    Source: Venhoff et al. 2025, arXiv:2510.07364; its controls (random vectors, random firing) and
        the arm without a vector, which that paper does not have.
    """
    base, post = pair.side("base"), pair.side("post")
    if fit.model_digest != base.digest:
        raise ElicitationError(
            f"the hybrid was fitted on a model with digest {fit.model_digest[:12]} and base has "
            f"{base.digest[:12]}, so the vector belongs to other states. Fit it on this pair."
        )
    writer = GuidedWriter(
        base=base,
        post=post,
        generation=generation,
        seed=inference.seed,
        execution=execution.scoped("hybrid"),
    )
    greedy = replace(generation, temperature=0.0, n_samples=1)
    found = differing(
        pair,
        split.test,
        writer="post",
        generation=greedy,
        inference=inference,
        execution=execution,
    )
    arms = hybrid_arms(fit, design, inference.seed)
    chosen, tried = choose_coefficients(arms, writer, split.choose, design)
    texts = [writer.guided(arm.guidance, split.test) for arm in chosen]
    own = [writer.alone(side, split.test) for side in (base, post)]
    marker = longer_than(REASONS - 1) if shown is None else shown
    state = read_states(base, found.rows, fit.site, execution)
    probability = replace(fit.switch, threshold=design.threshold).probability(state)
    differs = found.base_id != found.post_id
    correct = torch.stack([_by_problem(t.rollouts, t.rollouts.correct) for t in texts])
    alone = torch.stack([_by_problem(t, t.correct) for t in own])
    closed = [share_or_reason(one, alone[0], alone[1], inference) for one in correct]
    proportion = generation.n_samples == 1

    def means(columns: Sequence[Tensor], *, rates: bool) -> Estimate:
        return Estimate.of_intervals(
            problem_mean(
                each.double(),
                inference=inference,
                method="t" if rates else "bca",
                proportion=rates,
            )
            for each in columns
        )

    def traces(one: Rollouts) -> Tensor:
        return _by_problem(one, torch.tensor([bool(marker(text)) for text in one.text]))

    def parts(name: str) -> list[Tensor]:
        return [
            _by_problem(t.rollouts, getattr(t, name) / t.rollouts.n_tokens.clamp(min=1))
            for t in texts
        ]

    return Hybrid(
        provenance=_provenance(pair, split, fit, design, generation, inference),
        arm=tuple(arm.name for arm in chosen),
        kind=tuple(arm.kind for arm in chosen),
        reads_post=torch.tensor([arm.guidance.reads_guide for arm in chosen]),
        dose=torch.tensor([arm.coefficient for arm in chosen]).double(),
        coefficient=torch.tensor(design.coefficients).double(),
        choose_accuracy=tried,
        accuracy=means(correct.unbind(0), rates=proportion),
        share=Estimate.stack([one for one, _ in closed]),
        no_share=closed[0][1],
        touched=means(parts("n_touched"), rates=False),
        changed=means(parts("n_changed"), rates=False),
        traces=means([traces(t.rollouts) for t in texts], rates=proportion),
        alone=("base", "post"),
        alone_accuracy=means(alone.unbind(0), rates=proportion),
        alone_traces=means([traces(one) for one in own], rates=proportion),
        per_text=found.result.per_text,
        differ=found.result.share,
        switch_at=torch.stack([probability[differs].mean(), probability[~differs].mean()]),
        place=("where they differ", "elsewhere"),
        switch_auroc=_auroc(probability, differs),
        relative_norm=fit.relative_norm,
        guardrail=design.guardrail,
        rerank=design.rerank,
        n_fitted=fit.n_parameters,
        n_choose=len(split.choose),
        problem=tuple(problem.id for problem in split.test),
        correct=correct == 1,
        alone_correct=alone == 1,
        text=tuple(t.rollouts.text[:SHOWN] for t in texts),
    )


def _by_problem(texts: Rollouts, values: Tensor) -> Float[Tensor, " problem"]:
    """Mean over the texts of each problem."""
    return values.double().view(len(texts.problem), -1).mean(1)


def _auroc(score: Float[Tensor, " token"], differs: Bool[Tensor, " token"]) -> float:
    """Chance that a token at which the models differ scores above another one."""
    if bool(differs.all()):
        return float("nan")
    scores = torch.stack([-score, score], dim=-1).double()
    problem = torch.arange(len(score))
    return linearised_auroc(scores, differs.long(), problem).mean().item()


def _provenance(
    pair: ModelPair,
    split: Split,
    fit: HybridFit,
    design: HybridDesign,
    generation: Generation,
    inference: Inference,
) -> Provenance:
    return pair.provenance(
        inference.seed,
        {
            "question": "measure_hybrid",
            "site": str(fit.site),
            "gates": list(design.gates),
            "coefficients": list(design.coefficients),
            "threshold": design.threshold,
            "rerank": design.rerank,
            "guardrail": design.guardrail,
            "fitted_on": fit.writer,
            "temperature": generation.temperature,
            "n_samples": generation.n_samples,
            "max_new_tokens": generation.max_new_tokens,
            "templated": generation.templated,
            "level": inference.level,
        },
        task_digests={"choose": split.choose.digest, "test": split.test.digest},
    )
