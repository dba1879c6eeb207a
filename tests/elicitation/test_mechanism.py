"""A mechanism's share of the gap: laws, and refusals before any work."""

from dataclasses import dataclass, replace

import pytest
import torch

from elicit import organisms
from elicit.elicitation import (
    Attempt,
    Bench,
    ElicitationError,
    Means,
    Mechanism,
    Sees,
    Tried,
    held_against,
    try_mechanism,
)
from elicit.pair import ModelPair, load_pair
from elicit.results import load_result
from elicit.rollouts import Generation
from elicit.tasks import Task, load_task
from elicit.traces import EquationsHold


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """Base or post under one of the behaviour's prompts: what it reaches is known."""

    name: str = "asked"
    sees: Sees = "nothing"
    control: bool = False
    model: str = "base"
    header: str = ""

    def attempt(self, bench: Bench) -> Attempt:
        side = bench.pair.side(self.model)  # pyright: ignore[reportArgumentType]
        chosen, test = (
            bench.tried(bench.writes(side), self._under(bench, task), sampled=task is bench.test)
            for task in (bench.choose, bench.test)
        )
        return Attempt(chosen=chosen.right, tests=(test,), bits=0.0, setting="as it is")

    def _under(self, bench: Bench, task: Task) -> Task:
        if not self.header:
            return task
        asked = bench.behaviour.asked(task)[self.header]
        return replace(asked, name=task.name)


@pytest.fixture(scope="module")
def bench() -> Bench:
    pair: ModelPair = load_pair("organism:base", "organism:rl")
    task = load_task(organisms.resolve("rl").problems, name="problems")
    fit, choose, test = task.split((0.2, 0.4, 0.4), 0)
    return Bench(
        pair=pair,
        fit=fit,
        choose=choose,
        test=test,
        behaviour=organisms.trace_behaviour(),
        generation=Generation(max_new_tokens=64),
        checker=EquationsHold(modulus=10),
        n_samples=2,
    )


@pytest.fixture(scope="module")
def sides(bench: Bench) -> dict[str, Tried]:
    return {
        side.name: bench.tried(bench.writes(side), bench.test, sampled=True)
        for side in (bench.base, bench.post)
    }


@pytest.mark.slow(checked=True)
def test_base_closes_none_of_the_gap_and_post_all_of_it(bench: Bench, sides: dict[str, Tried]):
    for model, wanted in (("base", 0.0), ("post", 1.0)):
        found = try_mechanism(_Asked(model=model), bench, base=sides["base"], post=sides["post"])
        assert float(found.share.value) == wanted
        assert float(found.share_sampled.value) == wanted
        assert torch.equal(found.right[:, 0], sides[model].right)


@pytest.mark.slow(checked=True)
def test_words_before_the_problem_close_the_gap(bench: Bench, sides: dict[str, Tried], tmp_path):
    asked = _Asked(header="positive prompt")
    assert isinstance(asked, Means)
    found = try_mechanism(asked, bench, base=sides["base"], post=sides["post"])
    assert float(found.share.value) > 0.9 and float(found.share.low) > 0.5
    # Right answers that are reasoned are right in every step here, so verified is no less.
    assert float(found.verified.mean()) > 0.9 and float(sides["base"].verified.mean()) < 0.2
    assert float(found.shown.mean()) == 1.0
    again = load_result(found.save(tmp_path / "mechanism"))
    assert isinstance(again, Mechanism) and again.text == found.text


@pytest.mark.slow(checked=True)
def test_without_a_gap_there_is_no_share_and_it_says_why(bench: Bench, sides: dict[str, Tried]):
    found = try_mechanism(_Asked(), bench, base=sides["base"], post=sides["base"])
    assert bool(found.share.value.isnan()) and "includes 0" in found.no_share


@pytest.mark.slow(checked=True)
def test_a_share_that_is_the_same_in_all_problems_is_no_point(
    bench: Bench, sides: dict[str, Tried]
):
    found = try_mechanism(_Asked(model="post"), bench, base=sides["base"], post=sides["post"])
    assert float(found.share.low) < 1.0 < float(found.share.high)


@pytest.mark.slow(checked=True)
def test_parts_that_share_problems_and_sampled_benches_are_refused(bench: Bench):
    with pytest.raises(ElicitationError, match="both choose and test"):
        replace(bench, choose=bench.test)
    with pytest.raises(ElicitationError, match="temperature"):
        replace(bench, generation=Generation(temperature=1.0))


@pytest.mark.slow(checked=True)
def test_an_attempt_on_other_problems_is_refused(bench: Bench, sides: dict[str, Tried]):
    attempt = Attempt(
        chosen=torch.zeros(3).double(), tests=(sides["base"],), bits=0.0, setting="other problems"
    )
    with pytest.raises(ElicitationError, match="asked has texts"):
        held_against(_Asked(), attempt, bench, sides["base"], sides["post"])
