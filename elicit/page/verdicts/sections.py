"""The page about existence: the verdict in words, the ladder, and every control."""

from collections.abc import Sequence

from elicit.page import Section, Table, plot, table_of
from elicit.results import Result, interval, number
from elicit.verdicts import Ladder
from elicit.verdicts.figures import profile_figure, sweep_figure

_MARKS = {"passed": "✓", "not distinguishable": "○", "under-powered": "◇", "not run": "–"}


def ladder_sentences(results: Sequence[Result]) -> list[str]:
    """One summary per ladder."""
    return [ladder_sentence(result) for result in results if isinstance(result, Ladder)]


def ladder_sentence(ladder: Ladder) -> str:
    """The verdict of a ladder, in one or two sentences."""
    what = f"the base already has what post shows (it {ladder.behaviour})"
    on = f"Evaluated on {ladder.n_test} held-out problems."
    high, top = ladder.highest_rung, ladder.highest_passed
    if top is None:
        return f"Nothing shows that {what}: no rung of evidence is passed. {on}"
    if high == top == ladder.rung[-1]:
        said = f"{what[:1].upper()}{what[1:]}: all rungs of evidence are passed"
        return f"{said}, up to {_named(ladder, top)}. {on}"
    if high == top:
        after = ladder.rung[ladder.rung.index(top) + 1]
        return (
            f"The evidence that {what} goes up to {_named(ladder, top)}. The next rung, "
            f"{_named(ladder, after)}, is {_status(ladder, after)}. {on}"
        )
    failed = next(r for r, s in zip(ladder.rung, ladder.status, strict=True) if s != "passed")
    reached = "no rung" if high is None else _named(ladder, high)
    return (
        f"The evidence that {what} reaches {reached} counted from the bottom: "
        f"{_named(ladder, failed)}, is {_status(ladder, failed)}. Above that, "
        f"{_named(ladder, top)}, is passed. {on}"
    )


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
        "Each rung requires more than the one below it. Filled: passed; open: not distinguishable "
        "from its strongest control, or under-powered. Grey, slightly below: that control. Bars "
        f"are pointwise {100 * ladder.level:g} % intervals."
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
        [
            f"{ladder.rung[i]} {ladder.claim[i]}",
            *(number(p) for p in ladder.p_site[i].tolist()),
        ]
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
                ladder.place[i] or "–",
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
