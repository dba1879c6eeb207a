"""Findings of a features run, in sentences."""

from collections.abc import Sequence

from elicit.features import NOT_TOKENS, Conclusion, Fidelity, Transfer
from elicit.results import Result, interval, visible


def features_sentences(results: Sequence[Result]) -> list[str]:
    """Surviving features, then the SAE's fidelity on both models."""
    sentences = [_concluded(result) for result in results if isinstance(result, Conclusion)]
    gates = [result for result in results if isinstance(result, Fidelity)]
    moved = [result for result in results if isinstance(result, Transfer)]
    if sentences and gates:
        sentences.append(_reconstructs(gates, moved[0] if moved else None))
    return sentences


def _concluded(result: Conclusion) -> str:
    if not result.failed:
        return _survivors(result)
    fails = f"The SAE fails its fidelity gates: {' '.join(map(visible, result.failed))}"
    if not len(result.feature):
        return f"{fails} No feature is reported."
    return f"{fails} Features are reported nevertheless, as requested. {_survivors(result)}"


def _survivors(result: Conclusion) -> str:
    n, survivors = len(result.feature), result.survivors
    if not n:
        return (
            f"No candidate was found on {result.n_choose} problems: no feature of {result.site} is "
            "clearly more active before reasoning."
        )
    if survivors:
        plural = len(survivors) > 1
        names = ", ".join(map(str, survivors))
        return (
            f"{len(survivors)} of {n} candidate features survive{'' if plural else 's'}: "
            f"feature{'s' * plural} {names}{', the clearest first' * plural}. Evaluated on "
            f"{result.n_test} held-out problems, survivors separate reasoning prompts from "
            "direct-answer prompts, are not driven by tokens alone, and recur when the text is "
            "resampled."
        )
    lost = [
        (sum(not holds for holds in result.holds.tolist()), "do not hold on held-out problems"),
        (
            sum(word not in NOT_TOKENS for word in result.injection),
            "are driven by their tokens, at least in part, or could not be tested",
        ),
        (
            sum(word != "stable" for word in result.resampling),
            "do not clearly recur when the text is resampled",
        ),
    ]
    why = ", ".join(f"{count} {words}" for count, words in lost if count)
    return (
        f"None of {n} candidate features survives on {result.n_test} held-out problems: {why} (one "
        "may fail in several ways)."
    )


def _reconstructs(gates: Sequence[Fidelity], moved: Transfer | None) -> str:
    parts = [
        f"{interval(*gate.fvu.ends).removeprefix('+')} on {visible(gate.model)}" for gate in gates
    ]
    text = f"At {gates[0].site} the SAE’s fraction of variance unexplained (FVU) is "
    text += " and ".join(parts)
    if moved is None:
        return f"{text}."
    raw, shifted, rotated = moved.fvu.value[1:].tolist()
    other = visible(moved.other)
    if min(shifted, rotated) >= raw:
        return (
            f"{text}. Neither shifting the mean of {other} (FVU {shifted:.3f}) nor rotating it "
            f"({rotated:.3f}) lowers the raw FVU of {raw:.3f}, so this is not a common drift of "
            "all features."
        )
    return (
        f"{text}. Of the raw FVU of {raw:.3f} on {other}, {shifted:.3f} remains after shifting the "
        f"mean and {rotated:.3f} after rotating too: what these restore is drift, not loss."
    )
