"""A tuned lens learns what it says it learns, and nothing it was not shown is read as learnt."""

import dataclasses

import pytest
import torch

from elicit import metrics, organisms
from elicit.capture import capture, unembed_of
from elicit.pair import load_pair
from elicit.results import ResultError, load_result
from elicit.revision import (
    LogitLens,
    RevisionError,
    Traces,
    TunedLens,
    TunedLensFit,
    fit_tuned_lens,
    lens_logits,
)
from elicit.revision.fitting import Correction, Recipe, learn
from elicit.revision.gradient import lens_kl, sloped_kl
from elicit.revision.lens import check_lens
from elicit.revision.source import Rooms, Source, headed_model
from elicit.runs import Execution, NoProgress
from elicit.sites import resid_post, resid_pre
from elicit.stats import Inference
from elicit.tasks import load_task
from tests.checkpoints import D_MODEL, D_VOCAB, N_LAYERS

QUICK = {"steps": 20, "tokens_per_step": 200, "n_resamples": 100}
LONGER = {"steps": 100, "tokens_per_step": 512, "lr": 1e-2, "n_resamples": 200}


def made(n_rows, *, seed, name="p", longest=14):
    """Random rows of several lengths, each a problem of its own, all but the first token read."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(6, longest + 1, (n_rows,), generator=generator).tolist()
    rows = [torch.randint(4, D_VOCAB, (n,), generator=generator).tolist() for n in lengths]
    return Traces(
        rows=tuple(map(tuple, rows)),
        positions=tuple(tuple(range(len(row) - 1)) for row in rows),
        problem=tuple(f"{name}{i}" for i in range(n_rows)),
    )


LEARNT = made(60, seed=0)
HELD_OUT = made(12, seed=1, name="q")


def written(pair, name, *, n=80):
    """An organism's own traces, some to learn from and some held out."""
    task = load_task(organisms.resolve(f"organism:{name}").problems)
    traces = Traces.of_task(pair.alignment, task)
    return traces.part(range(n)), traces.part(range(n, len(traces)))


@pytest.fixture(scope="module")
def quick(paired):
    return fit_tuned_lens(paired("llama"), LEARNT, held_out=HELD_OUT, **QUICK)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("n_block", [1000, 7])
def test_the_gradient_written_by_hand_is_autograds(paired, architecture, n_block):
    model = paired(architecture).base
    head = unembed_of(model)
    generator = torch.Generator().manual_seed(3)
    last = 2 * torch.randn(11, D_MODEL, generator=generator)
    state = 2 * torch.randn(11, D_MODEL, generator=generator)
    rooms = Rooms({"own": head}, n_tokens=min(n_block, 11), budget=2**28)
    own = rooms.of["own"]
    leaf = state.clone().requires_grad_()
    with torch.no_grad():
        p = metrics.log_probs(head.logits(last))
    expected = metrics.kl(p, metrics.log_probs(head.logits(leaf)))
    (slope,) = torch.autograd.grad(expected.sum(), leaf)
    for start in range(0, 11, rooms.n_tokens):
        cut = slice(start, start + rooms.n_tokens)
        with torch.no_grad():
            n = len(last[cut])
            final = own.final(head.norm(last[cut]), rooms.probs(own, n))
        found = sloped_kl(own, state[cut], final)
        assert torch.allclose(found.kl.float(), expected[cut], atol=1e-5)
        assert torch.allclose(found.slope, slope[cut], atol=1e-5)
        assert torch.equal(lens_kl(own, state[cut], final), found.kl)


def test_one_plain_step_goes_down_the_gradient_of_the_mean_over_tokens(paired):
    pair = paired("llama")
    side = headed_model(pair, "base")
    rooms = Rooms({"own": side.head}, n_tokens=50, budget=2**28)
    own = rooms.of["own"]
    source = Source(side=side, traces=LEARNT, n_layers=N_LAYERS, pad_id=0, max_tokens=200)
    held = Correction.none(N_LAYERS, D_MODEL, "affine", torch.empty(0))
    recipe = Recipe(
        optimizer="sgd", steps=1, lr=0.1, weight_decay=0.0, tokens_per_step=10**6, seed=0
    )
    loss = learn(source, [held], recipe, rooms, own=own, read=own, keep=0, progress=NoProgress())
    # The same by autograd through everything, every token at once.
    resid = torch.cat([streams.resid for streams in source.read()], dim=1)
    with torch.no_grad():
        p = metrics.log_probs(side.head.logits(resid[-1]))
    for layer in range(N_LAYERS):
        weight = torch.zeros(D_MODEL, D_MODEL, requires_grad=True)
        bias = torch.zeros(D_MODEL, requires_grad=True)
        state = resid[layer] + resid[layer] @ weight.T + bias
        kl = metrics.kl(p, metrics.log_probs(side.head.logits(state))).mean()
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
    assert torch.allclose(quick.kl[0], expected, atol=1e-5)


