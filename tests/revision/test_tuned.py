"""A tuned lens learns what it says it learns, and nothing it was not shown is read as learnt."""

import dataclasses

import pytest
import torch

from elicit import metrics, organisms
from elicit.capture import capture, unembed_of
from elicit.pair import load_pair
from elicit.results import ResultError, load_result
from elicit.revision import (
    LensTraining,
    LogitLens,
    RevisionError,
    TokenRows,
    TunedLens,
    TunedLensFit,
    fit_tuned_lens,
    lens_logits,
)
from elicit.revision._lens_data import LensData
from elicit.revision._readers import readers_of
from elicit.revision.corrections import Correction, train_corrections
from elicit.revision.lens import check_lens
from elicit.runs import Execution
from elicit.sites import resid_post, resid_pre
from elicit.stats import Inference
from elicit.tasks import load_task
from elicit.texts import LogitBuffers, final_kl, final_kl_gradient
from tests.checkpoints import D_MODEL, D_VOCAB, N_LAYERS

QUICK = {"steps": 20, "tokens_per_step": 200}
LONGER = {"steps": 100, "tokens_per_step": 512, "learning_rate": 1e-2}
FEW = Inference(n_resamples=100)
OPTIONS = {"model", "head", "inference", "execution"}


def made(n_rows, *, seed, name="p", longest=14):
    """Random rows of several lengths, each a problem of its own, all but the first token read."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(6, longest + 1, (n_rows,), generator=generator).tolist()
    rows = [torch.randint(4, D_VOCAB, (n,), generator=generator).tolist() for n in lengths]
    return TokenRows(
        rows=tuple(map(tuple, rows)),
        positions=tuple(tuple(range(len(row) - 1)) for row in rows),
        problem=tuple(f"{name}{i}" for i in range(n_rows)),
    )


LEARNT = made(60, seed=0)
HELD_OUT = made(12, seed=1, name="q")


def written(pair, name, *, n=80):
    """An organism's own traces, some to learn from and some held out."""
    task = load_task(organisms.resolve(f"organism:{name}").problems)
    traces = TokenRows.of_task(pair.alignment, task)
    return traces.part(range(n)), traces.part(range(n, len(traces)))


def fitted(pair, learnt=LEARNT, *, held_out=HELD_OUT, **options) -> TunedLensFit:
    """A fit with few updates, or with whatever options are given."""
    training = QUICK | {name: value for name, value in options.items() if name not in OPTIONS}
    return fit_tuned_lens(
        pair,
        learnt,
        held_out=held_out,
        training=LensTraining(**training),
        **{"inference": FEW, **{name: options[name] for name in OPTIONS & set(options)}},
    )


@pytest.fixture(scope="module")
def quick(paired):
    return fitted(paired("llama"))


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("n_block", [1000, 7])
def test_the_gradient_written_by_hand_is_autograds(paired, architecture, n_block):
    model = paired(architecture).base
    head = unembed_of(model)
    generator = torch.Generator().manual_seed(3)
    last = 2 * torch.randn(11, D_MODEL, generator=generator)
    state = 2 * torch.randn(11, D_MODEL, generator=generator)
    buffers = LogitBuffers([head], n_tokens=min(n_block, 11), memory=2**28)
    (own,) = buffers.readouts
    leaf = state.clone().requires_grad_()
    with torch.no_grad():
        p = metrics.log_probs(head.logits(last))
    expected = metrics.kl(p, metrics.log_probs(head.logits(leaf)))
    (gradient,) = torch.autograd.grad(expected.sum(), leaf)
    for cut in buffers.spans(11):
        with torch.no_grad():
            final = own.final(head.norm(last[cut]), buffers.probs(len(last[cut])))
        found = final_kl_gradient(own, state[cut], final)
        assert torch.allclose(found.kl.float(), expected[cut], atol=1e-5)
        assert torch.allclose(found.gradient, gradient[cut], atol=1e-5)
        assert torch.equal(final_kl(own, state[cut], final), found.kl)


