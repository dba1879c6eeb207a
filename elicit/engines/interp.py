"""interp-engine: texts and activations under standard addresses, in this process or on vLLM.

Source: https://github.com/decoderesearch/interp-engine (Apache-2.0); tested versions are in
docs/engines.md.
"""

import copy
import importlib.metadata
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.engines.errors import EngineError
from elicit.engines.pushes import KINDS, Push
from elicit.engines.values import Draws
from elicit.pair import Bridge, Tokenizer, hugging_face_model, parameter_groups
from elicit.sites import Site

Backend = Literal["eager", "vllm", "vllm-static"]
"""Backends that write and read; `eager` runs anywhere, the others need CUDA."""
_AFTER_NORM = ("attn_out", "mlp_out")
"""What is added to the residual stream has an address of its own where a norm follows."""


class InterpEngine:
    """A model behind interp-engine's addresses."""

    def __init__(self, model: Any, backend: str) -> None:
        """Hold a model that `interp_engine.load_model` or `EagerModel` made."""
        self._model = model
        self.backend = backend
        self.version = importlib.metadata.version("interp-engine")

    @property
    def name(self) -> str:
        """Library, version and backend."""
        return f"interp-engine {self.version} ({self.backend})"

    def refuses(self, site: Site) -> str | None:
        """Why a site cannot be read or written; None if it can."""
        if site.kind not in KINDS or site.head is not None:
            return f"{site} is no residual stream, attention output or MLP output"
        said = self._model.refuses(self._address(site))
        return None if said is None else str(said)

    def write(self, ids: Sequence[int], draws: Draws, push: Push | None) -> list[int]:
        """Tokens after `ids`, the stop token included."""
        from interp_engine import generate_stream  # pyright: ignore[reportMissingImports]

        written: list[int] = []
        # The sampler seeds torch's global generator, which stays as it was.
        with torch.random.fork_rng(devices=[]), self._pushed(ids, push), ExitStack() as closing:
            steps = generate_stream(
                self._model,
                list(ids),
                max_tokens=draws.max_new_tokens,
                temperature=draws.temperature,
                top_k=0,
                top_p=draws.top_p,
                presence_penalty=0.0,
                stop_at_eos=False,
                seed=draws.seed % 2**63,
            )
            closing.callback(steps.close)
            for step in steps:
                written.append(step.token_id)
                if step.token_id in draws.stop_ids:
                    break
        return written

    def read(
        self, ids: Sequence[int], sites: Sequence[Site], push: Push | None
    ) -> Mapping[Site, Float[Tensor, "pos d_model"]]:
        """Activations of one row."""
        from interp_engine import capture  # pyright: ignore[reportMissingImports]

        places = {site: self._address(site) for site in sites}
        with torch.no_grad(), self._pushed(ids, push):
            cache = capture(self._model, list(ids), list(places.values()))
        return {site: cache[place][0] for site, place in places.items()}

    def _address(self, site: Site) -> Any:
        from interp_engine import Address  # pyright: ignore[reportMissingImports]

        if site.kind in _AFTER_NORM:
            after = Address(f"{site.kind}_post", site.layer)
            if self._model.serves(after):
                return after
        return Address(site.kind, site.layer)

    @contextmanager
    def _pushed(self, ids: Sequence[int], push: Push | None) -> Iterator[None]:
        if push is None or not push.steps:
            yield
            return
        from interp_engine import (  # pyright: ignore[reportMissingImports]
            AddSpec,
            OrthogonalDecompSpec,
            SteeringSpec,
            steer,
        )

        specs = [
            SteeringSpec.at(
                self._address(step.site),
                AddSpec(vector=step.vector, scale=step.amount)
                if step.how == "add"
                else OrthogonalDecompSpec(vector=step.vector, coeff=step.amount),
            )
            for step in push.steps
        ]
        with steer(
            self._model,
            specs,
            prompt_token_ids=torch.tensor([list(ids)]),
            position_mask=list(push.excluded) or None,
            generated=push.generated,
        ):
            yield


def open_interp_engine(
    bridge: Bridge,
    tokenizer: Tokenizer,
    name: str,
    *,
    backend: Backend = "eager",
    n_gpus: int = 1,
) -> InterpEngine:
    """interp-engine for a model that is loaded here.

    `eager` shares the weights of the bridge, so that the model is in memory once, adapters merged
    into it included. The vLLM backends load the checkpoint again, on their own GPUs.

    Args:
        bridge: The model.
        tokenizer: Its own tokenizer.
        name: Directory or hub id, for backends that load it themselves.
        backend: interp-engine's backend.
        n_gpus: GPUs over which vLLM splits the model.

    Raises:
        EngineError: interp-engine or its backend is not installed, or does not know the model.
    """
    if importlib.util.find_spec("interp_engine") is None:
        raise EngineError(
            "the engine interp-engine is not installed, so it can neither write nor read. Install "
            "it with pip install 'elicit-interp[serve]', or pass engine='native'."
        )
    from interp_engine import EagerModel, load_model  # pyright: ignore[reportMissingImports]

    try:
        if backend == "eager":
            plain = _sharing(bridge, name)
            model = EagerModel(name, tokenizer=tokenizer, hf_model=plain)
        else:
            dtype = str(next(bridge.parameters()).dtype).removeprefix("torch.")
            model = load_model(name, backend=backend, dtype=dtype, num_gpus=n_gpus)
    except (ImportError, RuntimeError, ValueError, OSError, KeyError, AttributeError) as error:
        why = " ".join(str(error).split())[:300]
        raise EngineError(
            f"interp-engine's backend {backend!r} cannot open {name} ({type(error).__name__}: "
            f"{why}), so nothing was run. Pass engine='native', or another engine_backend."
        ) from error
    return InterpEngine(model, backend)


def _sharing(bridge: Bridge, name: str) -> torch.nn.Module:
    """A plain model on the storage of a bridge's weights.

    Raises:
        EngineError: A weight is not in this process's memory.
    """
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    whole = hugging_face_model(bridge)
    config: Any = copy.deepcopy(whole.config)
    groups = parameter_groups(bridge)
    dtype = next(iter(groups.values())).canonical.dtype
    with init_empty_weights(include_buffers=False):
        plain = AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=config._attn_implementation
        )
    state = {
        each: torch.nn.Parameter(group.canonical.data, requires_grad=False)
        for first, group in groups.items()
        for each in (first, *group.aliases)
    }
    plain.load_state_dict(state, strict=False, assign=True)
    plain.tie_weights()
    empty = [each for each, part in plain.named_parameters() if part.is_meta]
    if empty:
        raise EngineError(
            f"{empty[0]} of {name} ({len(empty)} such tensors) is not in memory, so interp-engine "
            "could not compute with it. Load the model without offloading, or pass engine='native'."
        )
    return plain.to(next(iter(groups.values())).canonical.device).eval()
