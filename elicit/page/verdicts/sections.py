"""The page about existence: the verdict in words, the ladder, and every control."""

from collections.abc import Sequence

from elicit.page import Section, Table, plot, table_of
from elicit.results import Result, interval, minus, number
from elicit.verdicts import EXISTENCE, FREED, Ladder
from elicit.verdicts.figures import profile_figure, sweep_figure

_MARKS = {
    "passed": "✓",
    "trivial": "≈",
    "not distinguishable": "○",
    "under-powered": "◇",
    "not run": "–",
}


def ladder_sentences(results: Sequence[Result]) -> list[str]:
    """One summary per ladder."""
    return [ladder_sentence(result) for result in results if isinstance(result, Ladder)]


def ladder_sentence(ladder: Ladder) -> str:
    """The verdict of a ladder: what E3 and E4 show, then what other rungs add to it."""
    on = f"Evaluated on {ladder.n_test} held-out problems."
    said = f"{_VERDICTS[ladder.verdict].format(what=ladder.behaviour)}{_because(ladder)}."
    return " ".join([said, *_beside(ladder), on])


_VERDICTS = {
    "exists": "The base already has what post shows (it {what}), and it suffices",
    "not shown": "Nothing shows that the base already has what post shows (it {what})",
    "under-powered": (
        "There are too few problems to say whether the base already has what post shows (it {what})"
    ),
    "no gap": (
        "Post has no clear gain on the base in right answers, so whether what the base has (it "
        "{what}) suffices cannot be asked"
    ),
}


def _because(ladder: Ladder) -> str:
    """How the rungs came out on which the verdict rests."""
    each = [f"{_named(ladder, rung)}, is {_status(ladder, rung)}" for rung in EXISTENCE]
    if ladder.verdict == "exists":
        return f": {_named(ladder, 'E3')}, and {_named(ladder, 'E4')}, are passed"
    return f": {each[0]}" if ladder.verdict == "no gap" else f": {each[0]}; {each[1]}"


def _beside(ladder: Ladder) -> list[str]:
    """What the verdict does not rest on: a trivial rung, and the pair's alignment."""
    trivial = [r for r, s in zip(ladder.rung, ladder.status, strict=True) if s == "trivial"]
    told = [f"{_named(ladder, r)}, is trivial: re-initialised weights pass it." for r in trivial]
    told += _unspecific(ladder)
    if ladder.alignment == "shared":
        told.append("Base and post use the same code for it (E1 and E2 are passed).")
    elif ladder.alignment != "not measured":
        told.append(
            "A separate question, whether base and post use the same code: E1 is "
            f"{_status(ladder, 'E1')}, E2 is {_status(ladder, 'E2')}."
        )
    return told


def _unspecific(ladder: Ladder) -> list[str]:
    """Whether controls at strengths of their own reach what a rung passed with."""
    reached = []
    for name, value in zip(ladder.arm, ladder.arm_value.value.tolist(), strict=True):
        rung, _, arm = name.partition(": ")
        i = ladder.rung.index(rung)
        if arm.endswith(FREED) and ladder.status[i] == "passed" and rung in EXISTENCE:
            low = ladder.value.low[i].item()
            reached += [f"{rung}: {value:.2f}"] if value >= low else []
    if not reached:
        return []
    return [
        f"Controls at strengths of their own do as much ({', '.join(reached)}), so it does not "
        "take this direction to elicit it."
    ]


def _named(ladder: Ladder, rung: str) -> str:
    """A rung and its claim."""
    return f"{rung}, {ladder.claim[ladder.rung.index(rung)]}"


def _status(ladder: Ladder, rung: str) -> str:
    """A rung's verdict as a predicate."""
    status = ladder.status[ladder.rung.index(rung)]
    return f"{status} from its controls" if status == "not distinguishable" else status


def ladder_sections(results: Sequence[Result]) -> list[Section]:
    """The sections of every ladder: its rungs, probe profile, sweep and controls."""
    found = [result for result in results if isinstance(result, Ladder)]
    made = (_section, _profile, _sweep)
    return [section(ladder, n) for n, ladder in enumerate(found) for section in made]


def _section(ladder: Ladder, n: int) -> Section:
    caption = (
        "That the base has it rests on E3 and E4. E1 and E2 ask whether post uses the same code, "
        "E0 shows that it can be read, not that it is used. No rung entails another. Filled: "
        "passed; dotted diamond: trivial, re-initialised weights pass it too; open: not "
        "distinguishable from its strongest control, or under-powered. Grey, slightly below: that "
        "control. Controls of E2 to E4 act at the direction’s own site and strength; at another "
        "strength one may do more, see elicit steer. Bars are "
        f"pointwise {100 * ladder.level:g} % intervals."
    )
    remarks = _remarks(ladder)
    return Section(
        f"ladder-{n}",
        "Does it exist in the base?",
        f"Everything was fitted and chosen on {ladder.n_choose} problems, and evaluated on "
        f"{ladder.n_test} held-out problems.",
        (
            plot(f"plot-ladder-{n}", ladder.figure(), caption, columns=12),
            _rungs(ladder),
            *([] if remarks is None else [remarks]),
            _arms(ladder),
        ),
    )