def test_one_plain_step_goes_down_the_gradient_of_the_mean_over_tokens(paired):
    (reader,) = readers_of(paired("llama"), models=("base",))
    data = LensData(reader=reader, rows=LEARNT, max_tokens=200)
    held = Correction.none(N_LAYERS, D_MODEL, "affine", torch.empty(0))
    training = LensTraining(
        optimizer="sgd", steps=1, learning_rate=0.1, weight_decay=0.0, tokens_per_step=10**6,
        stream_memory=0,
    )  # fmt: skip
    buffers = LogitBuffers([reader.own], n_tokens=50, memory=2**28)
    loss = train_corrections(data, [held], training, buffers, seed=0)
    # The same by autograd through everything, every token at once.
    resid = torch.cat([streams.resid for streams in data.streams()], dim=1)
    with torch.no_grad():
        p = metrics.log_probs(reader.own.logits(resid[-1]))
    for layer in range(N_LAYERS):
        weight = torch.zeros(D_MODEL, D_MODEL, requires_grad=True)
        bias = torch.zeros(D_MODEL, requires_grad=True)
        state = resid[layer] + resid[layer] @ weight.T + bias
        kl = metrics.kl(p, metrics.log_probs(reader.own.logits(state))).mean()
        by_weight, by_bias = torch.autograd.grad(kl, [weight, bias])
        length = torch.sqrt(by_weight.square().sum() + by_bias.square().sum())
        # Nesterov's first step is 1 + momentum times the gradient.
        step = 0.1 * 1.9 * (1 / length).clamp(max=1.0)
        assert torch.isclose(loss[0, 0, layer].float(), kl, atol=1e-5)
        assert torch.allclose(held.weight[layer], -step * by_weight, atol=1e-6)
        assert torch.allclose(held.bias[layer], -step * by_bias, atol=1e-6)


def test_the_identity_is_the_logit_lens_by_plain_arithmetic(paired, quick):
    model = paired("llama").base
    head = unembed_of(model)
    sites = [resid_pre(0), *(resid_post(layer) for layer in range(N_LAYERS))]
    by_problem = []
    for row in HELD_OUT.rows:
        with torch.no_grad():
            found = capture(model, torch.tensor([row]), sites=sites, logits=True)
            p = metrics.log_probs(found.logits[0, :-1])
            read = [
                lens_logits(
                    LogitLens(), head, found.at[site][0, :-1], layer=layer, n_layers=N_LAYERS
                )
                for layer, site in enumerate(sites[:-1])
            ]
        by_problem.append([metrics.kl(p, metrics.log_probs(z)).mean().item() for z in read])
    expected = torch.tensor(by_problem, dtype=torch.float64).mean(0)
    assert quick.kind == ("identity", "bias", "affine")
    assert torch.allclose(quick.kl.value[0], expected, atol=1e-5)


def test_before_the_first_update_every_kind_is_the_logit_lens(quick):
    assert torch.equal(quick.loss[0, 0], quick.loss[1, 0])


