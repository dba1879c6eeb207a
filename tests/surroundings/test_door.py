"""A number does not depend on what the caller has switched on, or the call is refused."""

import contextlib
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrize, prune

import elicit
from elicit.pair import load_pair
from elicit.results import matmul_precision
from elicit.surroundings import SurroundingsError
from tests.surroundings.entries import CALLS, READ, numbers

ROOMS = (
    "capture", "directions", "elicitation", "features", "fitting", "grafting", "pair", "patching",
    "representations", "revision", "rollouts", "tasks", "texts", "verdicts", "weights", "organisms",
    "traces",
)  # fmt: skip
# These run no model: they check, encode, count, name, or open a block whose inside is the caller's.
QUIET = {
    "capture.check_rows", "capture.check_vectors", "capture.decompose", "capture.kept_sites",
    "capture.modifications_of", "capture.plan_chunks", "capture.served", "capture.vectors",
    "pair.device_of", "pair.is_offloaded", "pair.is_outline", "pair.offload",
    "pair.outline_changes", "pair.outline_pair", "pair.record_steps", "pair.records_steps",
    "pair.weight_of",
    "pair.hugging_face_model", "pair.pad", "pair.parameter_groups", "pair.position_limit",
    "pair.reason", "pair.unwrapped", "pair.weights_digest", "rollouts.check_prompts",
    "rollouts.check_strengths", "rollouts.edits_digest", "rollouts.stream_key",
    "texts.chunked", "texts.concatenate", "texts.token_texts", "texts.tokens_per_block",
    "weights.all_parts", "weights.by_layer", "weights.changed_layers", "weights.changed_slots",
    "weights.grafted", "weights.slot_table", "weights.spectra_flop",
    "weights.interpolated", "weights.one_embedding",
    "weights.is_changed", "weights.layer_interval", "weights.moved",
    "weights.part", "weights.parts_of", "weights.replaced", "weights.reverted", "weights.slots_of",
    "weights.transplanted",
}  # fmt: skip


@pytest.fixture(scope="module")
def pair(written):
    """Its own pair: GPT-2 has dropout, and these tests leave it in training mode."""
    return load_pair(written("gpt2", seed=1), written("gpt2", seed=2))


@pytest.fixture(scope="module")
def plain(pair):
    """Numbers of every entry in a fresh process's state, computed when first asked for."""
    made = {}

    def of(name):
        if name not in made:
            made[name] = numbers(CALLS[name](pair))
        return made[name]

    return of


@contextlib.contextmanager
def setting(read, write, value):
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


@contextlib.contextmanager
def default_device(_pair):
    """None ends it: "cpu" would be a mode that sees every later operation of all other tests."""
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    assert torch.overrides._get_current_function_mode_stack() == []


@contextlib.contextmanager
def training(pair):
    pair.base.train(), pair.post.train()
    try:
        yield
        assert pair.base.training and pair.post.training
    finally:
        pair.base.eval(), pair.post.eval()


@contextlib.contextmanager
def checkpointing(pair):
    model = pair.post.original_model
    model.gradient_checkpointing_enable()
    try:
        with training(pair):
            yield
    finally:
        model.gradient_checkpointing_disable()


@contextlib.contextmanager
def frozen(pair):
    for model in (pair.base, pair.post):
        model.requires_grad_(False)
        model.original_model.requires_grad_(False)
    try:
        yield
    finally:
        for model in (pair.base, pair.post):
            model.requires_grad_(True)
            model.original_model.requires_grad_(True)


@contextlib.contextmanager
def backend(name, op, value):
    read, write = torch._C._get_fp32_precision_getter, torch._C._set_fp32_precision_setter
    before = read(name, op)
    write(name, op, value)
    try:
        yield
    finally:
        write(name, op, before)


