"""Try mechanisms one after the other on one bench."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from jaxtyping import Float
from torch import Tensor

from elicit.elicitation import Bench, Means, Mechanism, Tried, held_against
from elicit.jobs._mechanisms.names import SEEDED
from elicit.results import ElicitError, Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Tries:
    """Mechanisms that were tried on one bench, held against base and post."""

    mechanisms: tuple[Mechanism, ...]
    """In the order in which they ran."""
    details: Mapping[str, Result]
    """What else the page shows of them, by name."""
    notes: tuple[str, ...]
    """Mechanisms that could not be tried, with the reason."""
    states: Mapping[str, Float[Tensor, "layer problem d_model"]] = field(default_factory=dict)
    """Mean states under what was trained, by name; see `Bench.read_on`."""


def both_models(bench: Bench) -> tuple[Tried, Tried]:
    """What base and post reach on the test problems.

    Args:
        bench: Problems and models.
    """
    base, post = (
        bench.scoped(side.name).tried(bench.writes(side), bench.test, sampled=bench.n_samples > 0)
        for side in (bench.base, bench.post)
    )
    return base, post


def try_all(
    means: Mapping[str, Means],
    bench: Bench,
    *,
    base: Tried,
    post: Tried,
    stage: Callable[[str], object],
    after: Callable[[Mechanism], None] = lambda _mechanism: None,
) -> Tries:
    """Try every mechanism; one that cannot be tried is told and does not end the run.

    Args:
        means: The mechanisms, by the name of their option.
        bench: Problems, models and limits.
        base: What base reaches on the test problems.
        post: What post does.
        stage: Context of a mechanism's work, by name.
        after: Told of each that was tried.
    """
    tried: list[Mechanism] = []
    details: dict[str, Result] = {}
    notes: list[str] = []
    states: dict[str, Tensor] = {}
    for name, one in means.items():
        with stage(name):  # pyright: ignore[reportGeneralTypeIssues]
            try:
                attempt = one.attempt(_seeded(bench, name).scoped(name))
            except ElicitError as error:
                notes.append(f"{name} was not tried: {error}")
                continue
        found = replace(held_against(one, attempt, bench, base, post), name=name)
        tried.append(found)
        if attempt.states is not None:
            states[name] = attempt.states
        details |= {f"{name}_{key}": result for key, result in attempt.details.items()}
        after(found)
    return Tries(mechanisms=tuple(tried), details=details, notes=tuple(notes), states=states)


def _seeded(bench: Bench, name: str) -> Bench:
    """The bench with as many seeds as a mechanism is trained with."""
    return bench if name in SEEDED else replace(bench, seeds=bench.seeds[:1])
