"""The effect of steering, in sentences."""

from collections.abc import Sequence

from elicit.elicitation import DoseCurve
from elicit.results import Result, number


def steer_sentences(results: Sequence[Result]) -> list[str]:
    """A sentence on every arm that was evaluated on held-out problems."""
    held_out = [each for each in results if isinstance(each, DoseCurve) and each.n_choose]
    return [said for each in held_out for said in (steer_verdict(each), steer_sentence(each))]


def steer_verdict(found: DoseCurve) -> str:
    """Whether the arm does what no control does, and what asking alone does."""
    row, control = found.metric_row(found.chosen_by or None), found.strongest_control
    without = found.unsteered[row].item()
    low, high = found.rate[row, 0, 0].ends[1:]
    moved = low > without if found.raised else high < without
    low, high = found.rate[row, control, 0].ends[1:]
    rival = low > without if found.raised else high < without
    arm = f"{found.arm[0][0].upper()}{found.arm[0][1:]}"
    if not moved:
        said = f"{arm} has no clear effect on held-out problems."
    elif rival:
        said = (
            f"{arm} has an effect, and it is not specific: {found.arm[control]}, a push without "
            "content, has a clear effect at a strength of its own."
        )
    else:
        said = f"{arm} has an effect that no control has, each at its own best strength."
    asked = [i for i, name in enumerate(found.reference) if name == "positive prompt"]
    if asked:
        rate = percent(found.reference_rate.value[row, asked[0]].item())
        said += f" Asking for it by the prompt alone gives {rate}."
    return said


def steer_sentence(found: DoseCurve) -> str:
    """Effect of an arm at the chosen strength, with its strongest control."""
    row, control = found.metric_row(found.chosen_by or None), found.strongest_control
    what = f"{found.arm[0]} at {found.site}, {found.steered_tokens}, strength "
    what += f"{found.strength[0].item():g}"
    rates = [percent(*found.rate[row, arm, 0].ends) for arm in (0, control)]
    told = f"{what}: {_shows(found.metric[row])} in {rates[0]} of texts"
    told += f", against {percent(found.unsteered[row].item())} unsteered"
    goal = found.goal[row].item()
    told += f" and {percent(goal)} of the target" if goal == goal else ""
    named = found.arm[control]
    if found.doses:
        named += f", at its own best strength, {found.dose(control):g}"
    if bool(found.gap.clear[row]):
        shares = [share(*found.share[row, arm, 0].ends) for arm in (0, control)]
        told += f". It closes {shares[0]} of the gap; the strongest control ({named}) {shares[1]}."
    else:
        told += f"; the strongest control ({named}) {rates[1]}. {gap_text(found, row)}"
    return (
        f"{told[0].upper()}{told[1:]} Chosen on {found.n_choose} problems, evaluated on "
        f"{found.n_problems} held-out problems."
    )


def gap_text(found: DoseCurve, row: int) -> str:
    """Why the gap share is not reported; empty where it is."""
    if bool(found.gap.clear[row]):
        return ""
    gap, low, high = found.gap[row].ends
    if gap != gap:
        return "The gap share is not reported: there is no target."
    return (
        f"The gap share is not reported: the interval of the gap in {_noun(found.metric[row])}, "
        f"{share(gap, low, high)}, includes 0."
    )


def percent(value: float, low: float | None = None, high: float | None = None) -> str:
    """A rate in [0, 1] as per cent, with its interval if given."""
    told = f"{100 * value:.0f} %"
    return told if low is None or high is None else f"{told} [{100 * low:.0f}, {100 * high:.0f}]"


def share(value: float, low: float, high: float) -> str:
    """A share of a gap with its interval, never clipped."""
    ends = [number(end, digits=2) for end in (low, high)]
    return f"{number(value, digits=2)} [{ends[0]}, {ends[1]}]"


def _shows(metric: str) -> str:
    """The metric as a clause."""
    return "the answer is right" if metric == "accuracy" else f"the model {metric}"


def _noun(metric: str) -> str:
    """The metric as a noun."""
    return "right answers" if metric == "accuracy" else f"“{metric}”"
