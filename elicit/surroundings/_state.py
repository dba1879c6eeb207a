"""The state of torch around a call: what is neutralised, and what is refused."""

import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from elicit.results import ElicitError


class SurroundingsError(ElicitError):
    """Something around a call would change its numbers and cannot be switched off for it."""


@dataclass(frozen=True)
class _Setting:
    """A setting of the whole process."""

    what: str
    read: Callable[[], Any]
    write: Callable[[Any], None]
    neutral: Any
    """Value inside a call."""
    usual: Any = None
    """Torch's own value where it is another one: nobody set it, so that nothing is said of it."""

    def is_neutral(self, value: Any) -> bool:
        """Whether numbers are as under the neutral value."""
        return value == self.neutral


class _Precision(_Setting):
    """Precision of float32 products, by the old switch and by the one of each backend."""

    def is_neutral(self, value: Any) -> bool:
        """Whether every switch leaves float32 products in float32."""
        return set(value) <= {"highest", "none", "ieee"}


_BACKENDS = [(name, op) for name in ("cuda", "mkldnn") for op in ("all", "matmul")]
_BACKENDS.insert(0, ("generic", "all"))


def _precision() -> tuple[str, ...]:
    by_backend = [torch._C._get_fp32_precision_getter(*each) for each in _BACKENDS]
    try:
        return (torch.get_float32_matmul_precision(), *by_backend)
    except RuntimeError:  # torch refuses to say where the old and the new switches disagree
        return ("highest", *by_backend)


def _set_precision(value: tuple[str, ...]) -> None:
    torch.set_float32_matmul_precision(value[0])
    for backend, precision in zip(_BACKENDS, value[1:], strict=True):
        torch._C._set_fp32_precision_setter(*backend, precision)


def _cudnn_benchmark() -> bool:
    return bool(torch._C._get_cudnn_benchmark())


def _set_cudnn_benchmark(value: bool) -> None:
    # Not through torch.backends, whose attributes may be frozen.
    torch._C._set_cudnn_benchmark(value)


def _flag(name: str) -> _Setting:
    """A switch of `torch.backends.cuda` for one kernel of attention, on by default."""
    cuda: Any = torch.backends.cuda
    return _Setting(
        f"{name} attention switched off",
        getattr(cuda, f"{name}_sdp_enabled"),
        getattr(cuda, f"enable_{name}_sdp"),
        True,
    )


def _reduction(dtype: str) -> _Setting:
    """Whether products in half precision may add up their parts in half precision."""
    internal: Any = torch._C
    name = {"float16": "fp16", "bfloat16": "bf16"}[dtype]
    write = getattr(internal, f"_set_cublas_allow_{name}_reduced_precision_reduction")
    return _Setting(
        f"{dtype} reductions (reduced precision, split)",
        getattr(internal, f"_get_cublas_allow_{name}_reduced_precision_reduction"),
        lambda value: write(*value),
        (False, True),
        usual=(True, True),
    )


_SETTINGS: tuple[_Setting, ...] = (
    _Setting("default dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    _Precision(
        "float32 matmul precision",
        _precision,
        _set_precision,
        ("highest", *["ieee"] * len(_BACKENDS)),
    ),
    _Setting(
        "reduced float16 and bfloat16 attention",
        torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed,
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp,
        False,
    ),
    *map(_reduction, ("float16", "bfloat16")),
    _Setting(
        "float16 accumulation",
        lambda: bool(torch.backends.cuda.matmul.allow_fp16_accumulation),
        # Not through torch.backends, whose attributes may be frozen.
        lambda value: torch._C._set_cublas_allow_fp16_accumulation(value),
        False,
    ),
    *map(_flag, ("flash", "mem_efficient", "math", "cudnn")),
    # It times kernels and keeps the fastest: the same call may then round otherwise tomorrow.
    _Setting("cudnn.benchmark", _cudnn_benchmark, _set_cudnn_benchmark, False),
)