def test_before_the_first_update_every_kind_is_the_logit_lens(quick):
    assert torch.equal(quick.loss[0, 0], quick.loss[1, 0])


def test_the_bias_is_the_same_whether_the_affine_map_is_fitted_beside_it_or_not(paired, quick):
    alone = fit_tuned_lens(paired("llama"), LEARNT, held_out=HELD_OUT, variant="bias", **QUICK)
    assert alone.kind == ("identity", "bias") and alone.lens.variant == "bias"
    assert not alone.lens.weight.any()
    assert torch.equal(alone.kl, quick.kl[:2])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(paired, quick, tmp_path):
    again = fit_tuned_lens(paired("llama"), LEARNT, held_out=HELD_OUT, **QUICK)
    other = fit_tuned_lens(
        paired("llama"), LEARNT, held_out=HELD_OUT, inference=Inference(seed=1), **QUICK
    )
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


def test_neither_keeping_the_streams_nor_the_size_of_blocks_changes_a_lens(paired):
    pair, few = paired("llama"), QUICK | {"steps": 4}
    first = fit_tuned_lens(pair, LEARNT, held_out=HELD_OUT, **few)
    for options in ({"keep": 0}, {"budget": 2 * D_VOCAB * 4 * 7}, {"max_tokens": 40}):
        other = fit_tuned_lens(pair, LEARNT, held_out=HELD_OUT, **few, **options)
        assert torch.allclose(other.kl, first.kl, atol=1e-5), options
        assert torch.allclose(other.lens.weight, first.lens.weight, atol=1e-5), options


def test_a_fitted_lens_is_refused_by_the_other_models_head(paired, quick):
    pair = paired("llama")
    check_lens(quick.lens, unembed_of(pair.base), n_layers=N_LAYERS, name="base")
    with pytest.raises(RevisionError, match="digest"):
        check_lens(quick.lens, unembed_of(pair.post), n_layers=N_LAYERS, name="post")
    across = fit_tuned_lens(pair, LEARNT, held_out=HELD_OUT, model="post", head="base", **QUICK)
    check_lens(across.lens, unembed_of(pair.base), n_layers=N_LAYERS, name="base")
    assert (across.lens.model, across.lens.head) == (pair.post_name, pair.base_name)


def test_the_model_is_left_without_gradients_and_as_it_was(paired):
    model = paired("llama").base
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fit_tuned_lens(paired("llama"), LEARNT, held_out=HELD_OUT, **QUICK)
    for name, p in model.named_parameters():
        assert p.grad is None and torch.equal(p, before[name])


def test_a_model_in_half_precision_gets_a_lens_in_float32(written_pair_in_half):
    pair = written_pair_in_half
    found = fit_tuned_lens(pair, LEARNT, held_out=HELD_OUT, **QUICK)
    assert found.lens.weight.dtype == torch.float32
    assert found.lens.state(torch.zeros(1, D_MODEL).bfloat16(), layer=0).dtype == torch.bfloat16
    assert bool((found.kl[2] < found.kl[0]).all())


@pytest.fixture(scope="module")
def written_pair_in_half(written):
    return load_pair(written("llama", seed=1), written("llama", seed=2), dtype=torch.bfloat16)


def test_sgd_learns_too_and_decay_pulls_it_to_the_logit_lens(paired):
    def fit(decay):
        return fit_tuned_lens(
            paired("llama"),
            LEARNT,
            held_out=HELD_OUT,
            optimizer="sgd",
            weight_decay=decay,
            **QUICK,
        )

    free, held = fit(1e-3), fit(1.0)
    assert bool((free.kl[2] < free.kl[0]).all())
    assert held.lens.weight.norm() < 0.8 * free.lens.weight.norm()


def test_the_rate_rises_and_falls_and_never_is_zero():
    adam = Recipe(optimizer="adam", steps=50, lr=1.0, weight_decay=0.0, tokens_per_step=10, seed=0)
    rates = [adam.rate(step) for step in range(50)]
    assert adam.warm_up == 10
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10:] == pytest.approx([(50 - i) / 40 for i in range(10, 50)])
    sgd = dataclasses.replace(adam, optimizer="sgd")
    assert [sgd.rate(step) for step in range(50)] == pytest.approx(
        [(50 - i) / 50 for i in range(50)]
    )


