"""Tokens are drawn with their probabilities, from streams that nothing else can change."""

import torch

from elicit.rollouts.streams import _nucleus, draw, stream_key, uniforms


def test_the_nucleus_holds_the_fewest_tokens_that_reach_its_mass():
    probs = torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=torch.float64)
    uniform = (torch.arange(7000, dtype=torch.float64) + 0.5) / 7000
    options = {"temperature": 1.0, "uniform": uniform}
    logits = probs.log().expand(7000, -1)
    drawn = draw(logits, top_p=0.69, **options)
    assert torch.bincount(drawn, minlength=4).tolist() == [0, 4000, 0, 3000]
    drawn = draw(logits, top_p=0.71, **options)
    expected = 7000 * probs / 0.9
    counts = torch.bincount(drawn, minlength=4)
    assert counts[0] == 0
    assert (counts[1:] - expected[1:]).abs().max() <= 1
    assert set(draw(logits, top_p=1e-9, **options).tolist()) == {1}


def test_the_nucleus_is_that_of_a_stable_sort_also_among_equals():
    generator = torch.Generator().manual_seed(0)
    spread = torch.randn(30, 500, generator=generator)
    for logits in (spread, spread.round(), torch.zeros(30, 500)):
        probs = torch.softmax(logits.double(), dim=-1)
        for top_p in (1e-9, 0.1, 0.5, 0.9, 1 - 1e-12):
            ordered, token = probs.sort(dim=-1, descending=True, stable=True)
            outside = ordered.cumsum(-1) - ordered >= top_p
            expected = torch.zeros_like(probs).scatter(-1, token, ordered.masked_fill(outside, 0.0))
            assert torch.equal(_nucleus(probs, top_p), expected)


def test_temperature_is_the_power_of_the_probabilities():
    probs = torch.tensor([0.2, 0.8], dtype=torch.float64)
    uniform = (torch.arange(1700, dtype=torch.float64) + 0.5) / 1700
    drawn = draw(probs.log().expand(1700, -1), temperature=0.5, top_p=1.0, uniform=uniform)
    assert (drawn == 0).sum() == 100  # 0.2^2 : 0.8^2 is 1 : 16
    tiny = draw(probs.log().expand(1700, -1), temperature=1e-310, top_p=1.0, uniform=uniform)
    assert (tiny == 1).all()


def test_no_token_without_probability_is_ever_drawn():
    logits = torch.tensor([[0.0, 0.1, 0.2, -torch.inf]])
    for value in (0.0, 1 - 2**-53):
        uniform = torch.tensor([value], dtype=torch.float64)
        assert draw(logits, temperature=1.0, top_p=1.0, uniform=uniform).item() != 3


def test_a_stream_is_fixed_by_seed_problem_and_sample():
    # Worked out once; another value here means that no earlier text can be repeated.
    assert stream_key(0, "p1", 2) == 202591205070283795598308313154793385123
    keys = {
        stream_key(seed, name, i) for seed in (0, 1) for name in ("1", "11") for i in (0, 1, 11)
    }
    assert len(keys) == 12
    whole = uniforms([5], [0], 10)
    assert torch.equal(uniforms([5], [4], 6), whole[:, 4:])
