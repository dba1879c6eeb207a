"""Joint intervals over parts: coverage, false findings, and what must not matter."""

import time

import numpy as np
import pytest
import torch
from scipy import stats as reference

from elicit.stats import bootstrap_mean, simultaneous_intervals


def latent(rng, n, parts, correlation):
    shared, own = rng.normal(size=(n, 1)), rng.normal(size=(n, parts))
    return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own


def answer_differences(rng, n, lost, gained):
    """Differences of 0/1 answers, correlated over parts, each -1 and 1 with the given chances."""
    uniform = reference.norm.cdf(latent(rng, n, len(gained), 0.5))
    return 1.0 * (uniform > 1 - gained) - 1.0 * (uniform < lost)


EVEN = np.linspace(0.02, 0.25, 12)
RARE = np.full(12, 0.02)
HEALED = np.linspace(0.1, 0.8, 12)
NULLS = {
    "normal": lambda rng: latent(rng, 100, 12, 0.5),
    "nearly one part": lambda rng: latent(rng, 100, 12, 0.95),
    "skewed": lambda rng: -reference.norm.logsf(latent(rng, 100, 12, 0.5)) - 1,
    "answers": lambda rng: answer_differences(rng, 100, EVEN, EVEN),
    "rare answers": lambda rng: answer_differences(rng, 100, RARE, RARE),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", NULLS)
def test_without_an_effect_no_part_is_clear_of_zero_in_95_percent(kind, simulation):
    """1,000 sweeps: 5 % has a standard error of 0.69 %, three of which are granted.

    With answers the chance is below 5 %: few outcomes are possible, and most parts cannot reach
    their limit. Skewed effects converge from above; their coverage is bounded at 93 %.
    """
    rng, drawn = np.random.default_rng(0), simulation(1000)
    false = np.mean(
        [
            simultaneous_intervals(NULLS[kind](rng), n_resamples=500, seed=seed).clear_of_zero.any()
            for seed in range(drawn.n)
        ]
    )
    assert false < 0.05 or not drawn.off_by(false, 0.05, 0.02 if kind == "skewed" else 3 * 0.0069)
    if kind != "rare answers":
        assert false > 0.05 or not drawn.off_by(false, 0.05, 0.03)


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 200])
def test_large_and_small_effects_on_answers_are_all_covered_in_93_to_97_percent(n, simulation):
    """1,000 sweeps: 95 % has a standard error of 0.69 %."""
    rng, drawn = np.random.default_rng(1), simulation(1000)
    truth = HEALED - 0.05
    jointly, singly = [], []
    for seed in range(drawn.n):
        effects = answer_differences(rng, n, np.full(12, 0.05), HEALED)
        i = simultaneous_intervals(effects, n_resamples=500, seed=seed)
        jointly.append(np.all((i.low <= truth) & (truth <= i.high)))
        singly.append((i.alone[0] <= truth) & (truth <= i.alone[1]))
    for rate in (np.mean(jointly), *np.mean(singly, axis=0)):
        assert not drawn.off_by(rate, 0.95, 0.02)
    assert np.mean(np.all(singly, axis=1)) < 0.85  # the single intervals do not cover jointly


def test_one_part_alone_has_the_interval_of_the_mean():
    effects = np.random.default_rng(2).exponential(size=(60, 3))
    joint = simultaneous_intervals(effects, seed=5)
    for part in range(3):
        single = bootstrap_mean(effects[:, part], n_resamples=2000, seed=5)
        assert (joint.alone[0][part], joint.alone[1][part]) == pytest.approx(
            (single.low, single.high)
        )
    alone = simultaneous_intervals(effects[:, :1], seed=5)
    np.testing.assert_array_equal(alone.low, alone.alone[0])
    np.testing.assert_array_equal(alone.high, alone.alone[1])


def test_copies_of_a_part_cost_nothing():
    column = np.random.default_rng(3).exponential(size=(60, 1))
    alone = simultaneous_intervals(column, seed=0)
    copies = simultaneous_intervals(column * [1.0, 2.0, -0.5], seed=0)
    np.testing.assert_allclose(copies.critical, alone.critical)
    np.testing.assert_allclose(copies.low[:2], alone.low * [1.0, 2.0])
    np.testing.assert_allclose(copies.low[2], -0.5 * alone.high[0])


def test_independent_parts_cost_what_the_distribution_of_their_maximum_says():
    effects = np.random.default_rng(4).normal(size=(2000, 30))
    critical = simultaneous_intervals(effects, n_resamples=20_000, seed=0).critical
    assert critical == pytest.approx(reference.norm.ppf((1 + 0.95 ** (1 / 30)) / 2), rel=0.02)


def test_parts_that_never_vary_are_points_and_change_no_other_part():
    effects = np.random.default_rng(5).normal(0.2, 1, size=(50, 4))
    alone = simultaneous_intervals(effects, seed=0)
    wide = np.concatenate(
        [np.zeros((50, 2)), effects[:, :2], np.full((50, 1), 0.1), effects[:, 2:]], axis=1
    )
    padded = simultaneous_intervals(wide, seed=0)
    kept = [2, 3, 5, 6]
    for field in ("value", "low", "high", "alone"):
        values = getattr(padded, field)
        np.testing.assert_array_equal(values[..., kept], getattr(alone, field))
        constant = values[..., [0, 1, 4]]
        np.testing.assert_array_equal(constant, np.broadcast_to([0.0, 0.0, 0.1], constant.shape))
    assert padded.critical == alone.critical
    assert not padded.clear_of_zero[:2].any()
    assert padded.clear_of_zero[4]