def test_the_bias_is_the_same_whether_the_affine_map_is_fitted_beside_it_or_not(paired, quick):
    alone = fitted(paired("llama"), variant="bias")
    assert alone.kind == ("identity", "bias") and alone.lens.variant == "bias"
    assert not alone.lens.weight.any()
    assert torch.equal(alone.kl.value, quick.kl.value[:2])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(paired, quick, tmp_path):
    again = fitted(paired("llama"))
    other = fitted(paired("llama"), inference=Inference(n_resamples=100, seed=1))
    quick.save(tmp_path / "a")
    again.save(tmp_path / "b")
    for name in ("values.safetensors", "table.parquet", "result.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not torch.equal(other.lens.weight, quick.lens.weight)


def test_a_fit_is_read_back_with_its_lens(quick, tmp_path):
    found = load_result(quick.save(tmp_path / "fit"))
    assert isinstance(found, TunedLensFit)
    assert torch.equal(found.loss, quick.loss)
    resid = torch.randn(4, D_MODEL, generator=torch.Generator().manual_seed(0))
    for layer in range(N_LAYERS):
        assert torch.equal(
            found.lens.state(resid, layer=layer), quick.lens.state(resid, layer=layer)
        )
    lens = TunedLens.load(quick.lens.save(tmp_path / "lens"))
    assert torch.equal(lens.weight, quick.lens.weight)
    assert lens.provenance == quick.provenance
    assert len(quick.to_frame()) == 3 * N_LAYERS


@pytest.mark.slow
def test_neither_keeping_the_streams_nor_the_size_of_blocks_changes_a_lens(paired):
    first = fitted(paired("llama"), steps=4)
    for options in (
        {"stream_memory": 0},
        {"execution": Execution(memory=2 * D_VOCAB * 4 * 7)},
        {"execution": Execution(max_tokens=40)},
    ):
        other = fitted(paired("llama"), steps=4, **options)
        assert torch.allclose(other.kl.value, first.kl.value, atol=1e-5), options
        assert torch.allclose(other.lens.weight, first.lens.weight, atol=1e-5), options


def test_a_fitted_lens_is_refused_by_the_other_models_head(paired, quick):
    pair = paired("llama")
    check_lens(quick.lens, unembed_of(pair.base), n_layers=N_LAYERS, name="base")
    with pytest.raises(RevisionError, match="digest"):
        check_lens(quick.lens, unembed_of(pair.post), n_layers=N_LAYERS, name="post")
    across = fitted(pair, model="post", head="base")
    check_lens(across.lens, unembed_of(pair.base), n_layers=N_LAYERS, name="base")
    assert (across.lens.model, across.lens.head) == (pair.post_name, pair.base_name)


def test_the_model_is_left_without_gradients_and_as_it_was(paired):
    model = paired("llama").base
    model.zero_grad()  # other tests' plain gradients
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fitted(paired("llama"))
    for name, p in model.named_parameters():
        assert p.grad is None and torch.equal(p, before[name])


def test_a_model_in_half_precision_gets_a_lens_in_float32(written_pair_in_half):
    pair = written_pair_in_half
    found = fitted(pair)
    assert found.lens.weight.dtype == torch.float32
    assert found.lens.state(torch.zeros(1, D_MODEL).bfloat16(), layer=0).dtype == torch.bfloat16
    assert bool((found.kl.value[2] < found.kl.value[0]).all())


@pytest.fixture(scope="module")
def written_pair_in_half(written):
    return load_pair(written("llama", seed=1), written("llama", seed=2), dtype=torch.bfloat16)


def test_sgd_learns_too_and_decay_pulls_it_to_the_logit_lens(paired):
    free, held = (
        fitted(paired("llama"), optimizer="sgd", weight_decay=decay) for decay in (1e-3, 1.0)
    )
    assert bool((free.kl.value[2] < free.kl.value[0]).all())
    assert held.lens.weight.norm() < 0.8 * free.lens.weight.norm()


def test_adam_warms_up_and_the_authors_sgd_does_not():
    assert LensTraining(steps=50).warm_up == 10 and LensTraining(steps=50).rate == 1e-3
    sgd = LensTraining(optimizer="sgd", steps=50)
    assert sgd.warm_up == 0 and sgd.rate == 0.1


def test_every_row_is_seen_once_before_any_is_seen_again():
    batches = LensTraining(steps=12, tokens_per_step=150).batches(LEARNT, seed=0)
    n = round(LEARNT.n_tokens / 150)
    assert len(batches) == 12 and n == 4
    for start in range(0, 12, n):
        seen = sum(batches[start : start + n], [])
        assert sorted(seen) == list(range(len(LEARNT)))
    assert batches[0] != batches[n]


class Told:
    """Progress that remembers what it was told."""

    def __init__(self):
        self.jobs = []

    def start(self, total, what):
        self.jobs.append([what, total, 0, False])

    def advance(self, n=1, what=None):
        self.jobs[-1][2] += n

    def stop(self):
        self.jobs[-1][3] = True


def test_progress_is_told_every_update_and_every_row_read(paired):
    told = Told()
    fitted(paired("llama"), execution=Execution(progress=told))
    assert [job[1:] for job in told.jobs] == [[20, 20, True], [len(HELD_OUT)] * 2 + [True]]


class Kept:
    """Cells that remember, and count what was computed."""

    def __init__(self):
        self.held, self.computed = {}, []

    def get_or_compute(self, key, compute):
        if key not in self.held:
            self.held[key] = compute()
            self.computed.append(key)
        return self.held[key]


def test_a_finished_fit_is_not_made_again(paired, quick):
    checkpoint, told = Kept(), Told()
    fitted(paired("llama"), execution=Execution(checkpoint=checkpoint))
    model = paired("llama").base
    handle = model.register_forward_pre_hook(never)
    try:
        execution = Execution(checkpoint=checkpoint, progress=told)
        found = fitted(paired("llama"), execution=execution)
    finally:
        handle.remove()
    assert checkpoint.computed == ["lens/0", "held_out/0"]
    # A bar that finished work does not move would never end.
    assert [job[1:] for job in told.jobs] == [[20, 20, True], [len(HELD_OUT)] * 2 + [True]]
    assert torch.equal(found.lens.weight, quick.lens.weight)


def never(_module, _inputs):
    raise AssertionError("the model was run")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"learning_rate": 0.0}, "0.0"),
        ({"learning_rate": -1.0}, "-1.0"),
        ({"learning_rate": float("nan")}, "nan"),
        ({"weight_decay": -1.0}, "-1.0"),
        ({"tokens_per_step": 0}, "tokens_per_step is 0"),
        ({"held_out": LEARNT.part([3, 4])}, "2 problems"),
        ({"held_out": dataclasses.replace(LEARNT, problem=("z",) * 60)}, "60 rows"),
        ({"held_out": HELD_OUT.part([0])}, "1 problem"),
        ({"learnt": LEARNT.part([0, 1])}, "32"),
        ({"model": "chat"}, "chat"),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_anything_is_run(paired, options, named):
    model = paired("llama").base
    handle = model.register_forward_pre_hook(never)
    try:
        with pytest.raises(RevisionError) as refused:
            fitted(paired("llama"), **options)
    finally:
        handle.remove()
    assert named in str(refused.value)


