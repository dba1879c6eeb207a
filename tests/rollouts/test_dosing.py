"""A dose curve in one batch is what separate runs would have been."""

import pytest
import torch

from elicit.edits import Shift, Steer, edited, generated, last
from elicit.pair import hugging_face_model
from elicit.rollouts import RolloutError, dose_rollouts, resume
from elicit.sites import resid_mid, resid_post
from tests.folded import folded
from tests.rollouts.made import DRAWN, VECTOR, same, sampled, task_of

STRENGTHS = [-0.5, 0.0, 0.25, 1.0]


def steer(strengths):
    return [Steer(resid_post(1), VECTOR, scale=strengths)]


def dosed(pair, edit=steer, **options):
    options = folded(
        options, **DRAWN, n_samples=2, max_new_tokens=16, strengths=STRENGTHS, keep=("seed",)
    )
    return dose_rollouts(pair.side("base"), task_of(), edit, **options)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("where", [generated(), last()])
def test_every_strength_is_its_own_run(paired, architecture, where):
    pair = paired(architecture)
    curve = dosed(pair, lambda s: [Steer(resid_mid(1), VECTOR, where=where, scale=s)])
    texts = set()
    for i, strength in enumerate(STRENGTHS):
        rows = range(10 * i, 10 * (i + 1))
        assert curve.strength[rows].tolist() == [strength] * 10
        with edited(pair.base, [Steer(resid_mid(1), VECTOR, where=where, scale=strength)]):
            alone = sampled(pair, n_samples=2, max_new_tokens=16)
        assert same(curve.select(rows), alone)
        texts.add(alone.text)
    assert len(texts) == len(STRENGTHS)
    assert curve.rows_of("p1", strength=0.25) == (22, 23)


def test_functions_of_activations_have_dose_curves_too(paired):
    pair = paired("llama")

    def turned(x):
        return VECTOR * x.norm(dim=-1, keepdim=True)

    def edit(strengths):
        return [Shift(resid_post(1), turned, scale=strengths)]

    curve = dosed(pair, edit, max_new_tokens=6)
    with edited(pair.base, [Shift(resid_post(1), turned, scale=1.0)]):
        assert same(curve.select(range(30, 40)), sampled(pair, n_samples=2, max_new_tokens=6))
    with pytest.raises(RolloutError, match="curve would be flat"):
        dosed(pair, lambda _: [Shift(resid_post(1), turned)])


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_strength_0_is_the_unsteered_text(paired, architecture, temperature):
    pair = paired(architecture)
    n = 2 if temperature else 1
    curve = dosed(pair, temperature=temperature, n_samples=n)
    plain = sampled(pair, temperature=temperature, n_samples=n, max_new_tokens=16)
    assert same(curve.select(range(5 * n, 10 * n)), plain)


def test_strength_0_gives_the_very_bits_of_the_unsteered_logits(paired, monkeypatch):
    pair = paired("llama")
    model = hugging_face_model(pair.base)
    forward, seen = model.forward, []

    def recorded(*args, **options):
        out = forward(*args, **options)
        seen.append(out.logits.clone())
        return out

    monkeypatch.setattr(model, "forward", recorded)
    # Batches of one strength each, so that both runs multiply the same shapes.
    dosed(pair, strengths=[0.0], stop_ids=())
    steered, seen = seen, []
    sampled(pair, n_samples=2, max_new_tokens=16, stop_ids=())
    assert len(steered) == len(seen) == 16
    assert all(map(torch.equal, steered, seen))


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_steered_greedy_text_is_that_of_whole_forwards(paired, architecture):
    pair = paired(architecture)
    curve = dosed(pair, temperature=0.0, n_samples=1, stop_ids=(), max_new_tokens=6)
    for row in range(len(curve)):
        edit = Steer(resid_post(1), VECTOR, scale=curve.strength[row].item())
        prompt, ids = curve.prompt_ids(row), curve.ids(row)
        with edited(pair.base, [edit]), torch.no_grad():
            logits = pair.base.original_model(
                input_ids=torch.tensor([prompt + ids]), use_cache=False
            ).logits
        assert logits[0, len(prompt) - 1 : -1].argmax(-1).tolist() == ids


@pytest.mark.slow
def test_a_dose_curve_does_not_depend_on_its_batches(paired):
    pair = paired("gpt2")
    whole = dosed(pair, max_new_tokens=8)
    for batch_size in (3, 7, 16):
        assert same(dosed(pair, max_new_tokens=8, batch_size=batch_size), whole)


def test_a_dose_curve_begun_and_gone_on_with_is_one_go(paired):
    pair = paired("llama")

    def edit(strengths):
        return [Steer(resid_post(1), VECTOR, scale=strengths, where=generated())]

    whole, begun = dosed(pair, edit), dosed(pair, edit, max_new_tokens=4)
    rows = [35, 2, 11, 26]
    done = resume(
        pair.side("base"), task_of(), begun.select(rows), max_new_tokens=16, edits_at=edit
    )
    assert same(done, whole.select(rows))
    assert done.strength.tolist() == [1.0, -0.5, 0.0, 0.25]


def test_a_batch_whose_texts_end_at_once_does_not_count_as_an_edit_not_made(paired):
    pair = paired("llama")

    def edit(strengths):
        return [Steer(resid_post(1), VECTOR, scale=strengths, where=generated())]

    free = dosed(pair, edit, strengths=[1.0], stop_ids=())
    stop = (free.ids(0)[0],)  # the first row ends with its first token, before any edit
    assert (
        dosed(pair, edit, strengths=[1.0], stop_ids=stop, batch_size=1, max_new_tokens=4).n_tokens[
            0
        ]
        == 1
    )
