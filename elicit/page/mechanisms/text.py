"""What mechanisms show, in sentences, and what would change the verdict."""

import math
from collections.abc import Sequence

from elicit.elicitation import Hybrid, Mechanism
from elicit.results import Estimate, Result, number
from elicit.verdicts import Origin

HALF = 0.5
"""Share of the gap from which on most of it is closed."""
SUPERVISION = {
    "nothing": "none",
    "answers": "right answers",
    "teacher": "solutions or critiques by a teacher",
    "post texts": "texts of post",
    "post weights": "post’s weights or logits",
}
"""What a mechanism was given about the task, in words."""
_VERDICTS = {
    "elicited": "What post can do was elicited: base has it already",
    "created": "What post can do was created by post-training",
    "not elicited": "Nothing that was tried elicits from base what post can do",
    "partly": "Part of what post can do can be elicited from base",
    "another route": "Base can solve the problems too, but in another way than post",
    "undecided": "Where post’s ability comes from is undecided",
    "no gap": "Post has no clear gain on base, so there is nothing to explain",
    "lost": "Post is right less often than base",
}


def mechanism_sentences(results: Sequence[Result]) -> list[str]:
    """The verdict, or without one the mechanism that closes most; then what a hybrid rests on."""
    verdicts = [result for result in results if isinstance(result, Origin)]
    said = [verdict_sentence(one) for one in verdicts]
    if not verdicts:
        tried = [r for r in results if isinstance(r, Mechanism) and not r.control]
        said = [best_sentence(tried)] if tried else []
    return said + [hybrid_sentence(r) for r in results if isinstance(r, Hybrid)]


def verdict_sentence(found: Origin) -> str:
    """The verdict in words, what decided it, and on how many problems."""
    begins = _VERDICTS.get(found.verdict, found.verdict)
    return (
        f"{begins} (verdict: {found.words}). {sentence(found.reason)} Settings were chosen on "
        f"{found.n_choose} problems; evaluated on {found.n_problems} held-out problems."
    )


def best_sentence(tried: Sequence[Mechanism]) -> str:
    """The mechanism that closes most of the gap, with its supervision."""
    known = [one for one in tried if not math.isnan(one.share.value.item())]
    if not known:
        return f"No share of a gap is reported: {sentence(tried[0].no_share)}"
    best = max(known, key=lambda one: one.share.value.item())
    return (
        f"Of {len(tried)} mechanisms, {best.name} closes most: {shares(best.share)} of the gap "
        f"from base to post (supervision: {SUPERVISION[best.sees]}, at most {count(best.bits)} "
        "bits). Evaluated "
        f"on {len(best.problem)} held-out problems; no verdict was asked for."
    )


def hybrid_sentence(found: Hybrid) -> str:
    """What a hybrid reaches, beside a random vector and beside post alone."""
    gate = "learned" if "learned" in found.arm else found.arm[0]
    at, beside = found.of(gate), found.of("rerank, no vector")
    if math.isnan(found.share.value[at].item()):
        return f"No share is reported for the hybrid: {sentence(found.no_share)}"
    other = next(name for name in found.arm if name.startswith("random vector"))
    touched = 100 * found.touched.value[at].item()
    return (
        f"A vector added at {touched:.2g} % of base’s tokens ({gate} switch) closes "
        f"{shares(found.share[at])} of the gap; a random vector of the same norm "
        f"{shares(found.share[found.of(other)])}; post that only picks among base’s "
        f"{found.rerank} most probable tokens, without a vector, {shares(found.share[beside])}."
    )


