"""The page about training: courses, collateral damage, and the examples that were trained on."""

from collections.abc import Sequence

from elicit.elicitation import Collateral, ExampleRates, TrainingCourse
from elicit.elicitation.training.figures import courses_figure
from elicit.page import Plot, Section, Table, plot, table_of
from elicit.page.mechanisms.text import count, percent, shares
from elicit.results import Result

_LISTED = 12
"""Examples that are listed."""
_STOPPED = {
    "steps": "all updates were made",
    "budget": "the token budget was used up",
    "reward": "the reward was high enough",
    "right": "enough problems to choose on were right",
    "constant": "the reward did not vary",
}


def training_sections(results: Sequence[Result]) -> list[Section]:
    """One section on all courses, one on what training damaged, one on examples."""
    courses = [result for result in results if isinstance(result, TrainingCourse)]
    damage = [result for result in results if isinstance(result, Collateral)]
    rates = [result for result in results if isinstance(result, ExampleRates)]
    return [
        *([_courses(courses)] if courses else []),
        *([_collateral(damage)] if damage else []),
        *(_examples(one, n) for n, one in enumerate(rates)),
    ]


def _courses(found: Sequence[TrainingCourse]) -> Section:
    """How every training went."""
    rows = [
        [
            one.method,
            one.trainable,
            _STOPPED.get(one.stopped, one.stopped),
            f"{one.n_updates} of {one.curve.shape[1]}",
            count(one.bits),
            *_last(one),
        ]
        for one in found
    ]
    told = (
        "Updates behind the chosen parameters, of those made. First and last: of the first "
        "measurement. Training reward proves nothing by itself: a single example can be remembered."
    )
    head = ("training", "what is trained", "ended because", "updates", "bits", "first", "last")
    items: list[Plot | Table] = [table_of(told, head, rows, 3)]
    groups: dict[tuple[str, str], list[TrainingCourse]] = {}
    for one in found:
        groups.setdefault((one.method, one.trainable), []).append(one)
    for n, ((method, trainable), runs) in enumerate(groups.items()):
        caption = (
            f"{method}, trained: {trainable}. What was measured before every update, a line for "
            "each run. Orange, last panel: accuracy on the problems to choose on, greedy; ringed, "
            "the update that was chosen."
        )
        folded = f"{method}, {trainable}" if n else ""
        figure = courses_figure(runs)
        items.append(plot(f"plot-course-{n}", figure, caption, columns=20, folded=folded))
    return Section(
        "training-courses",
        "How training went",
        "The update was chosen on problems that were not trained on.",
        tuple(items),
    )


def _last(one: TrainingCourse) -> list[str]:
    """First and last value of what was measured first."""
    known = one.curve[0][one.curve[0].isfinite()]
    if not len(known):
        return ["–", "–"]
    return [f"{one.measure[0]} {known[0].item():.2f}", f"{known[-1].item():.2f}"]


def _collateral(found: Sequence[Collateral]) -> Section:
    """What training cost elsewhere."""
    rows = [
        [
            str(n + 1),
            one.opener or "–",
            *(percent(one.facts[i]) for i in range(2)),
            shares(one.facts_change),
            *(percent(one.forced[i]) for i in range(2)),
            shares(one.forced_change),
        ]
        for n, one in enumerate(found)
    ]
    told = (
        "Facts: share that is still known. Form: right answers where the text must begin as is "
        "forced; training that makes a model answer in another way can ruin what it could do."
    )
    head = (
        "run", "forced beginning", "facts before", "after", "change", "form before", "after",
        "change",
    )  # fmt: skip
    return Section(
        "training-collateral",
        "What did training damage?",
        "Accuracy on facts and with a forced beginning, before and after.",
        (table_of(told, head, rows, 2),),
    )


def _examples(found: ExampleRates, n: int) -> Section:
    """How often base solves the candidates for examples by itself."""
    order = found.right_direct.argsort().tolist()[:_LISTED]
    rows = [
        [
            found.problem[i],
            *(
                f"{100 * column[i].item():.0f} %"
                for column in (found.right, found.shown, found.right_shown, found.right_direct)
            ),
        ]
        for i in order
    ]
    told = (
        "With one example the way of answering wins that earns most: where direct answers are "
        "right more often than the behaviour is shown, training on it teaches to remember."
    )
    head = ("problem", "right", "shows it", "shows it and right", "right without it")
    return Section(
        f"examples-{n}",
        "Candidates for single examples",
        f"{found.n_samples} texts of each problem at temperature 1; the hardest first.",
        (table_of(told, head, rows, 1),),
    )
