"""What the ladder costs, and what it can do without."""

from elicit.jobs._budget import Costing, Cut, halves
from elicit.jobs._cued_cost import every_layers, plain, site_cuts, written
from elicit.jobs._exists.spec import ExistsSpec
from elicit.jobs._forecast import Stage, prompt_tokens
from elicit.pair import ModelPair
from elicit.tasks import LEAST, Behaviour, Task
from elicit.verdicts import LadderDesign, fewest_draws


def exists_stages(spec: ExistsSpec, pair: ModelPair, inputs: tuple[Task, Behaviour]) -> list[Stage]:
    """Reading and steering, as one stage whose progress counts texts."""
    task, behaviour = inputs
    n_choose = round(len(task) * spec.choose_share)
    n_test = len(task) - n_choose
    sites = every_layers(spec.sites, pair)
    strengths = len(spec.strengths or LadderDesign().strengths)
    models = 1 if pair.identical else 2
    dosed = min(spec.n_dosed, n_choose)
    controls = 1 + spec.n_random
    chosen = sites * strengths * n_choose + controls * strengths * dosed
    # Controls are tested at the direction's strength, and at up to two of their own in base.
    steered = models * (chosen + n_test) + models * controls * n_test
    steered += (models + 1) * controls * n_test if dosed else 0
    plain = models * (n_choose + n_test) + (len(behaviour.baselines) + 2) * n_test
    prompts = prompt_tokens(pair.side("base"), task, templated=spec.templated) / len(task)
    texts = written(spec, texts=steered + plain, judged=steered + plain, prompt=prompts)
    reading = 2 * len(task) * prompts * (models + spec.n_redrawn)
    return [
        Stage(
            name="ladder",
            tokens=texts.tokens + reading,
            reread=texts.reread,
            written=texts.written,
            texts=texts.texts,
            nbytes=4.0 * 2 * len(task) * pair.d_model * pair.n_layers,
            context=texts.context,
            cached=texts.cached,
        )
    ]


def exists_cuts(spec: ExistsSpec, pair: ModelPair, inputs: tuple[Task, Behaviour]) -> list[Cut]:
    """What the ladder leaves out to fit a budget, in order."""
    task, _ = inputs
    cuts = []
    if spec.n_redrawn > 1:
        cuts.append(
            Cut(
                options={"n_redrawn": 1},
                what=f"1 of {spec.n_redrawn} re-initialised bases were probed",
            )
        )
    least = fewest_draws(spec.inference)
    if spec.n_random > least:
        cuts.append(
            Cut(
                options={"n_random": least},
                what=f"{least} of {spec.n_random} random directions were drawn",
            )
        )
    if spec.n_dosed:
        what = "controls were not tried at strengths of their own"
        cuts.append(Cut(options={"n_dosed": 0}, what=what))
    asked = spec.strengths or LadderDesign().strengths
    return [
        *cuts,
        *site_cuts(spec, asked, pair.n_layers),
        *halves(len(task), 2 * LEAST, "problems"),
    ]


EXISTS_COSTING = Costing(
    stages=exists_stages, cuts=exists_cuts, asked=lambda spec, inputs: (inputs[0], plain(spec))
)