def would_change(found: Origin) -> list[str]:
    """What would have to be seen for another verdict, with the numbers as they are."""
    share = found.best_share.ends
    least = number(share[1], digits=2)
    known = "; ".join(
        f"{name} ({truth}): {verdict}, {'as it should be' if passed else 'which is wrong'}"
        for name, truth, verdict, passed in zip(
            found.known_pair,
            found.known_truth,
            found.known_verdict,
            found.known_passed.tolist(),
            strict=True,
        )
    )
    known = known or "none was tried"
    holds = _holds(found)
    match found.verdict:
        case "elicited":
            said = [
                f"On other problems {found.best} closing no more than half of the gap: its lower "
                f"end is {least} and the border is {HALF:g}.",
                "The same mechanisms closing the gap of a pair that is known to lack the skill. "
                f"Pairs of known truth: {known}.",
                "Its texts going another way than post’s: the share that shows the behaviour "
                f"differs by {shares(found.route_shown)}.",
            ]
        case "created" | "not elicited":
            said = [
                "One mechanism that sees at most the answers, with a lower end above "
                f"{HALF:g}: the best, {found.best or 'none'}, has {least}. A mechanism that was "
                "not tried, or one with more supervision, may do it: the verdict holds for these "
                "and for so many bits.",
                "The same mechanisms failing where the skill is known to be there too. Pairs of "
                f"known truth: {known}.",
                f"A sign that post’s difference carries the skill. {holds}",
            ]
        case "partly":
            said = [
                f"More problems: the interval of {found.best} is {shares(found.best_share)}, and "
                f"above {HALF:g} it would be elicited."
            ]
        case "another route":
            said = [
                "A mechanism that closes as much and shows the behaviour as often as post: now "
                f"they differ by {shares(found.route_shown)}."
            ]
        case "no gap" | "lost":
            said = [f"A gap whose interval excludes 0: now it is {shares(found.gap)}."]
        case _:
            said = [f"Pairs of known truth: {known}.", holds]
    if math.isfinite(found.needed):
        said.insert(
            0,
            f"About {count(found.needed)} test problems with shares like these would decide; there "
            f"were {found.n_problems}.",
        )
    elif math.isinf(found.needed):
        said.insert(0, "No number of problems with shares like these would decide.")
    return said


def _holds(found: Origin) -> str:
    """What speaks for post's difference holding the skill."""
    parts = []
    if not math.isnan(found.carried.value.item()):
        parts.append(
            f"On {found.carried_on} it closes {shares(found.carried)} of the gap (border "
            f"{HALF:g}); only a positive result counts."
        )
    else:
        parts.append("Its effect on another host was not measured.")
    if not math.isnan(found.learning_ratio):
        parts.append(
            f"Correct texts take {number(found.learning_ratio, digits=1)} times the bits to learn "
            "that they take where the skill is there (border 10)."
        )
    return " ".join(parts)


def shares(estimate: Estimate) -> str:
    """A share of a gap with its interval, never clipped; a dash where there is none."""
    return spread(estimate, digits=2)


def spread(estimate: Estimate, *, digits: int = 1) -> str:
    """A number with its interval."""
    return _told(estimate.ends, digits, "")


def percent(estimate: Estimate) -> str:
    """A share of texts or tokens as per cent, with its interval."""
    ends = [100 * end for end in estimate.ends]
    return _told(ends, 1 if 0 < ends[0] < 10 and ends[0] % 1 else 0, " %")


def _told(ends: Sequence[float], digits: int, unit: str) -> str:
    if math.isnan(ends[0]):
        return "–"
    # Adding 0 takes the sign off a rounded -0.
    value, low, high = (f"{round(end, digits) + 0.0:.{digits}f}" for end in ends)
    return f"{value}{unit} [{low}, {high}]".replace("-", "−")


def count(value: float) -> str:
    """A number of bits, tokens or operations with at most three digits that count."""
    if not math.isfinite(value):
        return "–"
    if value and abs(value) < 10:
        return f"{value:.2g}"
    if abs(value) < 1e6:
        return f"{value:,.0f}"
    power = math.floor(math.log10(abs(value)))
    return f"{value / 10**power:.1f}·10{str(power).translate(_RAISED)}"


_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def sentence(text: str) -> str:
    """Text with a capital and a full stop."""
    text = text.strip()
    text = f"{text[:1].upper()}{text[1:]}"
    return text if text.endswith((".", "!", "?")) else f"{text}."
