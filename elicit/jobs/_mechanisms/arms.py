"""From the names of mechanisms to the mechanisms."""

from collections.abc import Callable
from typing import get_args

from elicit import organisms
from elicit.elicitation import (
    BestPrompt,
    BudgetForcingArm,
    CotDecodingArm,
    DialArm,
    DiffMeanSteering,
    FeatureSteering,
    FewShot,
    ForcedPrefix,
    HybridSteering,
    MajorityVoteArm,
    Means,
    PowerSamplingArm,
    ProxyArm,
    Reranking,
    RuleCritic,
    ThoughtBudget,
    TrainingName,
    training_means,
)
from elicit.features import load_sae
from elicit.jobs._mechanisms.spec import MechanismsSpec
from elicit.pair import ModelPair, load_pair

Makes = Callable[[MechanismsSpec], Means]
_TEACHER = RuleCritic(rule=lambda problem, text: organisms.critique(problem.prompt, text))
"""A teacher of the embedded pairs' problems, who knows every step."""
_LEAST, _MOST = 24, 96
"""Tokens of a thought that is forced to go on, and of one that is ended."""


def means_of(spec: MechanismsSpec, pair: ModelPair) -> dict[str, Means]:
    """The mechanisms of a run, in the order in which they run.

    Args:
        spec: Options of the run.
        pair: The two models, whose device and precision an expert shares.

    Raises:
        ElicitError: An SAE or expert cannot be loaded, or does not fit the models.
    """
    made = {name: _MAKES[name](spec) for name in spec.tried if name in _MAKES}
    if "proxy" in spec.tried:
        proxies = load_pair(
            str(spec.antiexpert), str(spec.expert), device=pair.device, dtype=pair.dtype
        )
        made["proxy"] = ProxyArm(proxies=proxies)
    return made


def _few_shot(spec: MechanismsSpec) -> Means:
    if spec.pair is not None:
        return FewShot(n=spec.examples, lead_in="answer", end=" .", between=" ")
    return FewShot(n=spec.examples, lead_in="The answer is", end=".")


def _budgets(spec: MechanismsSpec) -> Means:
    wait, end = ("wait", "answer") if spec.pair is not None else (" Wait", "\nThe answer is")
    budgets = (
        ThoughtBudget(end=end, wait=wait, least=_LEAST),
        ThoughtBudget(end=end, wait=wait, most=min(_MOST, spec.max_new_tokens // 2)),
    )
    return BudgetForcingArm(budgets=budgets)


def _feature(spec: MechanismsSpec, *, control: bool) -> Means:
    assert spec.sae is not None and spec.feature is not None
    sae = load_sae(spec.sae, device=spec.device)
    sae.check_features((spec.feature,))
    return FeatureSteering(
        sae=sae, feature=spec.feature, trained_on=spec.sae_model, control=control
    )


def _training(name: TrainingName) -> Makes:
    def make(spec: MechanismsSpec) -> Means:
        return training_means(
            name,
            form="answer {} ." if spec.pair is not None else "The answer is {}.",
            opener=next(iter(spec.begins), ""),
            critic=_TEACHER if spec.embedded else None,
        )

    return make


_MAKES: dict[str, Makes] = {
    "prompt": lambda spec: BestPrompt(),
    "prefix": lambda spec: ForcedPrefix(prefixes=spec.begins),
    "few-shot": _few_shot,
    "cot-decoding": lambda spec: CotDecodingArm(),
    "power": lambda spec: PowerSamplingArm(),
    "budget-forcing": _budgets,
    "vote": lambda spec: MajorityVoteArm(),
    **{name: _training(name) for name in get_args(TrainingName)},
    "diff-mean": lambda spec: DiffMeanSteering(),
    "diff-mean-random": lambda spec: DiffMeanSteering(control=True),
    "feature": lambda spec: _feature(spec, control=False),
    "feature-controls": lambda spec: _feature(spec, control=True),
    "hybrid": lambda spec: HybridSteering(),
    "hybrid-random": lambda spec: HybridSteering(control=True),
    "rerank": lambda spec: Reranking(),
    "dial": lambda spec: DialArm(),
}