sdp = torch.backends.cuda
SURROUNDINGS = {
    "autocast cpu": lambda p: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast cuda": lambda p: setting(
        lambda: torch.is_autocast_enabled("cuda"),
        lambda on: torch.set_autocast_enabled("cuda", on),
        True,
    ),
    "training": training,
    "gradient checkpointing": checkpointing,
    "frozen weights": frozen,
    "no_grad": lambda p: torch.no_grad(),
    "inference_mode": lambda p: torch.inference_mode(),
    "float64 by default": lambda p: setting(
        torch.get_default_dtype, torch.set_default_dtype, torch.float64
    ),
    "bfloat16 by default": lambda p: setting(
        torch.get_default_dtype, torch.set_default_dtype, torch.bfloat16
    ),
    "meta device": lambda p: torch.device("meta"),
    "default device": default_device,
    "medium precision": lambda p: setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "tf32": lambda p: backend("cuda", "matmul", "tf32"),
    "bfloat16 on cpu": lambda p: backend("mkldnn", "matmul", "bf16"),
    "deterministic": lambda p: setting(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    ),
    "no math attention": lambda p: setting(sdp.math_sdp_enabled, sdp.enable_math_sdp, False),
    "no flash attention": lambda p: setting(sdp.flash_sdp_enabled, sdp.enable_flash_sdp, False),
    "timed kernels": lambda p: setting(
        torch._C._get_cudnn_benchmark, torch._C._set_cudnn_benchmark, True
    ),
    "one attention kernel": lambda p: torch.nn.attention.sdpa_kernel(
        torch.nn.attention.SDPBackend.MATH
    ),
    "anomaly detection": lambda p: torch.autograd.set_detect_anomaly(True, check_nan=False),
}
# In this order: torch refuses to read the old switch of precision once a new one disagrees.
TOGETHER = [
    name
    for name in SURROUNDINGS
    if name not in ("gradient checkpointing", "tf32", "default device")
]

THREE = ["rollouts.rollouts", "patching.attribute", "grafting.sweep_parts"]


def same(found, expected):
    return torch.allclose(found, expected, rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize(
    "name", ["rollouts.rollouts", "patching.attribute", "grafting.sweep_parts"]
)
def test_no_surroundings_change_a_number(pair, plain, name, around):
    expected = plain(name)
    with SURROUNDINGS[around](pair):
        found = CALLS[name](pair)
    assert same(numbers(found), expected)


@pytest.mark.slow(checked=True)
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_all_surroundings_together_change_no_number_of_any_entry(pair, plain, name):
    expected = plain(name)
    torch.manual_seed(7)
    np.random.seed(7)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()
    with contextlib.ExitStack() as stack:
        for each in TOGETHER:
            stack.enter_context(SURROUNDINGS[each](pair))
        found = CALLS[name](pair)
    assert same(numbers(found), expected)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]


def public():
    """Every function that a room hands out."""
    for room in ROOMS:
        module = importlib.import_module(f"elicit.{room}")
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value) and value.__module__.startswith(f"elicit.{room}"):
                yield f"{room}.{name}", value


def takes_a_model(function):
    shown = str(inspect.signature(function))
    return any(word in shown for word in ("ModelPair", "Side", "Module", "Trunk", "Decomposed"))


def test_every_public_function_that_takes_a_model_goes_through_the_door():
    found = dict(public())
    open_ = {
        name
        for name, function in found.items()
        if takes_a_model(function) and not getattr(function, "is_guarded", False)
    }
    assert open_ <= QUIET, sorted(open_ - QUIET)
    assert found.keys() >= QUIET, sorted(QUIET - found.keys())
    assert {name for name in CALLS if not getattr(found[name], "is_guarded", False)} == set()


def test_every_room_that_runs_models_is_among_those_looked_at():
    rooms = {room.name for room in pkgutil.iter_modules(elicit.__path__) if room.ispkg}
    above = {"cli", "jobs", "page", "sweep"}  # one frame runs all jobs, and pages know no models
    assert rooms - above - set(ROOMS) == {
        "edits",
        "engines",  # asked by rollouts and capture, inside their door
        "exports",
        "results",
        "runs",
        "sites",
        "stats",
        "surroundings",
    }
    from elicit.jobs._frame import execute

    assert execute.is_guarded


