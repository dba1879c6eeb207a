"""What `elicit steer` does with a feature of an SAE."""

from elicit.directions import Direction, DirectionError
from elicit.elicitation import TIMES, FeatureControls, How, feature_arms
from elicit.features import Sae, fidelity
from elicit.jobs._steer.source import Looked, Source, between, where_of
from elicit.jobs._steer.spec import SteerSpec
from elicit.pair import ModelPair
from elicit.runs import Execution, NoProgress, Progress
from elicit.tasks import NEGATIVE, Task

MAX_FVU = 0.5
"""Unexplained variance above which a page warns that an SAE hardly holds what it reads."""


def feature_source(
    spec: SteerSpec,
    pair: ModelPair,
    sae: Sae,
    looked: Looked,
    choosing: Task,
    *,
    progress: Progress | None = None,
) -> Source:
    """A feature of an SAE, beside features that fire as often and the plainer way.

    Args:
        spec: What to do.
        pair: The two models.
        sae: Whose feature.
        looked: What is looked for.
        choosing: Problems on which firing rates are measured.
        progress: Told how far it is.

    Raises:
        FeatureError: The SAE is of another model, site or width.
        ElicitationError: Too few features fire as often, or the feature never does.
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
        f"these problems, at most {found.max_act[spec.feature]:.4g}. The SAE leaves {fvu:.2g} of "
        f"the variance at {sae.site} unexplained, with {l0:.3g} active features a token."
    ]
    if not fvu <= MAX_FVU:
        notes.append(
            f"With more than {MAX_FVU:g} of the variance unexplained, features stand for little of "
            "what the model does there."
        )
    baselines: list[Direction] = []
    if looked.cued:
        try:
            means = between(spec, pair, looked, choosing, [sae.site], progress)
            baselines = [means.at(sae.site)]
        except DirectionError as error:
            notes.append(f"No difference of means stands beside the feature: {error}")
    how: How = "project_out" if spec.how == "project-out" else spec.how
    arms = feature_arms(
        sae,
        spec.feature,
        where=where_of(spec),
        measured=found,
        how=how,
        amount=spec.amount,
        controls=FeatureControls(
            n_live=spec.n_live,
            factor=spec.live_factor,
            n_random=spec.n_random,
            seed=spec.seed,
        ),
        baselines=baselines,
    )
    largest = float(found.max_act[spec.feature])
    amount = TIMES * largest if spec.amount is None else spec.amount
    trained = pair.base_digest if spec.on == "base" else pair.post_digest
    # Where no amount is added the row itself tells the direction.
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
    """Texts in which firing rates are measured: the problems in every wording, solved."""
    ids, rows = {problem.id for problem in choosing}, []
    for task in (choosing, *looked.wordings.values()):
        for problem in task:
            if problem.id not in ids:
                continue
            if spec.templated:
                # What a chat template puts after a prompt is not to be guessed.
                rows.append(pair.alignment.templated(problem.prompt))
                continue
            # Where the words call for an answer at once, no trace is written.
            body = None if task.name.endswith(NEGATIVE) else problem.trace
            rows.append(pair.alignment.plain(f"{problem.prompt} {body or problem.answer}"))
    return rows
