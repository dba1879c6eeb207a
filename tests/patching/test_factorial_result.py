"""Effects of a factorial are the contrasts of its cells: planted, by hand, and as an identity."""

import json

import pytest
import torch

from elicit.patching.errors import PatchError
from elicit.patching.factorial_result import TERMS, Factorial, conclude_factorial
from elicit.results import load_result
from elicit.stats import Inference
from tests.patching.made import contrast, noise


def concluded(values: torch.Tensor, **given: object) -> Factorial:
    options = {
        "metric": "logit_diff",
        "pos": ("all",),
        "inference": Inference(n_resamples=300),
        **given,
    }
    return conclude_factorial(
        values,
        contrast=contrast(values.shape[-1]),
        **options,  # pyright: ignore
    )


def world(n: int = 20, **effects: float) -> torch.Tensor:
    """Cells over three boundaries to which terms were given by hand; at the middle one only."""
    who = torch.tensor([0.0, 1.0], dtype=torch.float64)
    factors = {
        "wrote": who[:, None, None],
        "reader": who[None, :, None],
        "head": who[None, None, :],
    }
    cells = torch.zeros(2, 2, 2, dtype=torch.float64)
    for term, by in effects.items():
        product = torch.ones(1, dtype=torch.float64)
        for name in term.split("_"):
            product = product * factors[name]
        cells = cells + by * product
    values = noise(n)[None, None, None, None, None].repeat(3, 1, 2, 2, 2, 1)
    values[1, 0] += cells[..., None]
    return values


def test_eight_cells_worked_out_by_hand():
    # y[u, d, h] of one problem; the other one lies 1 above it in every cell.
    one = torch.tensor([[[0.0, 1.0], [2.0, 4.0]], [[3.0, 3.0], [7.0, 12.0]]])
    values = torch.stack([one, one + 1], dim=-1).double()[None, None]
    f = concluded(values)
    effect = dict(zip(f.term, f.effect.value[:, 0, 0].tolist(), strict=True))
    assert effect["wrote"] == ((3 + 3 + 7 + 12) - (0 + 1 + 2 + 4)) / 4
    assert effect["reader"] == ((2 + 4 + 7 + 12) - (0 + 1 + 3 + 3)) / 4
    assert effect["head"] == ((1 + 4 + 3 + 12) - (0 + 2 + 3 + 7)) / 4
    assert effect["wrote:reader"] == ((7 - 3 - 2 + 0) + (12 - 3 - 4 + 1)) / 2
    assert effect["wrote:head"] == ((3 - 3 - 1 + 0) + (12 - 7 - 4 + 2)) / 2
    assert effect["reader:head"] == ((4 - 2 - 1 + 0) + (12 - 7 - 3 + 3)) / 2
    assert effect["wrote:reader:head"] == (12 - 7 - 3 + 3) - (4 - 2 - 1 + 0)
    assert f.cell.value[0, 0].tolist() == (one + 0.5).tolist()
    assert f.gap.value.item() == 12
    assert (f.wrote.item(), f.reader.item(), f.unembedding.item()) == (4.5, 4.5, 2.0)
    assert f.interaction.item() == 4


def test_in_an_additive_world_no_interaction_is_seen():
    f = concluded(world(wrote=2.0, reader=0.5, head=-1.0))
    assert torch.allclose(f.effect.value[:3, 1, 0], torch.tensor([2.0, 0.5, -1.0]).double())
    assert (f.effect.value[3:] == 0).all()
    assert (f.effect.value[:, ::2] == 0).all()
    assert (f.p[3:] == 1).all()
    assert f.reading()[1] == "wrote+reader+head"


def test_a_signal_that_needs_its_reader_shows_as_an_interaction():
    f = concluded(world(wrote_reader=4.0) + 0.2 * noise(3, 1, 2, 2, 2, 20, seed=3))
    assert f.interaction[:, 0].tolist() == pytest.approx([0, 4, 0], abs=0.25)
    assert f.wrote[1, 0].item() == pytest.approx(2, abs=0.25)
    reading = f.reading()
    assert reading[0] == reading[2] == "not distinguishable"
    assert {"wrote", "reader", "wrote:reader"} <= set(reading[1].split("+"))
    assert "head" not in reading[1].split("+")
    with pytest.raises(PatchError, match="no position '-1 A'"):
        f.reading("-1 A")


def test_the_gap_is_the_three_effects_and_a_quarter_of_the_threefold_one():
    f = concluded(noise(4, 2, 2, 2, 2, 9), pos=("all", "-1 A"))
    total = f.effect.value[:3].sum(dim=0) + f.effect.value[TERMS.index("wrote:reader:head")] / 4
    assert torch.allclose(total, f.gap.value)


def test_models_that_do_not_differ_give_exact_zeros():
    values = noise(8)[None, None, None, None, None].expand(4, 1, 2, 2, 2, 8)
    f = concluded(values)
    for zero in (f.effect.value, f.effect.low, f.effect.high, f.gap.value):
        assert (zero == 0).all()
    assert (f.p == 1).all()
    assert set(f.reading()) == {"not distinguishable"}


@pytest.mark.slow
def test_noise_is_read_as_an_effect_of_a_term_in_at_most_five_of_a_hundred():
    found = torch.zeros(len(TERMS))
    n_worlds = 60
    for seed in range(n_worlds):
        f = concluded(
            noise(3, 1, 2, 2, 2, 12, seed=seed), inference=Inference(n_resamples=200, seed=seed)
        )
        found += (f.p < 0.05).flatten(1).any(dim=1)
    n_tests = n_worlds * len(TERMS)
    assert found.sum() <= 0.05 * n_tests + 2 * (0.05 * 0.95 * n_tests) ** 0.5


def test_a_saved_factorial_is_read_back_and_its_summary_is_json(tmp_path):
    f = concluded(world(wrote=2.0), off_manifold=torch.full((3, 1, 20), 0.25).double())
    read = load_result(f.save(tmp_path / "factorial"))
    assert isinstance(read, Factorial)
    assert torch.equal(read.effect.value, f.effect.value)
    assert read.off_manifold.flatten().tolist() == [0.25] * 3
    summary = json.loads(json.dumps(f.summary(), allow_nan=False))
    assert summary["axes"]["boundary"] == [0, 1, 2]
    assert summary["reading"]["all"][1] == "wrote"
    without = concluded(world(wrote=2.0)).summary()["values"]
    assert isinstance(without, dict)
    assert without["off_manifold"] == [[None]] * 3
    assert all(f.describe().get(name) for name in vars(f))


def test_bad_values_are_refused_with_their_cell():
    values = world()
    spoiled = values.clone()
    spoiled[2, 0, 1, 0, 1, 4] = float("nan")
    told = "'p4' at boundary 2, position all, upstream post, downstream base, head post is nan"
    with pytest.raises(PatchError, match=told):
        concluded(spoiled)
    with pytest.raises(PatchError, match="cells cannot be named"):
        concluded(values, boundary=(0, 1))
    with pytest.raises(PatchError, match="there is 1 problem"):
        concluded(values[..., :1])
    with pytest.raises(PatchError, match="'accuracy' is not known"):
        concluded(values, metric="accuracy")
