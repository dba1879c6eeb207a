"""From the names of mechanisms to the mechanisms."""

from collections.abc import Callable
from typing import get_args

from elicit.elicitation import DiffMeanSteering, FeatureSteering, HybridSteering, Means, Reranking
from elicit.elicitation.training import TrainingName, training_means
from elicit.features import load_sae
from elicit.jobs._mechanisms.critic import chain_critic
from elicit.jobs._mechanisms.spec import MechanismsSpec
from elicit.pair import ModelPair

Makes = Callable[[MechanismsSpec, ModelPair], Means]
FORMS = {True: "answer {} .", False: "The answer is {}."}
"""How a target of fine-tuning writes its answer: of an embedded pair, and else."""


def means_of(spec: MechanismsSpec, pair: ModelPair) -> dict[str, Means]:
    """The mechanisms of a run, in the order in which they run.

    Args:
        spec: Options of the run.
        pair: The two models.

    Raises:
        ElicitError: An SAE or expert cannot be loaded, or does not fit the models.
    """
    return {name: _MAKES[name](spec, pair) for name in spec.tried}


def _feature(spec: MechanismsSpec, *, control: bool) -> Means:
    assert spec.sae is not None and spec.feature is not None
    sae = load_sae(spec.sae)
    return FeatureSteering(sae=sae, feature=spec.feature, control=control)


def _training(name: TrainingName) -> Makes:
    def make(spec: MechanismsSpec, _pair: ModelPair) -> Means:
        return training_means(
            name,
            form=FORMS[spec.pair is not None],
            opener=next(iter(spec.begins), ""),
            critic=chain_critic if spec.embedded else None,
        )

    return make


_MAKES: dict[str, Makes] = {
    **{name: _training(name) for name in get_args(TrainingName)},
    "diff-mean": lambda spec, pair: DiffMeanSteering(),
    "diff-mean-random": lambda spec, pair: DiffMeanSteering(control=True),
    "feature": lambda spec, pair: _feature(spec, control=False),
    "feature-controls": lambda spec, pair: _feature(spec, control=True),
    "hybrid": lambda spec, pair: HybridSteering(),
    "hybrid-random": lambda spec, pair: HybridSteering(control=True),
    "rerank": lambda spec, pair: Reranking(),
}
