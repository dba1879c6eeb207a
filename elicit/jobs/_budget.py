"""What is measured within a budget of minutes, and what is left out."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from elicit.jobs._forecast import Forecast, Speed, Stage, duration, forecast
from elicit.jobs._spec import PairSpec
from elicit.pair import ModelPair
from elicit.results import canonical_json
from elicit.rollouts import Generation
from elicit.runs import RunDirectory, RunError
from elicit.tasks import Task

S = TypeVar("S", bound=PairSpec)
I = TypeVar("I")  # noqa: E741
PLAN = "plan.json"
"""File of a run directory with what a budget has chosen: a resumed run chooses alike."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One thing less to measure."""

    options: Mapping[str, object]
    """Options by name."""
    what: str
    """What is left out, as a clause for the reader: `controls were left out`."""


@dataclass(frozen=True, kw_only=True)
class Costing(Generic[S, I]):
    """How a command knows its cost, and what it can do without."""

    stages: Callable[[S, ModelPair, I], Sequence[Stage]]
    """The stages that its options lead to."""
    cuts: Callable[[S, ModelPair, I], Sequence[Cut]] = lambda _spec, _pair, _inputs: ()
    """What is left out to fit a budget, the first first."""
    asked: Callable[[S, I], tuple[Task, Generation] | None] = lambda _spec, _inputs: None
    """Problems to which texts are written, and how, so that a few of them tell how long texts are;
    None counts every text at its longest."""


@dataclass(frozen=True, kw_only=True)
class Planned(Generic[S, I]):
    """A run that was fitted to its budget."""

    spec: S
    inputs: I
    forecast: Forecast
    left_out: tuple[str, ...] = ()


def fit(
    costing: Costing[S, I],
    planned: Planned[S, I],
    pair: ModelPair,
    speed: Speed,
    again: Callable[[S], I],
) -> tuple[Planned[S, I], dict[str, object]]:
    """Leave out one thing after the other until the forecast fits the budget.

    Args:
        costing: The command's stages and cuts.
        planned: Everything that its options ask for.
        pair: The two models.
        speed: Speed of this device.
        again: Inputs for other options.

    Returns:
        What remains, and the options that differ.
    """
    budget = planned.spec.budget
    options: dict[str, object] = {}
    if budget is None:
        return planned, options
    # A later cut of the same options says what both leave out.
    said: dict[frozenset[str], str] = {}
    for cut in costing.cuts(planned.spec, pair, planned.inputs):
        if planned.forecast.minutes(speed) <= budget:
            break
        options |= cut.options
        planned = with_options(costing, planned, cut.options, pair, again)
        said[frozenset(cut.options)] = cut.what
    planned = replace(planned, left_out=tuple(said.values()))
    expected = planned.forecast.minutes(speed)
    if expected > budget:
        what = f"nothing else can be left out, and {duration(expected)} are expected all the same"
        planned = replace(planned, left_out=(*planned.left_out, what))
    return planned, options


def with_options(
    costing: Costing[S, I],
    planned: Planned[S, I],
    options: Mapping[str, object],
    pair: ModelPair,
    again: Callable[[S], I],
) -> Planned[S, I]:
    """The run under other options."""
    # A saved plan comes from a file, so that its values are validated like any other.
    spec = type(planned.spec).from_options(
        {**planned.spec.model_dump(exclude_unset=True), **options}
    )
    inputs = again(spec)
    return replace(
        planned,
        spec=spec,
        inputs=inputs,
        forecast=forecast(pair, costing.stages(spec, pair, inputs)),
    )


def budget_notes(planned: Planned) -> list[str]:
    """What was left out, as a remark for the reader."""
    if not planned.left_out:
        return []
    budget = planned.spec.budget
    return [f"To stay within a budget of {budget:g} minutes: " + "; ".join(planned.left_out) + "."]


def save_plan(run: RunDirectory, options: Mapping[str, object], left_out: Sequence[str]) -> None:
    """Keep what a budget has chosen."""
    text = canonical_json({"options": dict(options), "left_out": list(left_out)}).decode()
    run.write_text(PLAN, text)


def saved_plan(
    run: RunDirectory, allowed: Collection[str]
) -> tuple[dict[str, object], tuple[str, ...]] | None:
    """What a budget has chosen in this run directory before.

    `allowed`: options that a budget may set.

    Raises:
        RunError: The file is not one that elicit wrote.
    """
    path = run.path / PLAN
    if not path.is_file() or path.is_symlink():
        return None
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        options, left_out = plan["options"], plan["left_out"]
        if not isinstance(options, dict) or not all(isinstance(word, str) for word in left_out):
            raise TypeError("options or left_out are of another type")
        if foreign := sorted(set(options) - set(allowed)):
            raise ValueError(f"no budget sets {foreign[0]}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(
            f"{path} does not hold what a budget has chosen ({' '.join(str(error).split())}), so "
            "a resumed run could measure something else. Delete the folder, or pass fresh."
        ) from error
    return options, tuple(left_out)


def halves(n: int, least: int, what: str, option: str = "limit") -> list[Cut]:
    """Cuts to half of the problems, again and again."""
    cuts, kept = [], n
    while kept // 2 >= least:
        kept //= 2
        cuts.append(Cut(options={option: kept}, what=f"{kept} of {n} {what} were used"))
    return cuts


def every(n_layers: int, step: int) -> list[int]:
    """Every `step`-th layer, ending with the last but one."""
    return sorted(range(n_layers - 1 - step // 2, -1, -step))