class _Process:
    """Settings of the process, put aside by the first call that is going on, restored by the last.

    They belong to all threads, so a call that ends must not hand them back while another runs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_calls = 0
        self._before: list[tuple[_Setting, Any]] = []
        self._notes: tuple[str, ...] = ()

    @contextmanager
    def neutral(self) -> Iterator[tuple[str, ...]]:
        """Neutral settings for one block; yields a clause for each that was not."""
        with self._lock:
            if not self._n_calls:
                found = [(setting, setting.read()) for setting in _SETTINGS]
                self._before = [each for each in found if not each[0].is_neutral(each[1])]
                self._notes = tuple(
                    _told(*each) for each in self._before if each[1] != each[0].usual
                )
                for setting, _ in self._before:
                    setting.write(setting.neutral)
            self._n_calls += 1
        try:
            yield self._notes
        finally:
            with self._lock:
                self._n_calls -= 1
                if not self._n_calls:
                    for setting, value in self._before:
                        setting.write(value)


_process = _Process()


def _told(setting: _Setting, value: Any) -> str:
    if isinstance(setting, _Precision):
        return f"{setting.what} {', '.join(sorted(set(value) - {'none', 'ieee', 'highest'}))}"
    return setting.what if isinstance(value, bool) else f"{setting.what} {value}"


@contextmanager
def neutral() -> Iterator[tuple[str, ...]]:
    """Run a block in torch's default state, whatever the caller's is.

    Yields:
        A clause for each thing that was switched off.

    Raises:
        SurroundingsError: A mode or hook is active that sees every operation, or a gradient
            transform of `torch.func`.
    """
    _refuse_modes()
    with ExitStack() as stack:
        notes: list[str] = []
        for kind in _device_types():
            if torch.is_autocast_enabled(kind):
                dtype = str(torch.get_autocast_dtype(kind)).removeprefix("torch.")
                notes.append(f"autocast of {kind} to {dtype}")
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.is_inference_mode_enabled():
            # Tensors of inference mode can never be part of a gradient, also in later calls.
            notes.append("inference mode")
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
        device = torch.get_default_device()
        if device.type != "cpu":
            notes.append(f"default device {device}")
            stack.enter_context(torch.device("cpu"))
        notes += stack.enter_context(_process.neutral())
        stack.enter_context(_same_random_state())
        if torch.are_deterministic_algorithms_enabled():
            notes.append("deterministic algorithms (kept)")
        yield tuple(notes)


def forget_casts() -> None:
    """Make autocast cast weights anew: it keeps copies by parameter, whose values are swapped."""
    torch.clear_autocast_cache()


def _device_types() -> tuple[str, ...]:
    return "cpu", "cuda", "mps", "xpu"


def _refuse_modes() -> None:
    """Refuse whatever sees and may change every operation."""
    from torch.overrides import _get_current_function_mode_stack
    from torch.utils._device import DeviceContext
    from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

    modes = [*_get_current_function_mode_stack(), *_get_current_dispatch_mode_stack()]
    for mode in modes:
        counts = type(mode).__module__ == "torch.utils.flop_counter"
        if not isinstance(mode, DeviceContext) and not counts:
            raise _around(f"the mode {type(mode).__name__} is active, which sees every operation")
    internal: Any = torch._C  # its parts are not declared
    if internal._functorch.peek_interpreter_stack() is not None:
        raise _around("a transform of torch.func (grad, vmap, ...) is active")
    if internal._autograd._top_saved_tensors_default_hooks(False) is not None:
        raise _around("hooks on saved tensors are active, which see every gradient")


def _around(what: str) -> SurroundingsError:
    return SurroundingsError(
        f"{what} and may change it, so the number would not be the model's. Make this call outside "
        "of that block."
    )


@contextmanager
def _same_random_state() -> Iterator[None]:
    """Leave the global generators as they were: every random choice here has its own seed."""
    states: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
        (torch.get_rng_state, torch.set_rng_state),
        (random.getstate, random.setstate),
    ]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states.append((torch.cuda.get_rng_state_all, torch.cuda.set_rng_state_all))
    if "numpy" in sys.modules:
        numpy_random = sys.modules["numpy"].random
        states.append((numpy_random.get_state, numpy_random.set_state))
    kept = [partial(write, read()) for read, write in states]
    with ExitStack() as stack:
        for restore in kept:
            stack.callback(restore)
        yield
