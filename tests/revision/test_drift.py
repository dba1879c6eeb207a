"""A model does not drift from itself, and one that was turned drifts as far as can be."""

from dataclasses import replace

import pytest
import torch

from elicit import metrics, organisms
from elicit.capture import capture, unembed_of
from elicit.results import load_result
from elicit.revision import (
    LensDrift,
    LensTraining,
    LogitLens,
    RevisionError,
    TokenRows,
    fit_tuned_lens,
    lens_drift,
    lens_logits,
)
from elicit.sites import resid_post, resid_pre
from elicit.stats import Inference
from elicit.tasks import load_task
from tests.checkpoints import D_VOCAB, N_LAYERS

QUICK = LensTraining(steps=20, tokens_per_step=400, learning_rate=1e-2)
FEW = Inference(n_resamples=100)


def made(n_rows, *, seed, name="p", n_pos=10):
    """Random rows, each a problem of its own, all but the first token read."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(4, D_VOCAB, (n_rows, n_pos), generator=generator).tolist()
    return TokenRows(
        rows=tuple(map(tuple, rows)),
        positions=(tuple(range(n_pos - 1)),) * n_rows,
        problem=tuple(f"{name}{i}" for i in range(n_rows)),
    )


LEARNT, HELD_OUT = made(50, seed=0), made(8, seed=1, name="q")


def written(pair, name, *, n=80):
    """An organism's own traces, some to learn from and some held out."""
    task = load_task(organisms.resolve(f"organism:{name}").problems)
    traces = TokenRows.of_task(pair.alignment, task)
    return traces.part(range(n)), traces.part(range(n, n + 20))


def fitted(pair, learnt, held_out, model, training=QUICK):
    return fit_tuned_lens(
        pair, learnt, held_out=held_out, model=model, training=training, inference=FEW
    ).lens


@pytest.fixture(scope="module")
def drift(paired):
    pair = paired("llama")
    lenses = {f"lens_{which}": fitted(pair, LEARNT, HELD_OUT, which) for which in ("base", "post")}
    return lenses, lens_drift(pair, HELD_OUT, **lenses, inference=FEW)


def test_a_model_does_not_drift_from_itself(organism):
    pair = organism("identity")
    learnt, held_out = written(pair, "identity", n=20)
    held_out, few = held_out.part(range(6)), replace(QUICK, steps=4)
    base, post = (fitted(pair, learnt, held_out, which, few) for which in ("base", "post"))
    assert torch.equal(base.weight, post.weight)
    found = lens_drift(pair, held_out, lens_base=base, lens_post=post, inference=FEW)
    assert not any(end.any() for end in (found.drift.value, found.drift.low, found.drift.high))
    assert torch.equal(found.kl.value[:, :, 0], found.kl.value[:, :, 1])
    # Of a model that is the same under two names, one lens serves for both.
    same = lens_drift(pair, held_out, lens_base=base, lens_post=base, inference=FEW)
    assert torch.equal(same.kl.value, found.kl.value)


@torch.no_grad()
def test_every_reading_is_plain_arithmetic_on_logits(paired, drift):
    pair = paired("llama")
    lenses, found = drift
    models = {"base": pair.base, "post": pair.post}
    sites = [resid_pre(0), *(resid_post(layer) for layer in range(N_LAYERS))]
    tokens = torch.tensor(HELD_OUT.rows)
    for s, states in enumerate(("base", "post")):
        run = capture(models[states], tokens, sites=sites, logits=True)
        p = metrics.log_probs(run.logits[:, :-1])
        for r, reader in enumerate(("base", "post")):
            head = unembed_of(models[reader])
            for k, lens in enumerate((LogitLens(), lenses[f"lens_{reader}"])):
                for layer, site in enumerate(sites):
                    resid = run.at[site][:, :-1]
                    z = lens_logits(lens, head, resid, layer=layer, n_layers=N_LAYERS)
                    kl = metrics.kl(p, metrics.log_probs(z)).mean()
                    assert found.kl.value[k, s, r, layer].item() == pytest.approx(
                        kl.item(), abs=1e-5
                    )
    assert (found.kind, found.states, found.reader) == (
        ("logit", "tuned"),
        ("base", "post"),
        ("base", "post"),
    )


