"""The result of the verdict on origin: what it holds, says, refuses and draws."""

import dataclasses
import math

import pytest

from elicit.pair import load_pair
from elicit.results import load_result
from elicit.verdicts import Evidence, Origin, VerdictError, origin
from tests.verdicts.made_origin import mechanism, tried


@pytest.fixture(scope="module")
def pair(paired):
    return paired("llama")


def found(pair, arms, base=0.0, post=1.0, n=40, **evidence):
    return origin(
        pair, arms, base=tried(base, n), post=tried(post, n), evidence=Evidence(**evidence)
    )


@pytest.fixture(scope="module")
def elicited(pair):
    arms = [
        mechanism("prompt", 0.95),
        mechanism("rl", 1.0, sees="answers", bits=1500.0, seeds=3),
        mechanism("random reward", 0.1, sees="nothing", bits=0.0, control=True, seeds=3),
        mechanism("dial", 1.0, sees="post weights", bits=math.inf),
    ]
    return found(pair, arms, learning_bits=700.0)


@pytest.fixture(scope="module")
def absent(pair, elicited):
    arms = [mechanism("prompt", 0.0), mechanism("rl", 0.05, sees="answers", bits=1800.0, seeds=3)]
    return found(pair, arms, has_skill=elicited, learning_bits=150_000.0)


def test_it_says_how_much_at_least_and_within_how_many_bits(pair, elicited, absent):
    low = elicited.best_share.low.item()
    assert elicited.verdict == "elicited" and elicited.words == f"elicited (at least {low:.2f})"
    assert elicited.best == "rl" and elicited.bits == 1500.0
    assert absent.verdict == "created" and absent.bits == 1800.0
    assert absent.words == "created (not elicited within 1,800 bits)"
    assert absent.learning_ratio == pytest.approx(150_000 / 700)
    undecided = found(pair, [mechanism("prompt", 0.7, n=10)], n=10)
    assert undecided.verdict == "undecided" and "problems would decide" in undecided.words


def test_the_controls_are_there_and_a_failed_one_changes_the_verdict(pair, elicited, absent):
    assert absent.known_truth == ("has the skill",) and bool(absent.known_passed.all())
    both = found(pair, [mechanism("prompt", 1.0)], has_skill=elicited, lacks_skill=absent)
    assert both.verdict == "elicited" and bool(both.known_passed.all())
    failed = found(pair, [mechanism("prompt", 1.0)], lacks_skill=elicited)
    assert failed.verdict == "undecided" and not bool(failed.known_passed.any())
    useless = found(pair, [mechanism("prompt", 0.0)], has_skill=absent)
    assert useless.verdict == "undecided" and not bool(useless.known_passed.any())


def test_the_summary_has_the_lower_end_first_and_every_arm(elicited):
    told = elicited.summary()
    assert told["verdict"] == "elicited" and list(told["share"])[0] == "low"
    assert set(told["arms"]) == set(elicited.arm)
    assert told["arms"]["dial"]["bits"] is None and told["bits"] == 1500.0


def test_arms_of_other_problems_or_of_one_name_are_refused(pair):
    with pytest.raises(VerdictError, match="no arm was tried"):
        found(pair, [])
    with pytest.raises(VerdictError, match="two arms are called 'prompt'"):
        found(pair, [mechanism("prompt", 1.0), mechanism("prompt", 0.0)])
    with pytest.raises(VerdictError, match="about 40 problems, base about 30"):
        found(pair, [mechanism("prompt", 1.0)], n=30)
    with pytest.raises(VerdictError, match="rl about others"):
        found(pair, [mechanism("prompt", 1.0), mechanism("rl", 1.0, n=39)])


def test_a_model_and_itself_have_no_gap(written):
    one = written("llama", seed=1)
    same = load_pair(one, one, allow_identical=True)
    result = found(same, [mechanism("prompt", 1.0)], base=0.3, post=0.3)
    assert result.verdict == "no gap" and result.gap.ends == (0.0, 0.0, 0.0)


def test_no_field_combines_the_parts():
    """There is no combined score: every number belongs to one part."""
    single = {"needed", "bits", "learning_bits", "learning_ratio", "level"}
    for field in dataclasses.fields(Origin):
        if field.type is float or field.type == "float":
            assert field.name in single
        assert not any(word in field.name for word in ("score", "total", "overall", "index"))
    for name, axes in Origin.axes().items():
        assert not axes or axes[0] in ("arm", "text_part", "known_pair"), name


def test_it_is_stored_and_drawn(absent, elicited, tmp_path):
    for result in (elicited, absent):
        folder = tmp_path / result.verdict
        result.save(folder)
        back = load_result(folder)
        assert isinstance(back, Origin) and back.summary() == result.summary()
        drawn = result.figure()
        marks = [trace for trace in drawn.data if trace.x is not None]
        assert sum(len(trace.x) for trace in marks) >= len(result.arm)
        assert {trace.name for trace in marks} >= {"sees nothing", "sees answers"}
    heights = [y for trace in elicited.figure().data for y in trace.y]
    assert min(heights) == pytest.approx(0.1) and max(heights) == 1.0
