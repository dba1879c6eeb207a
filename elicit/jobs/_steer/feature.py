"""Steering with an SAE feature in `elicit steer`."""

from elicit.directions import Direction, DirectionError
from elicit.elicitation import TIMES, FeatureControls, How, feature_arms
from elicit.features import Sae, fidelity
from elicit.jobs._steer.source import Looked, Source, between, where_of
from elicit.jobs._steer.spec import SteerSpec
from elicit.pair import ModelPair
from elicit.runs import Execution, NoProgress, Progress
from elicit.tasks import NEGATIVE, Task

MAX_FVU = 0.5
"""FVU above which the page warns that the SAE reconstructs the model poorly."""


def feature_source(
    spec: SteerSpec,
    pair: ModelPair,
    sae: Sae,
    looked: Looked,
    choosing: Task,
    *,
    progress: Progress | None = None,
) -> Source:
    """Arms of an SAE feature, its matched control features and the difference of means.

    Raises:
        FeatureError: The SAE is of another model, site or width.
        ElicitationError: The feature is never active, or too few features fire at a similar rate.
    """
    assert spec.feature is not None
    rows = _rows(spec, pair, looked, choosing)
    found = fidelity(
        pair,
        sae,
        rows,
        model=spec.on,
        execution=Execution(max_tokens=spec.max_tokens, progress=progress or NoProgress()),
    )
    rate = float(found.density[spec.feature])
    fvu, l0 = found.fvu.value.item(), found.l0.value.item()
    notes = [
        f"Feature {spec.feature} of {sae.name} is active at {100 * rate:.2g} % of the tokens of "
        f"these problems, with maximum activation {found.max_act[spec.feature]:.4g}. The SAE has "
        f"FVU {fvu:.2g} at {sae.site}, with {l0:.3g} active features per token."
    ]
    notes += found.notes
    if not fvu <= MAX_FVU:
        notes.append(
            f"With FVU above {MAX_FVU:g}, features explain little of what the model does there."
        )
    baselines: list[Direction] = []
    if looked.cued:
        try:
            means = between(spec, pair, looked, choosing, [sae.site], progress)
            baselines = [means.at(sae.site)]
        except DirectionError as error:
            notes.append(f"The feature is not compared with a difference of means: {error}")
    how: How = "project_out" if spec.how == "project-out" else spec.how
    arms = feature_arms(
        sae,
        spec.feature,
        where=where_of(spec),
        measured=found,
        how=how,
        amount=spec.amount,
        controls=FeatureControls(
            n_live=spec.n_live, factor=spec.live_factor, n_random=spec.n_random, seed=spec.seed
        ),
        baselines=baselines,
    )
    largest = float(found.max_act[spec.feature])
    amount = TIMES * largest if spec.amount is None else spec.amount
    trained = pair.base_digest if spec.on == "base" else pair.post_digest
    # Without an added amount, the decoder row itself is the direction.
    times = 1.0 if how == "project_out" else amount or 1.0
    row = sae.directions[spec.feature].detach().cpu().float() * times
    return Source(
        candidates=(arms,),
        directions=(
            Direction(
                provenance=found.provenance,
                vector=row,
                site=sae.site,
                model=found.model,
                model_digest=trained,
                how=f"decoder row of feature {spec.feature}",
                position="every token",
                norm=row.norm().item(),
                resid_norm=float("nan"),
                n=found.n_tokens,
            ),
        ),
        results={"fidelity": found},
        facts={
            "sae": sae.name,
            "feature": spec.feature,
            "how": spec.how,
            "amount": None if how == "project_out" else amount,
            "density": rate,
            "max_act": largest,
            "fvu": fvu,
            "l0": l0,
            "dead_fraction": found.dead_fraction,
        },
        notes=tuple(notes),
    )


def _rows(spec: SteerSpec, pair: ModelPair, looked: Looked, choosing: Task) -> list[list[int]]:
    """Token ids in which firing rates are measured: problem and solution in every wording."""
    ids, rows = {problem.id for problem in choosing}, []
    for task in (choosing, *looked.wordings.values()):
        for problem in task:
            if problem.id not in ids:
                continue
            # Prompts for a direct answer are followed by no trace.
            body = None if task.name.endswith(NEGATIVE) else problem.trace
            text = pair.alignment.continued(
                problem.turns, body or problem.answer, templated=spec.templated
            )
            rows.append(list(text.ids))
    return rows