def test_drift_is_the_other_models_reading_less_the_reference(drift):
    _, found = drift
    kl, drifts = found.kl.value, found.drift.value
    for s, other in ((0, 1), (1, 0)):
        crossed = kl[:, s, other]
        assert torch.allclose(drifts[:, s, 0], crossed - kl[:, s, s])
        assert torch.allclose(drifts[:, s, 1], crossed - kl[:, other, other])
    assert bool((found.drift.low <= drifts).all())
    assert bool((drifts <= found.drift.high).all())


def test_after_the_last_layer_a_model_is_read_by_its_own_head_exactly(drift):
    _, found = drift
    for s in range(2):
        assert bool((found.kl.value[:, s, s, -1].abs() < 1e-6).all())


def test_a_rotated_model_is_read_by_its_own_head_as_base_is_and_by_bases_not_at_all(organism):
    pair = organism("rotated")
    _, held_out = written(pair, "rotated")
    found = lens_drift(pair, held_out, lens_base=LogitLens(), lens_post=LogitLens())
    logit = found.kl.value[found.kind.index("logit")]
    assert bool(((logit[0, 0] - logit[1, 1]).abs() < 1e-5).all())
    assert bool((logit[1, 0] > logit[1, 1] + 4.0).all())
    assert bool((logit[0, 1] > logit[0, 0] + 3.5).all())
    assert bool((found.drift.low > 3.0).all())


@pytest.mark.slow
def test_what_base_is_read_by_reads_a_rotated_model_worse_than_its_own_lens(organism):
    pair = organism("rotated")
    learnt, held_out = written(pair, "rotated")
    base, post = (fitted(pair, learnt, held_out, which) for which in ("base", "post"))
    found = lens_drift(
        pair, held_out, lens_base=base, lens_post=post, inference=Inference(n_resamples=200)
    )
    tuned = found.kind.index("tuned")
    assert bool((found.drift.low[tuned, 1] > 4.0).all())
    # Each lens at home reads its own model, whichever way that is turned.
    assert bool(((found.kl.value[tuned, 0, 0] - found.kl.value[tuned, 1, 1]).abs() < 0.3).all())


def test_without_posts_lens_base_is_the_reference_and_the_rest_is_left_out(paired, drift):
    lenses, whole = drift
    found = lens_drift(
        paired("llama"),
        HELD_OUT,
        lens_base=lenses["lens_base"],
        inference=FEW,
    )
    assert torch.equal(found.kl.value[0], whole.kl.value[0])
    assert torch.equal(found.kl.value[1, :, 0], whole.kl.value[1, :, 0])
    assert torch.equal(found.drift.value[1, 1, 1], whole.drift.value[1, 1, 1])
    assert bool(found.kl.value[1, :, 1].isnan().all())
    assert bool(found.drift.value[1, 0].isnan().all()) and bool(
        found.drift.value[1, 1, 0].isnan().all()
    )


def test_drift_is_read_back_and_drawn(drift, tmp_path):
    _, found = drift
    loaded = load_result(found.save(tmp_path))
    assert isinstance(loaded, LensDrift) and torch.equal(loaded.drift.value, found.drift.value)
    assert len(found.figure().data) == 4
    assert found.provenance.arguments["lens_base"]["variant"] == "affine"


def test_a_lens_under_the_other_models_name_is_refused(paired, drift):
    lenses, _ = drift
    pair = paired("llama")
    with pytest.raises(RevisionError, match="digest"):
        lens_drift(pair, HELD_OUT, lens_base=lenses["lens_post"])
    across = fit_tuned_lens(
        pair, LEARNT, held_out=HELD_OUT, model="post", head="base", training=QUICK, inference=FEW
    ).lens
    with pytest.raises(RevisionError, match="lens_base"):
        lens_drift(pair, HELD_OUT, lens_base=across)


def test_text_that_a_lens_was_fitted_on_is_refused(paired, drift):
    lenses, _ = drift
    with pytest.raises(RevisionError, match="lens_base"):
        lens_drift(paired("llama"), LEARNT, **lenses)


def test_one_problem_is_refused(paired):
    with pytest.raises(RevisionError, match="1 problem"):
        lens_drift(paired("llama"), HELD_OUT.part([0]), lens_base=LogitLens())
