"""Where predictions moved: planted forks, planted damage, and arithmetic against sums by hand."""

from dataclasses import replace

import pytest
import torch

from elicit.results import load_result
from elicit.traces import Readings, shifts
from tests.traces.made import given_readings, own_readings, task_of


@pytest.fixture(scope="module")
def told(organism):
    """Readings of given thoughts of twelve problems, and the pair that reads them."""
    pair = organism("rl")
    return pair, given_readings(pair, task_of("rl", 12))


def with_numbers(readings: Readings, **values: torch.Tensor) -> Readings:
    ledger = replace(readings.base.ledger, **values)
    return Readings(
        base=replace(readings.base, ledger=ledger), post=replace(readings.post, ledger=ledger)
    )


def value(found, metric: str, part: str = "all") -> float:
    return found.of(metric, part).value[-1].item()


@pytest.mark.slow
def test_reinforced_tokens_are_few_and_are_forks(organism):
    found = shifts(organism("rl"), own_readings(organism("rl"), task_of("rl", 6)))
    assert value(found, "KL(base‖post) on forks") > 0.9
    assert value(found, "KL(base‖post) on first tokens") > 0.85
    assert value(found, "shifted") < 0.06
    assert set(found.fork_text[:5]) == {"so"}
    assert not found.fork_at[:5].any()
    assert abs(value(found, "prompt loss")) < 0.15


@pytest.mark.slow
def test_damage_is_on_many_tokens_and_off_the_forks(organism):
    found = shifts(organism("decoupled"), own_readings(organism("decoupled"), task_of("rl", 6)))
    assert value(found, "KL(post‖base) on forks") < 0.35
    assert value(found, "KL(post‖base) on first tokens") < 0.1
    assert value(found, "shifted") == pytest.approx(0.25, abs=0.03)
    assert value(found, "prompt loss") > 1.0


def test_nothing_moved_between_a_model_and_itself(organism):
    pair = organism("identity")
    found = shifts(pair, given_readings(pair, task_of("identity", 4)))
    for name in ("KL(base‖post)", "shifted", "rank shift", "log-probability gain", "prompt loss"):
        assert value(found, name) == 0.0
    assert found.of("KL(base‖post) on forks").value.isnan().all()
    assert len(found.fork_at) == 0
    assert not found.lorenz.isfinite().any()


def test_an_even_divergence_gives_every_share_its_chance(told):
    pair, readings = told
    n = len(readings.base.ledger.kl_base_post)
    found = shifts(pair, with_numbers(readings, kl_base_post=torch.ones(n)))
    assert value(found, "KL(base‖post) on forks") == pytest.approx(found.chance[0, 0].item())
    assert found.chance[0, 0].item() == pytest.approx(0.2, abs=1 / n)
    assert torch.allclose(found.lorenz[0, 0, 0], found.percent.double() / 100)


def test_a_divergence_on_one_token_is_all_on_it(told):
    pair, readings = told
    ledger = readings.base.ledger
    first = ledger.tokens_of(0).start
    kl = torch.zeros(len(ledger.kl_base_post))
    kl[first] = 2.0
    found = shifts(pair, with_numbers(readings, kl_base_post=kl, kl_post_base=kl, jsd=kl / 4))
    assert value(found, "KL(base‖post) on first tokens") == 1.0
    assert value(found, "KL(base‖post)", "without the first") == 0.0
    assert found.lorenz[0, 0, 0, 0] == 0.0
    assert (found.lorenz[0, 0, 0, 1:] == 1.0).all()
    assert found.fork_at.tolist() == [0]
    assert found.fork_problem == (ledger.problem[0],)
    assert value(found, "shifted") == 1 / len(kl)


def test_numbers_are_the_sums_over_tokens(told):
    pair, readings = told
    ledger, found = readings.base.ledger, shifts(pair, readings)
    kl, entropy = ledger.kl_base_post.double(), ledger.entropy[0]
    top = entropy >= found.cutoff[0, 0]
    assert value(found, "KL(base‖post) on forks") == pytest.approx(
        (kl[top].sum() / kl.sum()).item()
    )
    assert value(found, "rank shift") == pytest.approx(
        (ledger.rank[0] - ledger.rank[1]).double().mean().item()
    )
    ends = [ledger.tokens_of(i) for i in range(len(ledger))]
    inner = torch.cat([torch.arange(each.start + 1, each.stop - 1) for each in ends])
    assert found.n_tokens[:, 0].tolist() == [len(kl), len(kl) - len(ledger), len(inner)]
    assert value(found, "KL(base‖post)", "without the ends") == pytest.approx(
        kl[inner].mean().item()
    )


def test_shares_and_their_intervals_stay_shares_where_one_text_holds_all(told):
    pair, readings = told
    ledger = readings.base.ledger
    kl = torch.full_like(ledger.kl_base_post, 1e-4)
    kl[ledger.tokens_of(3)] = 5.0
    found = shifts(pair, with_numbers(readings, kl_base_post=kl))
    ends = found.estimate[:2]
    assert float(ends.low.min()) >= 0.0
    assert float(ends.high.max()) <= 1.0


def test_a_token_that_a_model_rules_out_is_left_out_and_counted(told):
    pair, readings = told
    kl = readings.base.ledger.kl_base_post.clone()
    kl[5] = torch.inf
    found = shifts(pair, with_numbers(readings, kl_base_post=kl))
    assert found.n_infinite.tolist() == [1]
    assert bool(found.of("KL(base‖post)").value.isfinite().all())


def test_it_is_read_back_from_its_folder(told, tmp_path):
    pair, readings = told
    found = shifts(pair, readings)
    read = load_result(found.save(tmp_path / "shifts"))
    assert read.fork_text == found.fork_text
    assert torch.equal(read.lorenz, found.lorenz)
