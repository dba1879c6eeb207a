"""A pair whose models are on two devices finds what it finds on one, and mixes no tensors."""

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from elicit.capture import Lanes, capture, decompose, run_lanes, run_trunk
from elicit.edits import Steer, edited, generated
from elicit.grafting import facts, localise, sweep_intervals
from elicit.pair import Encoded, Loading, PairError, hugging_face_model, load_pair, weights_digest
from elicit.patching import across, factorial, patch
from elicit.revision import LogitLens, lens_drift, profile
from elicit.revision._layers import read_layers
from elicit.revision._readers import readers_of
from elicit.rollouts import Dial, Generation, rollouts
from elicit.sites import resid_post
from elicit.stats import Inference
from elicit.tasks import load_task
from elicit.texts import TokenRows, text_bits
from elicit.weights import grafted, part, reverted, slots_of, transplanted, weight_change
from tests.checkpoints import WORDS
from tests.patching.test_sweep import contrast_of
from tests.pretended import identity_kept, pretend, waits

FEW = Inference(n_resamples=100)


def numbers(found: object, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every number of a result, by name."""
    if isinstance(found, Tensor):
        yield name, found
    elif isinstance(found, float):
        yield name, torch.tensor(found)
    elif dataclasses.is_dataclass(found):
        for field in dataclasses.fields(found):
            yield from numbers(getattr(found, field.name), f"{name}.{field.name}")


def same(one: object, two: object, tolerance: float = 1e-6) -> None:
    """Both results hold the same numbers, and some."""
    ours, theirs = dict(numbers(one)), dict(numbers(two))
    assert ours.keys() == theirs.keys() and ours
    for name, value in ours.items():
        other = theirs[name]
        assert other.device.type == "cpu", name
        torch.testing.assert_close(
            value.double(), other.double(), atol=tolerance, rtol=tolerance, equal_nan=True,
            msg=lambda told, name=name: f"{name}: {told}",
        )  # fmt: skip


def apart(base, post=None, *, devices=None, **options):
    """The pair with base and post on two pretended devices, or on those given."""
    here, there = devices or pretend()
    with identity_kept():
        return load_pair(
            *(base, post),
            device=here,
            loading=Loading(post_device=there),
            check_parity=False,
            **options,
        )


@pytest.fixture(scope="module")
def rl():
    """An organism on one device, and on two, where no kernel's rounding reaches the tolerance."""
    one = load_pair("organism:rl", dtype=torch.float64, check_parity=False)
    return one, apart("organism:rl", dtype=torch.float64)


@pytest.fixture(scope="module")
def tiny(written):
    """Random models of two layers, on one device and on two."""
    names = written("llama", seed=1), written("llama", seed=2)
    one = load_pair(*names, dtype=torch.float64, check_parity=False)
    return one, apart(*names, dtype=torch.float64)


def test_what_a_second_device_would_refuse_is_refused():
    here, there = pretend()
    x = torch.arange(6.0, device=here).view(2, 3)
    y = x.to(there)
    for mixed in (
        lambda: x + y,
        lambda: x @ torch.ones(3),
        lambda: torch.ones(3) @ x.T,
        lambda: torch.cat([x, y]),
        lambda: x[torch.tensor([0, 1], device=there)],
        lambda: torch.equal(x, y),
        lambda: x.add_(y),
        lambda: torch.mm(x, x.T, out=torch.empty(2, 2, device=there)),
    ):
        with pytest.raises(RuntimeError, match="different devices"):
            mixed()
    with pytest.raises(TypeError, match="numpy"):
        x.numpy()
    # As on a GPU: one number, and indices, may be on the CPU; copies go anywhere.
    assert torch.equal(
        (x + torch.tensor(1.0))[torch.tensor([1])].cpu(), torch.tensor([[4.0, 5, 6]])
    )
    assert torch.equal(y.copy_(x + 1).cpu(), x.cpu() + 1) and y.device == there


def test_a_pair_on_two_devices_is_the_same_pair(rl):
    one, two = rl
    assert (two.device, two.post_device) == ("elsewhere:0", "elsewhere:1")
    assert (two.base_digest, two.post_digest) == (one.base_digest, one.post_digest)
    assert one.devices == "cpu" and "elsewhere:0 and elsewhere:1" in repr(two)
    assert two.provenance().device == "elsewhere:0 and elsewhere:1"
    assert two.identity["runs"] != one.identity["runs"]
    same(weight_change(one), weight_change(two))


@pytest.mark.slow(checked=True)
def test_layers_move_between_two_devices(rl, tasks_of):
    damage, _ = tasks_of("rl", 4, 4)
    options = {"damage": damage, "kinds": ("layer",), "controls": 0, "inference": FEW}
    same(*(localise(pair, **options) for pair in rl))


@pytest.mark.slow(checked=True)
def test_intervals_of_layers_cross_between_two_devices(tiny):
    asked = [
        {"prompt": " ".join(WORDS[i : i + 4]), "answer": WORDS[9], "candidates": WORDS[9:11]}
        for i in range(10, 16)
    ]
    score = facts(load_task(asked, name="words"))
    same(*(sweep_intervals(pair, [score], inference=FEW) for pair in tiny))


def moved_activations(pairs, engine):
    """Activations of either model in the other, found on one device and on two."""
    contrast = contrast_of(n=2, lengths=(5,))
    last = pairs[0].n_layers - 1
    for direction in ("post_to_base", "base_to_post"):
        swap = across(
            direction, sites=(f"resid_mid.{last}", "z.1"), positions=[-1], metrics=("kl",)
        )
        same(*(patch(pair, contrast, swap, inference=FEW, engine=engine) for pair in pairs))
    options = {"positions": [-1], "boundaries": [1, last], "inference": FEW, "engine": engine}
    same(*(factorial(pair, contrast, **options) for pair in pairs))


@pytest.mark.slow(checked=True)
@pytest.mark.parametrize("engine", ["lanes", "loop"])
def test_activations_move_between_two_devices(tiny, engine):
    contrast = contrast_of(n=2, lengths=(5,))
    swap = across("base_to_post", sites=("resid_mid",), positions=[-1], metrics=("kl",))
    same(*(patch(pair, contrast, swap, inference=FEW, engine=engine) for pair in tiny))
    options = {"positions": [-1], "boundaries": [1], "inference": FEW, "engine": engine}
    same(*(factorial(pair, contrast, **options) for pair in tiny))


@pytest.mark.slow(checked=True)
def test_a_grid_of_an_organism_is_the_same_on_two_devices(rl):
    swap = across(sites=("resid_post",), positions=[-1])
    same(*(patch(pair, contrast_of(n=2, lengths=(5,)), swap, inference=FEW) for pair in rl))


@pytest.mark.slow
def test_gradients_of_a_pair_on_two_devices():
    """In a process of its own: see the file that it runs."""
    file = Path(__file__).with_name("gradients_on_two_devices.py")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0 and "3 passed" in run.stdout, run.stdout[-4000:]


@pytest.mark.slow(checked=True)
def test_layers_are_read_through_the_head_of_another_device(tiny):
    one, two = tiny
    texts = [" ".join(WORDS[i : i + 5]) for i in (4, 9, 14)]
    for options in ({}, {"head": "base"}, {"head": "post", "models": ("base",)}):
        same(profile(one, texts[:2], **options), profile(two, texts[:2], **options))
    rows = TokenRows.of_texts(one.alignment, texts[:3])
    lens = LogitLens()
    same(*(lens_drift(pair, rows, lens_base=lens, inference=FEW) for pair in tiny))


@pytest.mark.slow(checked=True)
def test_texts_are_written_with_the_vector_and_the_logits_of_another_device(tiny):
    prompts = [" ".join(WORDS[i : i + 4]) for i in (4, 9)]
    task = load_task([{"prompt": prompt, "answer": WORDS[8]} for prompt in prompts], name="words")
    generation, found = Generation(max_new_tokens=3, temperature=1.0), []
    for pair in tiny:
        base, post = pair.side("base"), pair.side("post")
        vector = _last(post.bridge, pair.post_device)
        with edited(base.bridge, [Steer(site=resid_post(0), vector=vector)]):
            steered = rollouts(base, task, generation=generation)
        dialled = rollouts(base, task, generation=generation, rule=Dial(towards=post, a=0.5))
        own = rollouts(post, task, generation=generation)
        found.append((steered, dialled, own, text_bits(pair, own, inference=FEW)))
    for one, two in zip(*found, strict=True):
        same(one, two)
        assert getattr(one, "text", None) == getattr(two, "text", None)


@pytest.mark.slow(checked=True)
def test_the_host_waits_once_a_token_and_never_for_a_problem(tiny):
    """A device that is waited for stands still: nothing waits for a problem, a row or a text."""
    _, two = tiny
    words = [" ".join(WORDS[i : i + 5]) for i in range(2, 14, 2)]
    task = load_task([{"prompt": each, "answer": WORDS[8]} for each in words], name="words")

    base, post = two.side("base"), two.side("post")

    def write(n_new: int, side=post, **rule) -> None:
        generation = Generation(stop_ids=(), max_new_tokens=n_new, temperature=1.0)
        rollouts(side, task, generation=generation, **rule)

    def steered(n_new: int) -> None:
        edits = [Steer(site=resid_post(0), vector=torch.ones(two.d_model), where=generated())]
        with edited(base.bridge, edits):
            write(n_new, base)

    def waited(work, n: int) -> int:
        with waits() as counted:
            work(n)
        return counted.total()

    # Whether all rows have ended, as Hugging Face's `generate` asks.
    dialled = partial(write, side=base, rule=Dial(towards=post, a=0.5))
    for way in (write, steered, dialled):
        assert waited(way, 5) - waited(way, 2) == 3
    swap = across(sites=("resid_post",), positions=[-1], metrics=("logit_diff",))
    for work in (
        lambda n: patch(two, contrast_of(n=n, lengths=(5,)), swap, controls=(), inference=FEW),
        lambda n: profile(two, words[:n]),
    ):
        assert waited(work, 2) >= waited(work, 6) > 0


@pytest.mark.slow(checked=True)
def test_lanes_may_be_given_on_a_device_or_in_host_memory(tiny):
    model, ends = decompose(tiny[1].base), []
    ids = torch.tensor([[5, 9, 12, 7], [8, 6, 4, 10]], device=model.device)
    site, both = resid_post(0), torch.tensor([0, 1])
    with torch.no_grad():
        trunk = run_trunk(model, Encoded(ids, torch.ones_like(ids), torch.arange(4).expand(2, 4)))
        for device in ("cpu", model.device):
            at = both.to(device)
            lanes = Lanes(
                row=at, low=at, high=at + 2, group=0 * at, groups=((site,),), source_row=1 - at,
                scale=(at + 1) / 2,
            )  # fmt: skip
            found = run_lanes(trunk, lanes, {site: trunk.value(site)}, 3 + 0 * at[:, None])
            ends.append(torch.cat([each.resid[each.lane.argsort()] for each in found]))
    assert torch.equal(*ends) and not torch.equal(ends[0][:, 0], trunk.resid[-1][:, 3])


@pytest.mark.slow(checked=True)
def test_the_host_waits_for_no_layer(tiny, written):
    """Lanes join and leave, and layers are read, while the device computes on."""
    few = tiny[1]
    more = apart(*(written("llama", seed=seed, n_layers=5) for seed in (1, 2)), dtype=torch.float64)
    sites = ("resid_pre", "resid_mid", "attn_out", "mlp_out", "z.0", "z.1.0", "k", "q", "v")
    swap = across(sites=sites, positions=[-2, -1], metrics=("logit_diff",))
    contrast, words = contrast_of(n=2, lengths=(5,)), [" ".join(WORDS[4:9])]

    def grid(pair):
        patch(pair, contrast, swap, controls=(), inference=FEW)

    def lenses(pair):
        profile(pair, words)

    def depths(pair):
        # One reading for both models, wherever both have the same state.
        readers = readers_of(pair, head="base", models=("base",))
        read_layers(
            [readers[0], readers[0]], TokenRows.of_texts(pair.alignment, words), only_jsd=True
        )

    def cube(pair):
        at = range(pair.n_layers)
        factorial(pair, contrast, positions=[-1], boundaries=at, inference=FEW)

    for pair in (few, more):
        grid(pair)  # What is asked once of a model is known from here on.
    for work, most, arrivals in (
        (grid, 20, True),
        (cube, 30, True),
        (lenses, 32, False),
        (depths, 30, False),
    ):
        counts = []
        for pair in (few, more):
            with waits(arrivals=arrivals) as counted:
                work(pair)
            counts.append(counted)
        assert counts[0] == counts[1] and 0 < counts[0].total() <= most, (work, counts)


def _last(bridge, device):
    """What a model has at the end of a prompt, on its device."""
    seen = capture(bridge, torch.tensor([[5, 9, 12]], device=device), sites=[resid_post(0)])
    return seen.at[resid_post(0)][0, -1].detach()


@pytest.mark.slow(checked=True)
@pytest.mark.parametrize(("architecture", "order"), [("gpt2", (0, 1)), ("llama", (1, 0))])
def test_weights_that_came_over_are_gone_again(architecture, written, paired, order):
    devices = [(pretend()[0], "cpu")[place] for place in order]
    names = written(architecture, seed=1), written(architecture, seed=2)
    one, two = paired(architecture), apart(*names, devices=devices)
    ids = torch.tensor([[5, 9, 12, 7]])
    for swap in (reverted, grafted):
        logits = []
        for pair in (one, two):
            with torch.no_grad(), swap(pair, part(pair, "L1")) as model:
                there = next(model.parameters()).device
                logits.append(hugging_face_model(model)(input_ids=ids.to(there)).logits.cpu())
        torch.testing.assert_close(*logits, atol=1e-6, rtol=1e-6)
    with torch.no_grad(), transplanted(two, two.base):
        assert all(torch.equal(*slot.values) for slot in slots_of(two).values())
    # What a fused projection was split into lies in its memory still.
    assert weights_digest(two.base) == one.base_digest
    assert weights_digest(two.post) == one.post_digest


def test_one_tensor_on_two_devices_is_refused_before_anything_is_read():
    loading = Loading(share_weights=True, post_device="elsewhere:1")
    with pytest.raises(PairError, match="one tensor is on one device"):
        load_pair("nowhere", "neither", device=pretend()[0], loading=loading)
    with pytest.raises(PairError, match="not clear where post computes"):
        Loading(device_map="auto", post_device="cuda:1")
    assert not Loading(post_device="cuda:0", share_weights=True).apart("cuda")
    assert Loading(post_device="cuda:1", share_weights=True, offload=True).apart("cuda:0")


@pytest.mark.slow(checked=True)
def test_weights_in_host_memory_are_shared_by_models_that_compute_apart(written, paired):
    loading = Loading(offload=True, share_weights=True, post_device=pretend()[1])
    names = written("llama", seed=1), written("llama", seed=2)
    with identity_kept():
        two = load_pair(*names, device=pretend()[0], loading=loading)
    assert (two.device, two.post_device) == ("elsewhere:0", "elsewhere:1")
    assert {each.device.type for each in two.post.parameters()} == {"cpu"}
    swap = across(sites=("resid_post",), positions=[-1])
    same(*(patch(pair, contrast_of(n=2), swap, controls=(), inference=FEW)
           for pair in (paired("llama"), two)))  # fmt: skip
