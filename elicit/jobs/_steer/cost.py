"""What a steering run costs, and what it can do without."""

from elicit.jobs._budget import Costing, Cut, halves
from elicit.jobs._cued_cost import every_layers, plain, site_cuts, written
from elicit.jobs._forecast import Stage, prompt_tokens
from elicit.jobs._steer.inputs import SteerInputs
from elicit.jobs._steer.spec import SteerSpec
from elicit.pair import ModelPair
from elicit.tasks import LEAST, Split


def steer_stages(spec: SteerSpec, pair: ModelPair, inputs: SteerInputs) -> list[Stage]:
    """Finding the direction, then writing texts; progress of the second counts texts."""
    split = Split.of(inputs.task, spec.choose_share, seed=spec.seed)
    n_choose, n_test = len(split.choose), len(split.test)
    prompt = prompt_tokens(pair.side(spec.on), inputs.task, templated=spec.templated)
    prompt /= len(inputs.task)
    sites = every_layers(spec.sites, pair) if spec.needs_cues else 1
    # The direction, its shuffled entries, random ones, and features of like rate.
    arms = 2 + spec.n_random + (spec.n_live if spec.source == "feature" else 0)
    strengths = len(spec.strengths)
    searched = sites * strengths * n_choose if sites > 1 else 0
    steered = searched + arms * (strengths * n_choose + n_test)
    plain = (2 + len(inputs.looked.wordings)) * (2 * n_choose + n_test)
    trained = spec.steps * 3 * 2048 if spec.source == "trained" else 0
    read = 2 * n_choose * prompt if spec.needs_cues else 4 * n_choose * prompt
    find = Stage(
        name="finding the direction",
        tokens=read + trained,
        unembedded=trained,
        nbytes=4.0 * 2 * n_choose * pair.d_model * sites,
    )
    return [find, written(spec, texts=steered + plain, judged=steered + plain, prompt=prompt)]


def steer_cuts(spec: SteerSpec, pair: ModelPair, inputs: SteerInputs) -> list[Cut]:
    """What a steering run leaves out to fit a budget, in order."""
    cuts = []
    if spec.n_random > 2:
        cuts.append(
            Cut(options={"n_random": 2}, what=f"2 of {spec.n_random} random directions were drawn")
        )
    sites = site_cuts(spec, spec.strengths, pair.n_layers)
    if not spec.needs_cues:
        sites = [cut for cut in sites if "sites" not in cut.options]
    return [*cuts, *sites, *halves(len(inputs.task), 2 * LEAST, "problems")]


STEER_COSTING = Costing(
    stages=steer_stages, cuts=steer_cuts, asked=lambda spec, inputs: (inputs.task, plain(spec))
)