def test_a_bias_alone_may_be_fitted_on_little_text(paired):
    fitted(paired("llama"), LEARNT.part([0, 1]), variant="bias")


def test_a_fit_that_leaves_the_finite_numbers_says_at_which_update(paired):
    with pytest.raises(RevisionError, match=r"update \d+ of 20 .*layers 0, 1, 2"):
        fitted(paired("llama"), optimizer="sgd", learning_rate=1e38)


@pytest.fixture(scope="module")
def longer(organism) -> TunedLensFit:
    """A lens of the base of world a, which is that of `rotated` as well as of `rl`."""
    pair = organism("rotated")
    learnt, held_out = written(pair, "rotated")
    inference = Inference(n_resamples=200)
    return fitted(pair, learnt, held_out=held_out, model="base", inference=inference, **LONGER)


@pytest.mark.slow
def test_affine_reads_better_than_a_bias_and_a_bias_better_than_nothing(longer):
    fit = longer
    identity, bias, affine = fit.kl.value
    assert bool((bias < identity).all()) and bool((affine < bias).all())
    assert bool((fit.gain.low[1:] > 0).all())
    # In the middle of the model a bias finds a fifth of what the logit lens misses, a map half.
    assert bool((affine[1:5] < 0.6 * identity[1:5]).all())
    assert bool((bias[1:5] > 0.7 * identity[1:5]).all())
    assert affine[5] < 0.02 * identity[5]
    assert not fit.gain.value[0].any()


@pytest.mark.slow
def test_through_the_bases_head_a_rotated_model_is_read_only_by_a_lens_that_turns_it(
    organism, longer
):
    pair, own = organism("rotated"), longer
    learnt, held_out = written(pair, "rotated")
    turned = fitted(
        pair,
        learnt,
        held_out=held_out,
        model="post",
        head="base",
        inference=Inference(n_resamples=200),
        **LONGER,
    )
    # As it is, the rotated stream means nothing to base's head, and no shift helps.
    assert bool((turned.kl.value[0] > own.kl.value[0] + 4.0).all())
    assert bool((turned.kl.value[1] > own.kl.value[1]).all())
    # A map can turn it back, and then reads it as base's own lens reads base.
    assert bool((turned.kl.value[2] < own.kl.value[0]).all())
    lost = (turned.kl.value[2] - own.kl.value[2]) / (turned.kl.value[0] - own.kl.value[2])
    assert bool((lost < 0.02).all())


def test_the_figure_shows_every_kind(quick):
    figure = quick.figure()
    assert [trace.name for trace in figure.data] == ["logit lens", "bias alone", "affine"]
    assert list(figure.data[2].y) == pytest.approx(quick.kl.value[2].tolist())


def test_a_lens_is_not_a_fit(quick, tmp_path):
    quick.lens.save(tmp_path)
    with pytest.raises(ResultError):
        TunedLensFit.load(tmp_path)
