"""What post changed, on a host without the skill; and base made to begin as post does."""

import dataclasses

import pytest
import torch

from elicit import organisms
from elicit.elicitation import ElicitationError, forced_form, openers, transplant
from elicit.pair import load_pair, weights_digest
from elicit.rollouts import Generation, rollouts
from elicit.stats import Inference
from elicit.tasks import Problem, Task, load_task
from tests.rollouts.made import STOPS, task_of

SHORT = Generation(max_new_tokens=8, stop_ids=STOPS)
LONG = Generation(max_new_tokens=72, batch_size=128)
FAST = Inference(n_resamples=200)


@pytest.fixture(scope="module")
def third(written):
    return load_pair(written("llama", seed=3), written("llama", seed=1)).side("base")


@pytest.fixture(scope="module")
def asked():
    return load_task(organisms.resolve("organism:rl").problems).subset(30, seed=0)


@pytest.mark.parametrize("what", ["logits", "weights"])
def test_without_a_difference_the_host_writes_as_it_did(written, third, what):
    one = written("llama", seed=1)
    pair = load_pair(one, one, allow_identical=True)
    before = weights_digest(third.bridge)
    found = transplant(pair, third, task_of(), name="third", what=what, generation=SHORT)
    assert torch.equal(found.right, found.host_right)
    assert found.text == rollouts(third, task_of(), generation=SHORT).text
    assert weights_digest(third.bridge) == before == found.host_digest
    assert found.no_share and bool(found.share.value.isnan())


def test_a_host_that_says_nothing_is_refused(paired, third):
    pair = paired("llama")
    with pytest.raises(ElicitationError, match="pair's own base"):
        transplant(pair, pair.side("base"), task_of(), name="own", generation=SHORT)
    several = dataclasses.replace(SHORT, temperature=1.0, n_samples=2)
    with pytest.raises(ElicitationError, match="n_samples is 2"):
        transplant(pair, third, task_of(), name="third", generation=several)


def test_an_opener_ends_before_the_answer_and_before_the_end(paired):
    pair = paired("llama")
    texts = rollouts(pair.side("post"), task_of(), generation=SHORT)
    ids = texts.ids(0)
    first = pair.alignment.decode(ids[:1])
    told = Task(name="made", problems=(Problem(id="p0", prompt="one", answer=first),))
    answers = dataclasses.replace(SHORT, extractor=lambda text, problem: text.strip() or None)
    assert openers(pair, told, texts, n_first=1, generation=answers)["p0"] == ()
    free = openers(pair, task_of(), texts, n_first=3, generation=SHORT)
    for row, problem in enumerate(task_of()):
        own = texts.ids(row)[:3]
        assert list(free[problem.id]) == own[: len(free[problem.id])]
        assert not set(free[problem.id]) & set(STOPS)


def test_a_form_without_first_tokens_is_refused(paired):
    pair = paired("llama")
    with pytest.raises(ElicitationError, match="n_first is 0"):
        forced_form(pair, task_of(), n_first=0, generation=SHORT)
    drawn = dataclasses.replace(SHORT, temperature=1.0)
    with pytest.raises(ElicitationError, match="temperature 1"):
        forced_form(pair, task_of(), generation=drawn)


@pytest.mark.slow
def test_a_created_difference_carries_the_skill_and_an_elicited_one_does_not(organism, asked):
    """Measured before: 1.00 against .11 [.02, .20]."""
    host = organism("decoupled").side("post")
    how = {"name": "decoupled", "generation": LONG, "inference": FAST}
    created = transplant(organism("created"), host, asked, **how)
    assert created.share.low.item() > 0.8
    elicited = transplant(organism("rl"), host, asked, **how)
    assert elicited.share.high.item() < 0.6 and elicited.share.value.item() < 0.4


@pytest.mark.slow
def test_base_is_right_once_it_begins_as_post_does_only_where_it_has_the_skill(organism, asked):
    how = {"generation": LONG, "inference": FAST}
    latent = forced_form(organism("rl"), asked, **how)
    assert set(latent.opener) == {"so"} and latent.share.low.item() > 0.7
    absent = forced_form(organism("created"), asked, **how)
    assert absent.share.high.item() < 0.4
    assert bool((absent.n_forced == 1).all())
