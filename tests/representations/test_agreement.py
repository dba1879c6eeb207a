"""Agreement of activation shifts on planted vectors, and states read off a model."""

import pytest
import torch

from elicit.pair import pad
from elicit.representations import RepresentationError, problem_states, shift_agreement
from elicit.texts import TokenRows


def planted(cosine: float, noise: float, *, n: int = 40, d: int = 32):
    """Two shifts whose true means have a cosine, each problem's with noise, in two layers."""
    draw = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(d, 2, generator=draw, dtype=torch.float64)).Q.T
    means = torch.stack([axes[0], cosine * axes[0] + (1 - cosine**2) ** 0.5 * axes[1]])
    each = means[:, None, None] + noise * torch.randn(2, 2, n, d, generator=draw).double()
    return {"one": each[0], "two": each[1]}


def test_a_planted_cosine_is_found_and_its_interval_holds_it():
    found = shift_agreement(planted(0.6, 0.05), where="made")
    assert torch.allclose(found.cosine.value[0, 1], torch.tensor(0.6).double(), atol=0.02)
    assert bool((found.cosine.low[0, 1] < 0.6).all() and (found.cosine.high[0, 1] > 0.6).all())
    assert bool((found.cosine.high - found.cosine.low)[0, 1].amax() < 0.1)
    assert bool((found.reliability > 0.95).all())


def test_without_noise_everything_is_exact():
    found = shift_agreement(planted(0.6, 0.0), where="made")
    expected = torch.tensor([[1.0, 0.6], [0.6, 1.0]]).double()
    for end in (found.cosine.value, found.cosine.low, found.cosine.high):
        assert torch.allclose(end, expected[..., None].expand_as(end), atol=1e-12)
    assert torch.allclose(found.reliability, torch.ones(2, 2).double(), atol=1e-12)
    assert torch.allclose(found.norm, torch.ones(2, 2).double(), atol=1e-12)


def test_noise_without_a_shift_has_no_reliability():
    draw = torch.Generator().manual_seed(1)
    shifts = {name: torch.randn(1, 60, 256, generator=draw).double() for name in ("a", "b")}
    found = shift_agreement(shifts, where="made")
    assert bool((found.reliability.abs() < 0.2).all())
    assert not bool(found.cosine.clear[0, 1].any())


def test_a_shift_of_zero_has_no_cosine():
    shifts = planted(0.6, 0.1) | {"nothing": torch.zeros(2, 40, 32).double()}
    found = shift_agreement(shifts, where="made")
    assert bool(found.cosine.value[2].isnan().all() and found.reliability[2].isnan().all())
    assert bool(found.cosine.value[:2, :2].isfinite().all())


def test_shifts_of_other_problems_are_refused():
    one = torch.randn(2, 8, 4).double()
    with pytest.raises(RepresentationError, match="one shape"):
        shift_agreement({"a": one, "b": one[:, :7]}, where="made")
    with pytest.raises(RepresentationError, match="at least two"):
        shift_agreement({"a": one}, where="made")


def test_states_of_a_problem_are_the_mean_of_what_the_model_says_of_its_tokens(paired):
    pair = paired("llama")
    rows = TokenRows(
        rows=((1, 7, 9, 11), (1, 8), (1, 12, 10)),
        positions=((1, 3), (0, 1), (2,)),
        problem=("a", "b", "a"),
    )
    found = problem_states(pair.side("base"), rows, n_layers=pair.n_layers)
    batch = pad(rows.rows, pad_id=pair.alignment.pad_id, padding="right")
    with torch.no_grad():
        plain = pair.base.original_model.model(
            input_ids=batch.ids, attention_mask=batch.mask, output_hidden_states=True
        ).hidden_states
    first = torch.stack([plain[0][0, 1], plain[0][0, 3], plain[0][2, 2]]).double().mean(0)
    assert torch.allclose(found[0, 0], first, atol=1e-6)
    assert torch.allclose(found[1, 1], plain[1][1, :2].double().mean(0), atol=1e-5)
    assert found.shape == (pair.n_layers + 1, 2, pair.d_model)
