"""Bits of post's texts that base lacks: an oracle, laws, and planted pairs."""

import math
from dataclasses import replace

import pytest
import torch

from elicit import organisms
from elicit.pair import load_pair
from elicit.rollouts import Generation, rollouts
from elicit.runs import Execution
from elicit.tasks import load_task
from elicit.texts import TextError, text_bits
from tests.rollouts.made import sampled

DRAWN = Generation(temperature=1.0, max_new_tokens=64, batch_size=128)


@pytest.fixture(scope="module")
def texts(paired):
    """Texts of one random model, and a pair of two."""
    pair = paired("llama")
    return pair, sampled(pair, n_samples=3)


def by_hand(pair, texts, row):
    """Log2 probability ratios and divergences of a text, from whole logits of plain forwards."""
    prompt, ids = texts.prompt_ids(row), texts.ids(row)
    with torch.no_grad():
        base, post = (
            bridge.original_model(torch.tensor([prompt + ids])).logits[0].double().log_softmax(-1)
            for bridge in (pair.base, pair.post)
        )
    at = torch.arange(len(prompt) - 1, len(prompt) + len(ids) - 1)
    written = torch.tensor(ids)
    ratio = post[at, written] - base[at, written]
    divergence = (post[at].exp() * (post[at] - base[at])).sum(-1)
    return ratio / math.log(2), divergence / math.log(2)


def test_bits_are_those_of_plain_forwards_over_whole_logits(texts):
    pair, written = texts
    found = text_bits(pair, written, n_first=2)
    for row in range(len(written)):
        ratio, divergence = by_hand(pair, written, row)
        for values, got in ((ratio, found.text_bits), (divergence, found.text_expected)):
            expected = torch.stack([values.sum(), values[:2].sum(), values[2:].sum()])
            assert torch.allclose(got[row], expected, atol=2e-4)
    n = written.n_tokens.double().mean().item()
    assert found.n_tokens[0].item() == pytest.approx(n)
    assert found.per_token.value[0].item() == pytest.approx(found.bits.value[0].item() / n)


def test_small_blocks_and_batches_change_nothing_beyond_rounding(texts):
    pair, written = texts
    whole = text_bits(pair, written)
    small = text_bits(pair, written, execution=Execution(max_tokens=40, memory=16_000))
    assert torch.allclose(whole.text_bits, small.text_bits, atol=1e-4)
    assert whole.problem == small.problem


def test_of_a_model_and_itself_not_a_bit_is_missing(written):
    one = written("llama", seed=1)
    pair = load_pair(one, one, allow_identical=True)
    found = text_bits(pair, sampled(pair))
    for estimate in (found.bits, found.expected, found.per_token):
        for end in (estimate.value, estimate.low, estimate.high):
            assert not end.any()
    assert bool((found.agreement.value == 1).all())


def test_texts_that_are_no_draws_of_post_are_refused(texts):
    pair, written = texts
    with pytest.raises(TextError, match="temperature 0.5"):
        text_bits(pair, replace(written, sampling=replace(written.sampling, temperature=0.5)))
    with pytest.raises(TextError, match="top_p 0.9"):
        text_bits(pair, replace(written, sampling=replace(written.sampling, top_p=0.9)))
    with pytest.raises(TextError, match="n_first is 0"):
        text_bits(pair, written, n_first=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "post", "least", "most"),
    [
        ("base", "rl", 2.0, 8.0),
        ("decoupled", "rl", 30.0, 100.0),
        ("created-base", "created", 250.0, 800.0),
        ("base", "continued", 0.0, 0.1),
    ],
)
def test_planted_pairs_lack_the_bits_that_they_lack(base, post, least, most):
    """Measured before: 3.8, 59, 536 and 0.01 bits a text."""
    pair = load_pair(f"organism:{base}", f"organism:{post}")
    task = load_task(organisms.resolve("organism:rl").problems).subset(36, seed=0)
    found = text_bits(pair, rollouts(pair.side("post"), task, generation=DRAWN))
    low, value, high = (getattr(found.expected, end)[0].item() for end in ("low", "value", "high"))
    assert least < value < most and low <= value <= high
    # Two estimates of one divergence.
    assert found.bits.low[0].item() < high and low < found.bits.high[0].item()
    first, after = found.expected.value[1].item(), found.expected.value[2].item()
    if post == "rl":
        # What is elicited lies at the opener, what is not known after it.
        assert (first > after) == (base == "base")