def test_a_result_names_what_was_switched_off_and_the_precision_of_products(pair):
    call = CALLS["grafting.sweep_parts"]
    assert call(pair).provenance.surroundings == []
    with torch.autocast("cpu", dtype=torch.bfloat16), training(pair):
        told = call(pair).provenance
    assert told.surroundings == ["autocast of cpu to bfloat16", "training mode"]
    with setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "high"):
        told = call(pair).provenance
        assert told.matmul_precision == "highest" and "high" in told.surroundings[0]
        assert matmul_precision() == "high"
    benchmark = torch._C._get_cudnn_benchmark, torch._C._set_cudnn_benchmark
    with setting(*benchmark, True):
        assert call(pair).provenance.surroundings == ["cudnn.benchmark"]
        assert torch._C._get_cudnn_benchmark()


def test_half_precision_adds_up_in_float32_and_only_a_user_s_choice_is_named():
    from elicit.surroundings._state import neutral

    products = torch.backends.cuda.matmul
    names = [f"allow_{dtype}_reduced_precision_reduction" for dtype in ("fp16", "bf16")]
    assert all(getattr(products, name) for name in names)  # torch's own choice
    with neutral() as told:
        assert told == () and not any(getattr(products, name) for name in names)
        assert products.allow_bf16_reduced_precision_reduction_split_k
    assert all(getattr(products, name) for name in names)
    accumulation = torch._C._get_cublas_allow_fp16_accumulation
    with setting(accumulation, torch._C._set_cublas_allow_fp16_accumulation, True):
        with neutral() as told:
            assert told == ("float16 accumulation",) and not accumulation()
        assert accumulation()


def test_a_forward_put_in_place_of_a_class_s_own_is_named(pair):
    model = pair.post.original_model
    model.__dict__["forward"] = lambda *a, **k: type(model).forward(model, *a, **k)
    try:
        told = CALLS["grafting.sweep_parts"](pair).provenance.surroundings
    finally:
        del model.__dict__["forward"]
    assert len(told) == 1 and "forward" in told[0]


def test_what_was_switched_off_is_on_again_also_after_an_error(pair):
    with torch.autocast("cpu"), torch.inference_mode(), training(pair), torch.device("meta"):
        torch.set_default_dtype(torch.float64)
        try:
            with pytest.raises(elicit.ElicitError):
                elicit.revision.profile(pair, READ, models=["chat"])
            assert torch.is_autocast_enabled("cpu") and torch.is_inference_mode_enabled()
            assert torch.get_default_dtype() == torch.float64
            assert torch.get_default_device().type == "meta"
        finally:
            torch.set_default_dtype(torch.float32)


def test_a_pair_loaded_in_other_surroundings_is_the_same_pair(written, pair, plain):
    expected = plain("patching.attribute")
    with (
        torch.inference_mode(),
        torch.autocast("cpu", dtype=torch.bfloat16),
        setting(torch.get_default_dtype, torch.set_default_dtype, torch.bfloat16),
        torch.device("meta"),
    ):
        loaded = load_pair(written("gpt2", seed=1), written("gpt2", seed=2))
    assert (loaded.base_digest, loaded.post_digest) == (pair.base_digest, pair.post_digest)
    assert same(numbers(CALLS["patching.attribute"](loaded)), expected)


def hooked(register):
    @contextlib.contextmanager
    def around(pair):
        handle = register(pair.post)
        try:
            yield
        finally:
            handle.remove()

    return around


@contextlib.contextmanager
def compiled(pair):
    block = pair.post.original_model.transformer.h[0]
    block.compile(backend="eager")
    try:
        yield
    finally:
        block._compiled_call_impl = None


class Double(torch.nn.Module):
    def forward(self, weight):
        return weight * 2


@contextlib.contextmanager
def parametrized(pair):
    norm = pair.post.original_model.transformer.ln_f
    norm = getattr(norm, "original_component", norm)
    parametrize.register_parametrization(norm, "weight", Double())
    try:
        yield
    finally:
        parametrize.remove_parametrizations(norm, "weight", leave_parametrized=False)


