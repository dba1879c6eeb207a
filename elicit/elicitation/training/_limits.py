"""When reinforcement learning ends, and what it refuses."""

from jaxtyping import Float
from torch import Tensor

from elicit.elicitation.training.errors import ConstantRewardError, TrainingError
from elicit.elicitation.training.plans import GrpoPlan
from elicit.tasks import Task

MEASURES = (
    "reward", "right", "entropy", "length", "with gradient", "gradient norm", "bits", "tokens",
    "flops",
)  # fmt: skip
"""Of each update: mean reward, share right, nats a token, tokens a text, share of groups whose
texts do not all earn the same, norm of the gradient before it is clipped, bits told, tokens read
and written, operations."""
PATIENCE = 4
"""Updates without any difference in reward after which training is refused."""


def check_parts(task: Task, choose: Task | None) -> None:
    """Refuse problems that are both trained and chosen on.

    Args:
        task: To train on.
        choose: To choose on.

    Raises:
        TrainingError: A problem is in both.
    """
    both = sorted({p.id for p in task} & {p.id for p in choose or ()})
    if both:
        raise TrainingError(
            f"problem {both[0]!r} and {len(both) - 1} more are both trained and chosen on, so the "
            "update that remembers them best would be chosen. Pass parts without common problems; "
            "Task.split makes them."
        )


def stop_reason(plan: GrpoPlan, measured: Float[Tensor, "step measure"]) -> str:
    """Why training ends after these updates; empty where it goes on."""
    tokens = measured[:, MEASURES.index("tokens")]
    if measured[-1, MEASURES.index("reward")] >= plan.stop_reward:
        return "reward"
    if plan.constant == "keep" and len(measured) >= PATIENCE and not varied(measured):
        return "constant"
    if plan.budget is not None and float(tokens.sum() + tokens[-1]) > plan.budget:
        check_budget(plan, int(tokens[0]), "")
        return "budget"
    return ""


def varied(measured: Float[Tensor, "step measure"]) -> bool:
    """Whether any problem's texts did not all earn the same.

    Args:
        measured: What all updates so far measured.
    """
    return bool(measured[:, MEASURES.index("with gradient")].any())


def check_budget(plan: GrpoPlan, tokens: int, about: str) -> None:
    """Refuse a budget that does not reach for one update."""
    if plan.budget is not None and tokens > plan.budget:
        raise TrainingError(
            f"the budget is {plan.budget} tokens and one update of {plan.groups} problems with "
            f"{plan.group} texts each takes {about + ' ' if about else ''}{tokens}, so nothing "
            "would be trained. Raise the budget, or lower groups."
        )


def check_varied(plan: GrpoPlan, measured: Float[Tensor, "step measure"]) -> None:
    """Refuse a reward that never varies."""
    long = len(measured) >= min(PATIENCE, plan.steps)
    if plan.constant == "keep" or not long or varied(measured):
        return
    rewards = measured[:, MEASURES.index("reward")]
    raise ConstantRewardError(
        f"in {len(measured)} updates the texts of each problem earned the same (on average "
        f"{rewards.min():.3g} to {rewards.max():.3g}), so no text was better than another and "
        "nothing was learned. Pass problems of which the model solves some and not all, or another "
        "reward; constant='keep' keeps the unchanged model as the outcome."
    )


def bits_of(rewards: Tensor) -> float:
    """Entropy of the rewards of all texts of an update, as often as there are texts, bits.

    Args:
        rewards: What every text earned.
    """
    share = rewards.flatten().unique(return_counts=True)[1].double() / rewards.numel()
    return float(-(share * share.log2()).sum() * rewards.numel())
