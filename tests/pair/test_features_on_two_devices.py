"""Features of a pair on two devices: an SAE is on one of them, a crosscoder may be on neither."""

import dataclasses

import pytest
import torch
from torch import Tensor

from elicit.features import (
    Crosscoder,
    TrainConfig,
    crosscoder_scaling,
    fidelity,
    from_sae_lens,
    latent_scaling,
    load_crosscoder,
    train,
    training,
    transfer,
)
from elicit.pair import load_pair
from elicit.sites import resid_post
from tests.features import made
from tests.pair.test_two_devices import FEW, apart, same
from tests.pretended import identity_kept, pretend

HOOK, WIDTH = "blocks.0.hook_resid_post", 32
N_ROWS = 16
SMALL = TrainConfig(d_sae=32, k=4, n_steps=1, batch=64, buffer=800)


@pytest.fixture(scope="module")
def pairs(written):
    """The same random models on one device and on two."""
    names = written("llama", seed=1), written("llama", seed=2)
    one = load_pair(*names, dtype=torch.float64, check_parity=False)
    return one, apart(*names, dtype=torch.float64)


@pytest.fixture(scope="module")
def rows():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(4, 60, (2 * N_ROWS, 9), generator=generator).tolist()


def sae_on(device):
    """A random SAE, in the precision of the models."""
    module = made.random_module("topk", d_in=WIDTH, hook=HOOK).double()
    with identity_kept():
        return from_sae_lens(module.to(device), name="random")


@pytest.mark.slow(checked=True)
def test_an_sae_reads_both_models_wherever_it_is(pairs, rows):
    def found(pair, device):
        sae, read, fit = sae_on(device), rows[:N_ROWS], rows[N_ROWS:]
        assert sae.directions.device == torch.device(device)
        yield transfer(pair, sae, read, model="base", fit=fit, inference=FEW)
        yield latent_scaling(pair, sae, read, model="base")
        yield fidelity(pair, sae, read, model="post", inference=FEW)

    one, two = pairs
    expected = list(found(one, "cpu"))
    for home in pretend():
        for ours, theirs in zip(expected, found(two, home), strict=True):
            same(ours, theirs)


@pytest.mark.slow(checked=True)
def test_an_sae_is_left_where_the_model_is_that_it_was_trained_on(
    pairs, rows, tmp_path, monkeypatch
):
    class Fitted:
        def save_inference_model(self, folder):
            folder.mkdir()

    def asked(folder, *, device):
        raise RuntimeError(device)

    # No gradient is taken: torch takes none on the second device of a kind written in Python.
    monkeypatch.setattr(training, "_fit", lambda *_: Fitted())
    monkeypatch.setattr(training, "load_sae", asked)
    asking = {"site": resid_post(0), "config": SMALL, "seed": 0}
    for model, device in zip(("base", "post"), pretend(), strict=True):
        with pytest.raises(RuntimeError, match=str(device)):
            train(pairs[1], rows, tmp_path / model, model=model, **asking)


def random_crosscoder(pair, n=24):
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return Crosscoder(
        site=resid_post(0), W_enc=drawn(2, WIDTH, n), W_dec=drawn(2, n, WIDTH), b_enc=drawn(n),
        b_dec=drawn(2, WIDTH), threshold=0.1, size=torch.ones(2),
        trained_on=(pair.base_digest, pair.post_digest),
    )  # fmt: skip


@pytest.mark.slow(checked=True)
def test_a_crosscoder_measures_alike_where_it_was_trained_and_read_from_a_file(
    pairs, rows, tmp_path
):
    one, two = pairs
    made = random_crosscoder(one)
    there = {
        field.name: value.to(pretend()[0])
        for field in dataclasses.fields(made)
        if isinstance(value := getattr(made, field.name), Tensor)
    }
    back = load_crosscoder(made.save(tmp_path / "saved"))
    assert {each.device.type for each in (back.W_enc, back.W_dec)} == {"cpu"}
    expected = crosscoder_scaling(one, made, rows[:4])
    for crosscoder in (back, dataclasses.replace(made, **there)):
        same(expected, crosscoder_scaling(two, crosscoder, rows[:4]), tolerance=1e-5)
