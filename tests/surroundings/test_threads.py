"""One user of a model at a time: what a thread changes for a while, no other thread reads."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from elicit.capture import capture
from elicit.edits import EditError, Steer, edited
from elicit.sites import resid_post
from elicit.surroundings import SurroundingsError, hold
from elicit.weights import grafted, part, replaced, slots_of
from tests.rollouts.made import VECTOR
from tests.surroundings.entries import CALLS, encoded, numbers


@pytest.fixture(scope="module")
def pair(paired):
    return paired("llama")


def beside(inside, outside):
    """What `outside` gives on a second thread that began while this one was in a block."""
    with ThreadPoolExecutor(1) as pool:
        with inside:
            waiting = pool.submit(outside)
            time.sleep(0.1)
            early = waiting.done()
        return early, waiting.result(timeout=60)


def test_two_threads_that_sweep_one_pair_give_the_numbers_of_one_after_another(pair):
    call = CALLS["grafting.sweep_parts"]
    alone = numbers(call(pair))
    with ThreadPoolExecutor(3) as pool:
        for found in [pool.submit(call, pair) for _ in range(3)]:
            assert torch.equal(numbers(found.result(timeout=60)).nan_to_num(), alone.nan_to_num())


@pytest.mark.parametrize("side", ["base", "post"])
def test_a_reading_waits_for_another_threads_graft(pair, side):
    model = pair.side(side).bridge

    def read():
        return capture(model, encoded(pair), sites=[resid_post(2)]).at[resid_post(2)]

    clean = read()
    early, found = beside(grafted(pair, part(pair, "L1")), read)
    assert not early and torch.equal(found, clean)


def test_a_reading_waits_for_parameters_replaced_one_by_one(pair):
    slot = next(iter(slots_of(pair).values()))
    clean = numbers(CALLS["capture.capture"](pair))
    swap = replaced({slot.post: torch.zeros_like(slot.post.data)})
    early, found = beside(swap, lambda: numbers(CALLS["capture.capture"](pair)))
    assert not early and torch.equal(found, clean)


def test_a_reading_waits_for_another_threads_edits_and_is_not_edited(pair):
    clean = capture(pair.base, encoded(pair), sites=[resid_post(2)]).at[resid_post(2)]

    def read():
        return capture(pair.base, encoded(pair), sites=[resid_post(2)]).at[resid_post(2)]

    block = edited(pair.base, [Steer(resid_post(1), VECTOR)])
    with ThreadPoolExecutor(1) as pool, block:
        waiting = pool.submit(read)
        capture(pair.base, encoded(pair), sites=[resid_post(2)])
        early = waiting.done()
    assert not early and torch.equal(waiting.result(timeout=60), clean)


def test_a_bare_call_on_another_thread_is_told_of_the_edits(pair):
    ids = torch.tensor([[1, 5, 6]])
    with edited(pair.base, [Steer(resid_post(1), VECTOR)]), ThreadPoolExecutor(1) as pool:
        with pytest.raises(EditError, match="thread"):
            pool.submit(pair.base.original_model, ids).result(timeout=60)
        pair.base.original_model(ids)


def test_two_threads_that_wait_for_each_other_are_told(pair):
    there, told = threading.Event(), []

    def second():
        with hold(pair.post):
            there.set()
            try:
                with hold(pair.base):
                    pass
            except SurroundingsError as error:
                told.append(error)

    with hold(pair.base):
        other = threading.Thread(target=second)
        other.start()
        assert there.wait(10)
        try:
            with hold(pair.post):
                pass
        except SurroundingsError as error:
            told.append(error)
    other.join(10)
    assert len(told) == 1


def test_the_same_thread_may_nest_and_a_model_is_free_after_an_error(pair):
    with pytest.raises(ZeroDivisionError), hold(pair.base), hold(pair.base, pair.post):
        _ = 1 / 0

    def taken():
        with hold(pair.base, pair.post):
            return True

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(taken).result(timeout=10)


def test_settings_of_the_process_come_back_after_the_last_of_two_threads(pair):
    call = CALLS["grafting.sweep_parts"]
    alone = numbers(call(pair))
    torch.set_default_dtype(torch.float64)
    try:
        with ThreadPoolExecutor(3) as pool:
            for found in [pool.submit(call, pair) for _ in range(3)]:
                assert torch.allclose(numbers(found.result()), alone, atol=1e-6, equal_nan=True)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
