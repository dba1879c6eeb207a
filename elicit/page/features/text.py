"""What a run about features found, in sentences."""

from collections.abc import Sequence

from elicit.features import Conclusion, Fidelity, Transfer
from elicit.features.conclusion import TOKENS_DO_NOT
from elicit.page.grafting.text import visible
from elicit.results import Result
from elicit.results.drawing import interval


def features_sentences(results: Sequence[Result]) -> list[str]:
    """Which features stay, then how well the dictionary holds both models.

    Args:
        results: Results of any kind.
    """
    told = [_concluded(result) for result in results if isinstance(result, Conclusion)]
    gates = [result for result in results if isinstance(result, Fidelity)]
    moved = [result for result in results if isinstance(result, Transfer)]
    if told and gates:
        told.append(_held(gates, moved[0] if moved else None))
    return told


def _concluded(found: Conclusion) -> str:
    if found.failed:
        fails = f"The dictionary fails its gates: {' '.join(map(visible, found.failed))}"
        if not len(found.feature):
            return f"{fails} No feature is named."
        return f"{fails} Features are named all the same, as was asked. {_stays(found)}"
    return _stays(found)


def _stays(found: Conclusion) -> str:
    n, stays = len(found.feature), found.stays
    if not n:
        return (
            f"No candidate was found on {found.n_choose} problems: no feature of {found.site} is "
            "clearly more active where a trace is called for."
        )
    what = (
        "tell prompts for reasoning from prompts for an answer, are not driven by tokens alone, "
        "and come back where texts are written again"
    )
    on = f"on {found.n_test} problems on which nothing was chosen"
    if stays:
        if len(stays) == 1:
            return (
                f"Of {n} candidate features one stays, feature {stays[0]}. Only features stay that "
                f"{what}, {on}."
            )
        return (
            f"Of {n} candidate features {len(stays)} stay, {', '.join(map(str, stays))}, the "
            f"clearest first. Only features stay that {what}, {on}."
        )
    lost = [
        (sum(not holds for holds in found.holds.tolist()), "do not hold on other problems"),
        (
            sum(word not in TOKENS_DO_NOT for word in found.tokens),
            "are driven by their tokens, in part at least, or could not be tried",
        ),
        (sum(word != "stable" for word in found.again), "do not clearly come back"),
    ]
    why = ", ".join(f"{count} {words}" for count, words in lost if count)
    return f"None of {n} candidate features stays ({on}: {why}; one may fail in several ways)."


def _held(gates: Sequence[Fidelity], moved: Transfer | None) -> str:
    parts = [
        f"{interval(gate.fvu, gate.fvu_low, gate.fvu_high).removeprefix('+')} of the variance of "
        f"{visible(gate.model)}"
        for gate in gates
    ]
    told = f"At {gates[0].site} the dictionary leaves out {' and '.join(parts)}"
    if moved is None:
        return f"{told}."
    raw, shifted, rotated = (moved.fvu[i].item() for i in (1, 2, 3))
    of = f"{told}. Of what it misses on {visible(moved.other)}, {raw:.3f},"
    if min(shifted, rotated) >= raw:
        return (
            f"{of} neither moving the mean back ({shifted:.3f}) nor rotating ({rotated:.3f}) gives "
            "anything back, so it is not a drift of all features alike."
        )
    return (
        f"{of} there remain {shifted:.3f} with the mean moved back and {rotated:.3f} rotated too: "
        "what these restore was only put elsewhere."
    )