@contextlib.contextmanager
def pruned(pair):
    norm = pair.post.original_model.transformer.ln_f
    norm = getattr(norm, "original_component", norm)
    before = norm.weight.detach().clone()
    prune.custom_from_mask(norm, "weight", torch.zeros_like(before))
    try:
        yield
    finally:
        prune.remove(norm, "weight")
        norm.weight.data.copy_(before)


@contextlib.contextmanager
def compiled_forward(pair):
    norm = pair.post.original_model.transformer.ln_f
    norm.__dict__["forward"] = torch.compile(norm.forward, backend="eager")
    try:
        yield
    finally:
        del norm.__dict__["forward"]


class Louder(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


class Deeper(torch.utils._python_dispatch.TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


def doubled(output):
    output.data.mul_(2)


REFUSED = {
    "compiled": compiled,
    "parametrized": parametrized,
    "pruned": pruned,
    "compiled forward": compiled_forward,
    "function mode": lambda p: Louder(),
    "dispatch mode": lambda p: Deeper(),
    "saved tensors": lambda p: torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x),
    "forward hook": hooked(
        lambda m: m.blocks[1].mlp.register_forward_hook(lambda _m, _a, o: o * 2)
    ),
    "hook in place": hooked(
        lambda m: m.blocks[1].mlp.register_forward_hook(lambda _m, _a, o: doubled(o))
    ),
    "forward pre-hook": hooked(
        lambda m: m.blocks[1].mlp.register_forward_pre_hook(lambda _m, a: (a[0] * 2, *a[1:]))
    ),
    "pre-hook with names": hooked(
        lambda m: m.blocks[1].mlp.register_forward_pre_hook(
            lambda _m, a, k: ((a[0] * 2, *a[1:]), k), with_kwargs=True
        )
    ),
    "global hook": hooked(
        lambda m: torch.nn.modules.module.register_module_forward_hook(
            lambda _m, _a, o: o * 2 if isinstance(o, torch.Tensor) else None
        )
    ),
    "gradient of a parameter": hooked(
        lambda m: m.original_model.transformer.wte.weight.register_hook(lambda g: g * 2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("around", REFUSED)
def test_what_cannot_be_switched_off_is_refused_by_name(pair, around):
    for name in ("rollouts.rollouts", "patching.attribute"):
        with REFUSED[around](pair), pytest.raises(elicit.ElicitError) as refused:
            CALLS[name](pair)
        assert isinstance(refused.value, SurroundingsError) or "hook" in str(refused.value)


def test_a_backward_hook_that_changes_gradients_is_refused(pair):
    handle = pair.post.blocks[2].mlp.register_full_backward_hook(lambda _m, i, _o: (i[0] * 2,))
    try:
        with pytest.raises(elicit.ElicitError, match="hook"):
            CALLS["directions.train_vector"](pair)
    finally:
        handle.remove()


def test_a_hook_that_only_watches_sees_every_forward_and_changes_nothing(pair, plain):
    expected, seen = plain("rollouts.rollouts"), []
    handles = [
        pair.post.blocks[1].register_forward_hook(lambda *_: seen.append(1)),
        pair.post.blocks[1].register_forward_pre_hook(lambda _m, a: a),
    ]
    try:
        found = CALLS["rollouts.rollouts"](pair)
        assert [type(h).__name__ for h in pair.post.blocks[1]._forward_hooks.values()]
    finally:
        for handle in handles:
            handle.remove()
    assert seen and same(numbers(found), expected)


def test_weights_of_inference_mode_are_refused(pair):
    with torch.inference_mode():
        weight = torch.nn.Parameter(torch.zeros(3))
    model = torch.nn.Module()
    model.weight = weight
    with pytest.raises(SurroundingsError, match="weight"):
        elicit.rollouts.continue_ids(
            model, torch.ones(1, 1), torch.ones(1, 1), max_new_tokens=1, stop_ids=[], pad_id=0
        )