def _profile(ladder: Ladder, n: int) -> Section:
    caption = (
        "AUROC of a probe at each site on held-out problems: 0.5 is chance, "
        f"1 separates all prompts. Bars are {100 * ladder.level:g} % intervals, simultaneous over "
        "curves and sites. Shuffled labels must stay near 0.5; labels by type can only be "
        "memorised. A base with re-initialised weights still mixes the words of a prompt: "
        "what a probe reads there too requires no learned representation."
    )
    rows = [
        [
            name,
            *(
                interval(*ladder.auroc[i, j].ends, digits=2).removeprefix("+")
                for j in range(len(ladder.site))
            ),
        ]
        for i, name in enumerate(ladder.curve)
    ]  # fmt: skip
    table = table_of(
        "Area under the ROC curve.", ("probe of", *ladder.site), rows, 1, "The numbers"
    )
    return Section(
        f"ladder-profile-{n}",
        "Where can it be read?",
        "How well probes at the last token of the prompt separate prompts that elicit the "
        "behaviour from those that do not, layer by layer.",
        (
            plot(
                f"plot-ladder-profile-{n}",
                profile_figure(ladder),
                caption,
                columns=len(ladder.site),
            ),
            table,
        ),
    )


def _sweep(ladder: Ladder, n: int) -> Section:
    caption = (
        "Share of coherent texts with the intended effect, on the selection problems; strengths "
        "are in units of the difference of means. Framed: the smallest strength close to the best, "
        "at which the rungs and their controls were evaluated on held-out problems."
    )
    figure, cells = sweep_figure(ladder), len(ladder.strength) * len(ladder.model)
    return Section(
        f"ladder-sweep-{n}",
        "Where does it act?",
        "The base’s direction, at every candidate site and strength.",
        (plot(f"plot-ladder-sweep-{n}", figure, caption, columns=2 * cells), _p_sites(ladder)),
    )


def _p_sites(ladder: Ladder) -> Table:
    run = [i for i, status in enumerate(ladder.status) if status != "not run"]
    rows = [
        [f"{ladder.rung[i]} {ladder.claim[i]}", *(number(p) for p in ladder.p_site[i].tolist())]
        for i in run
    ]
    told = (
        "P-value of every site, adjusted for the search over all sites and strengths "
        "(max-T), so that it does not depend on the split of the problems. E0 and E1: on the "
        "test problems, against the same controls. E2 to E4: the best strength, on the "
        "selection problems, against the unsteered model. No verdict depends on it."
    )
    return table_of(told, ("rung", *ladder.site), rows, 1, "P-values of all sites")


def _rungs(ladder: Ladder) -> Table:
    rows = []
    for i, rung in enumerate(ladder.rung):
        ends = (ladder.value[i].ends, ladder.control[i].ends)
        known = ladder.p_site[i][ladder.p_site[i].isfinite()]
        rows.append(
            [
                f"{rung} {ladder.claim[i]}",
                f"{_MARKS[ladder.status[i]]}\N{NO-BREAK SPACE}{ladder.status[i]}",
                minus(ladder.place[i]) or "–",
                ladder.control_name[i] or "–",
                *(interval(*told, digits=2).removeprefix("+") for told in ends),
                number(ladder.p[i].item()),
                number(known.min().item()) if len(known) else "–",
                number(ladder.detectable[i].item(), digits=2),
            ]
        )
    head = (
        "rung", "verdict", "place", "strongest control", "value", "control", "p", "p, any site",
        "detectable",
    )  # fmt: skip
    told = (
        "Every rung. p: the largest over the claims of the rung, adjusted over rungs (Holm). Any "
        "site: of the best site, adjusted for the search over all sites, see below. Detectable: "
        "the smallest effect likely to be detected with this many problems; where an effect is "
        "smaller, a null result is no evidence of absence."
    )
    return table_of(told, head, rows, 4)


def _remarks(ladder: Ladder) -> Table | None:
    """Remarks on rungs, if there are any."""
    rows = [[r, why] for r, why in zip(ladder.rung, ladder.reason, strict=True) if why]
    return table_of("What a reader should know.", ("rung", "remark"), rows, 2) if rows else None


def _arms(ladder: Ladder) -> Table:
    rows = []
    for i, name in enumerate(ladder.arm):
        rung, _, arm = name.partition(": ")
        rows.append([rung, arm, interval(*ladder.arm_value[i].ends, digits=2).removeprefix("+")])
    told = "Every control and reference measurement, with pointwise intervals."
    return table_of(told, ("rung", "arm", "value"), rows, 2, "Every control")