def test_a_sweep_without_any_effect_is_all_zeros_and_never_nan():
    i = simultaneous_intervals(np.zeros((10, 5)), seed=0)
    for field in (i.value, i.low, i.high, *i.alone):
        np.testing.assert_array_equal(field, np.zeros(5))
    assert i.critical == 0.0


def test_one_rare_event_does_not_make_the_intervals_of_the_other_parts_endless():
    effects = np.random.default_rng(6).normal(size=(100, 5))
    alone = simultaneous_intervals(effects, seed=0).critical
    rare = np.zeros((100, 1))
    rare[7] = 1.0
    both = simultaneous_intervals(np.hstack([effects, rare]), seed=0).critical
    assert alone <= both < 1.2 * alone


def test_a_unit_per_part_changes_only_that_unit():
    effects = np.random.default_rng(7).exponential(size=(50, 3))
    unit = np.array([1e-200, 1.0, 1e150])
    plain, scaled = (simultaneous_intervals(x, seed=0) for x in (effects, effects * unit))
    np.testing.assert_allclose(scaled.low / unit, plain.low, rtol=1e-9)
    np.testing.assert_allclose(scaled.high / unit, plain.high, rtol=1e-9)


def test_every_joint_interval_holds_its_single_interval_and_its_value():
    effects = np.random.default_rng(8).exponential(size=(50, 20))
    i = simultaneous_intervals(effects, seed=0)
    assert np.all(i.low <= i.alone[0])
    assert np.all(i.alone[0] < i.value)
    assert np.all(i.value < i.alone[1])
    assert np.all(i.alone[1] <= i.high)
    one = i.interval(3)
    assert one.to_json() == {"value": i.value[3], "low": i.low[3], "high": i.high[3]}
    assert (one.n, one.level) == (50, 0.95)


def test_the_same_seed_gives_the_same_bytes_and_tensors_the_same_as_arrays():
    effects = np.random.default_rng(9).normal(size=(40, 6))
    first, again = (simultaneous_intervals(effects, seed=1) for _ in range(2))
    assert first.low.tobytes() == again.low.tobytes()
    assert first.low.tobytes() != simultaneous_intervals(effects, seed=2).low.tobytes()
    tensor = simultaneous_intervals(torch.tensor(effects, requires_grad=True), seed=1)
    assert first.high.tobytes() == tensor.high.tobytes()


def test_a_large_sweep_takes_under_a_second_of_processor_time():
    """500 problems, 300 parts and 2,000 resamples: two products of 0.3 GFLOP, about 0.2 s."""
    effects = np.random.default_rng(10).normal(size=(500, 300))
    start = time.process_time()
    simultaneous_intervals(effects, seed=0)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    ("effects", "message"),
    [
        (np.zeros((0, 3)), "effects has 0 rows"),
        (np.zeros((1, 3)), "effects has 1 rows, but at least 2 problems"),
        (np.zeros((5, 0)), "5 problems and 0 parts"),
        (np.zeros(5), r"effects has shape \(5,\)"),
        ([[0.0, 1.0], [float("nan"), 1.0]], r"NaN or infinite, the first at \[1, 0\]"),
    ],
)
def test_unusable_effects_are_refused_with_what_is_wrong(effects, message):
    with pytest.raises(ValueError, match=message):
        simultaneous_intervals(effects, seed=0)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_very_few_problems_do_not_make_a_finding_of_noise(n):
    false = 0
    for seed in range(300):
        effects = np.random.default_rng(seed).normal(size=(n, 6))
        found = simultaneous_intervals(effects, n_resamples=200, seed=seed)
        false += bool(found.clear_of_zero.any())
    # Of 300 at 5 %, more than 27 happen once in 1,000 simulations.
    assert false <= 27


def test_many_parts_are_drawn_in_blocks_and_have_the_intervals_of_one(monkeypatch):
    from elicit.stats import joint_intervals, max_t, significance, simultaneous

    rows = np.random.default_rng(1).standard_normal((30, 57))
    rows[:, 5], rows[:, 30] = 0, 2.5
    whole = simultaneous_intervals(rows, n_resamples=200, seed=3)
    p = max_t(rows, n_resamples=200, seed=3)
    for module in (simultaneous, significance):
        monkeypatch.setattr(module, "PARTS", 10)
    blocks = simultaneous_intervals(rows, n_resamples=200, seed=3)
    joint = joint_intervals(rows, n_resamples=200, seed=3)
    for name in ("value", "low", "high", "alone"):
        assert np.allclose(getattr(blocks, name), getattr(whole, name), rtol=1e-12)
    assert np.allclose(joint, [whole.value, whole.low, whole.high], rtol=1e-12)
    assert joint[:, 5].tolist() == [0, 0, 0]
    assert np.array_equal(max_t(rows, n_resamples=200, seed=3), p)
