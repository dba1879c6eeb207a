"""Cross-sampling: one planted token carries an elicited ability, both ways, and few others do."""

import pytest

from elicit.results import load_result
from elicit.rollouts import Generation
from elicit.traces import TakeRule, TraceError, cross_sampled
from tests.traces.made import task_of

GREEDY = Generation(max_new_tokens=64)
JSD, RANDOM = TakeRule(kind="jsd"), TakeRule(kind="random")


def crossed(pair, n: int = 5, **options):
    chosen = {"host": "base", "rules": (JSD,), "budgets": (1,), "generation": GREEDY, **options}
    return cross_sampled(pair, task_of("rl", n, least=3), **chosen)


@pytest.mark.slow
def test_one_token_carries_the_whole_gap_both_ways_and_a_random_one_does_not(organism, tmp_path):
    up = crossed(organism("rl"), rules=(RANDOM, JSD))
    assert up.alone.value.tolist() == [pytest.approx(0.1, abs=0.25), 1.0]
    random, planted = up.accuracy.value[:, 0].tolist()
    assert planted == 1.0
    assert random < 0.6
    assert up.n_used[1].tolist() == [[1] * 5]
    assert set(zip(up.taken_at.tolist(), up.taken_text, up.replaced_text, strict=True)) == {
        (0, "so", "answer")
    }
    down = crossed(organism("rl"), host="post", budgets=(None,))
    assert down.alone.value[0] == 1.0
    assert down.accuracy.value[0, 0] < 0.5
    assert load_result(down.save(tmp_path / "down")).rule == down.rule


def test_two_equal_models_use_no_token(organism):
    found = crossed(organism("identity"), n=2, budgets=(1, None), rules=(JSD, RANDOM))
    assert not found.n_used.any()
    assert not found.change.value.any()
    assert len(found.taken_at) == 0


def test_random_places_are_as_many_as_the_rule_beside_them_used(organism):
    found = crossed(
        organism("rl"),
        n=3,
        rules=(RANDOM, JSD),
        budgets=(3,),
        generation=Generation(max_new_tokens=4),
    )
    assert bool((found.n_used[0] <= found.n_used[1]).all())
    assert found.n_used[1].tolist() == [[1, 1, 1]]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"budgets": (0,)}, "the host's own"),
        ({"budgets": (1, 1)}, "each once"),
        ({"rules": ()}, "Pass one or more"),
        ({"rules": (JSD, JSD)}, "measured once"),
    ],
)
def test_what_would_measure_nothing_is_refused(organism, options, told):
    with pytest.raises(TraceError, match=told):
        crossed(organism("identity"), n=2, **options)


def test_rules_that_mean_nothing_are_refused():
    with pytest.raises(TraceError, match="neither can be negative"):
        TakeRule(kind="jsd", threshold=-0.1)