def test_every_row_is_seen_once_before_any_is_seen_again():
    recipe = Recipe(
        optimizer="adam", steps=12, lr=1.0, weight_decay=0.0, tokens_per_step=150, seed=0
    )
    batches = list(recipe.batches(LEARNT))
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
    fit_tuned_lens(
        paired("llama"), LEARNT, held_out=HELD_OUT, execution=Execution(progress=told), **QUICK
    )
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
    cells = Kept()
    for _ in range(2):
        found = fit_tuned_lens(
            paired("llama"),
            LEARNT,
            held_out=HELD_OUT,
            execution=Execution(checkpoint=cells),
            **QUICK,
        )
    assert cells.computed == ["lens", "held_out"]
    assert torch.equal(found.lens.weight, quick.lens.weight)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"lr": -1.0}, "lr is -1.0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"tokens_per_step": 0}, "tokens_per_step is 0"),
        ({"held_out": LEARNT.part([3, 4])}, "2 problems .*both in the text"),
        ({"held_out": dataclasses.replace(LEARNT, problem=("z",) * 60)}, "60 rows, under other"),
        ({"held_out": HELD_OUT.part([0])}, "1 problem, and intervals"),
        ({"traces": LEARNT.part([0, 1])}, "and the stream is 32 wide"),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_anything_is_run(paired, options, told):
    def never(_module, _inputs):
        raise AssertionError("the model was run")

    given = {"traces": LEARNT, "held_out": HELD_OUT} | options
    model = paired("llama").base
    handle = model.register_forward_pre_hook(never)
    try:
        with pytest.raises(RevisionError, match=told):
            fit_tuned_lens(paired("llama"), given.pop("traces"), **(QUICK | given))
    finally:
        handle.remove()


def test_a_bias_alone_may_be_fitted_on_little_text(paired):
    fit_tuned_lens(paired("llama"), LEARNT.part([0, 1]), held_out=HELD_OUT, variant="bias", **QUICK)


def test_a_fit_that_leaves_the_finite_numbers_says_at_which_update(paired):
    with pytest.raises(RevisionError, match=r"at update \d+ of 20 with sgd .* layers 0, 1, 2"):
        fit_tuned_lens(
            paired("llama"), LEARNT, held_out=HELD_OUT, optimizer="sgd", lr=1e38, **QUICK
        )


@pytest.mark.slow
def test_affine_reads_better_than_a_bias_and_a_bias_better_than_nothing(organism):
    pair = organism("rl")
    learnt, held_out = written(pair, "rl")
    fit = fit_tuned_lens(pair, learnt, held_out=held_out, **LONGER)
    identity, bias, affine = fit.kl
    assert bool((bias < identity).all()) and bool((affine < bias).all())
    assert bool((fit.gain_low[1:] > 0).all())
    # In the middle of the model a bias finds a fifth of what the logit lens misses, a map half.
    assert bool((affine[1:5] < 0.6 * identity[1:5]).all())
    assert bool((bias[1:5] > 0.7 * identity[1:5]).all())
    assert affine[5] < 0.02 * identity[5]
    assert not fit.gain[0].any()


@pytest.mark.slow
def test_through_the_bases_head_a_rotated_model_is_read_only_by_a_lens_that_turns_it(organism):
    pair = organism("rotated")
    learnt, held_out = written(pair, "rotated")
    own = fit_tuned_lens(pair, learnt, held_out=held_out, model="base", **LONGER)
    turned = fit_tuned_lens(pair, learnt, held_out=held_out, model="post", head="base", **LONGER)
    # As it is, the rotated stream means nothing to base's head, and no shift helps.
    assert bool((turned.kl[0] > own.kl[0] + 4.0).all())
    assert bool((turned.kl[1] > own.kl[1]).all())
    # A map can turn it back, and then reads it as base's own lens reads base.
    assert bool((turned.kl[2] < own.kl[0]).all())
    lost = (turned.kl[2] - own.kl[2]) / (turned.kl[0] - own.kl[2])
    assert bool((lost < 0.02).all())


def test_the_figure_shows_every_kind(quick):
    figure = quick.figure()
    assert [trace.name for trace in figure.data] == ["logit lens", "bias alone", "affine"]
    assert list(figure.data[2].y) == pytest.approx(quick.kl[2].tolist())


def test_a_lens_is_not_a_fit(quick, tmp_path):
    quick.lens.save(tmp_path)
    with pytest.raises(ResultError):
        TunedLensFit.load(tmp_path)
