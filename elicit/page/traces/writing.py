"""Sections on how thoughts are written: calibration, corrections, length, and markers."""

from collections.abc import Sequence

from elicit.page import Section, estimate_cell, plot, table_of
from elicit.page.traces import tables as t
from elicit.page.traces.text import level_text
from elicit.results import Result, interval, number
from elicit.traces import AnswerCalibration, Epistemic, LengthAgainst, Process, Reflection


def writing_sections(results: Sequence[Result]) -> list[Section]:
    """Sections of what there is to show; words that never occur have none.

    Args:
        results: All results of a run.
    """
    sections: list[Section] = []
    for n, found in enumerate(results):
        if isinstance(found, AnswerCalibration):
            sections.append(calibration_section(found, n))
        elif isinstance(found, Reflection) and reflects(found):
            sections.append(reflection_section(found, n))
        elif isinstance(found, Epistemic) and int(found.count.sum()):
            sections.append(epistemic_section(found, n))
        elif isinstance(found, Process) and int(found.n.sum()):
            sections.append(process_section(found, n))
        elif isinstance(found, LengthAgainst):
            sections.append(lengths_section(found, n))
    return sections


def reflects(found: Reflection) -> bool:
    """Whether any thought takes a step back.

    Args:
        found: Fixes and breaks of corrections.
    """
    return bool(found.of("steps of correction").nan_to_num().max() > 0)


def calibration_section(found: AnswerCalibration, n: int) -> Section:
    """Whether the share of an answer says how often it is right.

    Args:
        found: Calibration of both models.
        n: Number of the section.
    """
    caption = (
        "Left: share of right answers among those of about one confidence; on the dotted line "
        "confidence says how often answers are right. Right: error rate if only the most confident "
        f"answers are kept. Bars are {level_text(found)}intervals that hold for all marks of a "
        "line together."
    )
    rows = [
        [
            name,
            *(estimate_cell(found.value[i, m], digits=3) for m in range(2)),
            estimate_cell(found.difference[i], digits=3, effect=True),
        ]
        for i, name in enumerate(found.measure)
    ]
    told = (
        f"Values are of each number alone ({level_text(found).strip() or 'intervals'}); "
        "intervals of differences are simultaneous, on the problems of both. That of the debiased "
        "ECE is of its square. Bold: the interval excludes 0."
    )
    right = " and ".join(
        f"{number(x, digits=2)} in {name}"
        for name, x in zip(found.reading, found.accuracy.tolist(), strict=True)
    )
    return Section(
        f"calibration-{n}",
        "Does confidence say how often answers are right?",
        "Confidence is the share of the chosen answer after the whole thought. Accuracy is "
        f"{right}: calibration does not see lost ability, and moves with accuracy.",
        (
            plot(f"plot-calibration-{n}", found.figure(), caption, columns=20),
            table_of(told, ("measure", "base", "post", "post minus base"), rows, 1, "Every number"),
        ),
    )


def reflection_section(found: Reflection, n: int) -> Section:
    """Whether corrections fix answers or break them.

    Args:
        found: Fixes and breaks.
        n: Number of the section.
    """
    caption = (
        "Circles: base; diamonds: post. Of the answers that are wrong before a step, the share "
        "that is right after it, and the other way round. Other steps are shown for "
        "comparison: an answer also moves while a thought goes on. Bars are "
        f"{level_text(found)}intervals of each "
        "number alone."
    )
    return Section(
        f"reflection-{n}",
        "Do corrections correct?",
        "Steps with a word that takes something back (wait, no, actually, ...), by the answers "
        "forced before and after them.",
        (
            plot(f"plot-reflection-{n}", found.figure(), caption, columns=12),
            *t.measures_tables(found, list(range(len(found.metric)))),
        ),
    )


def process_section(found: Process, n: int) -> Section:
    """Whether thoughts are valid, and pass through what the given solutions state.

    Args:
        found: Validity and coverage.
        n: Number of the section.
    """
    caption = (
        "Circles: base; diamonds: post. Valid: every equation of the thought that can be read "
        "holds. Coverage: share of the given solution’s values that the thought states, less what "
        "it states of other problems’ solutions by coincidence. Bars are "
        f"{level_text(found)}intervals of each number alone."
    )
    return Section(
        f"process-{n}",
        "Are the thoughts valid?",
        "Validity is not use: a thought may hold in every step and decide nothing.",
        (
            plot(f"plot-process-{n}", found.figure(), caption, columns=12),
            *t.measures_tables(found, list(range(len(found.metric)))),
        ),
    )


def lengths_section(found: LengthAgainst, n: int) -> Section:
    """What the length of thoughts goes with.

    Args:
        found: Rank correlations.
        n: Number of the section.
    """
    caption = (
        "Circles: base; diamonds: post. Rank correlation of a thought’s length with the difficulty "
        "of its problem (distance held fixed), with the base’s mean loss on the prompt and with "
        f"being right (difficulty held fixed). Bars are {level_text(found)}intervals; without one, "
        "every problem agrees or too few are there."
    )
    length = " and ".join(
        f"{number(x, digits=0)} in {name}"
        for name, x in zip(found.reading, found.mean_tokens.tolist(), strict=True)
    )
    return Section(
        f"lengths-{n}",
        "What the length of thoughts goes with",
        f"Mean length in tokens: {length}. Length that goes with the work a problem needs is no "
        "overthinking.",
        (plot(f"plot-lengths-{n}", found.figure(), caption, columns=12),),
    )


def epistemic_section(found: Epistemic, n: int) -> Section:
    """How often thoughts hedge, and whether where the reader is unsure.

    Args:
        found: Markers of both models.
        n: Number of the section.
    """
    occur = [i for i in range(len(found.marker)) if int(found.count[i].sum())]
    rows = [
        [
            found.marker[i],
            *(estimate_cell(found.per_100_tokens[i, m], digits=2) for m in range(2)),
            estimate_cell(found.difference[i], digits=2, effect=True),
        ]
        for i in occur
    ]
    told = (
        f"Occurrences in 100 tokens, as whole words; intervals ({level_text(found).strip()}) hold "
        "for all markers together. Bold: the interval excludes 0."
    )
    items: list[object] = []
    if bool((found.n_marked > 0).any()):
        caption = (
            "Share of the values of steps that stand after a marker, by the entropy of the "
            f"reader’s prediction where the value begins. Bars are {level_text(found)}intervals "
            "that hold for all marks of a line."
        )
        items.append(plot(f"plot-epistemic-{n}", found.figure(), caption, columns=12))
    items.append(table_of(told, ("marker", "base", "post", "post minus base"), rows, 1))
    return Section(
        f"epistemic-{n}",
        "Hedges, and what they stand before",
        " ".join(filter(None, (_rate(found), _slopes(found)))),
        tuple(items),  # pyright: ignore[reportArgumentType]
    )


def _rate(found: Epistemic) -> str:
    every = found.marker.index("any")
    base, post = (number(x, digits=2) for x in found.per_100_tokens.value[every].tolist())
    return (
        f"Epistemic markers in 100 tokens: {base} in base and {post} in post (difference "
        f"{interval(*found.difference[every].ends, digits=2)})."
    )


def _slopes(found: Epistemic) -> str:
    known = [
        f"{name} {interval(*found.slope[i].ends, digits=2)}"
        for i, name in enumerate(found.reading)
        if found.slope.value[i].isfinite() and int(found.n_marked[i])
    ]
    if not known:
        return ""
    return f"Rise of the chance of a marker for each nat at the value: {' and '.join(known)}."
