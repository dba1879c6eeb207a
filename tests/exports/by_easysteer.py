"""What EasySteer reads and does with it, stated again: vLLM, which it is a fork of, needs a GPU.

Read from ZJU-REAL/EasySteer-vllm-v1 at 6267ca0cfc9c6e93b1427d36b1d655821d6d6f9b (6 August 2026),
the submodule of ZJU-REAL/EasySteer at 312c6d8: `vllm/steer_vectors/api.py` (`SelectSpec`,
`VectorSpec`, `SteeringSpec`), `algorithms/loading.py`, `algorithms/direct.py`,
`algorithms/base.py` (`set_payload`) and `algorithms/clause.py` (`collect_positions_apply_spec`).
Rules for options that no export of ours uses are left out.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, model_validator

Window = tuple[int, int | None] | None


class ApplySpec(BaseModel):
    """Which tokens: each phase is selected by "all" or by its own selectors, or is untouched."""

    model_config = ConfigDict(extra="forbid")
    prompt: Literal["all"] | None = None
    generation: Literal["all"] | None = None
    prompt_tokens: list[int] | None = None
    prompt_positions: list[int] | None = None
    prompt_window: Window = None
    generation_tokens: list[int] | None = None
    generation_positions: list[int] | None = None
    generation_window: Window = None

    @model_validator(mode="after")
    def _validate(self) -> "ApplySpec":
        values = self.model_dump()
        if all(value is None for value in values.values()):
            raise ValueError("the clause selects nothing")
        if [] in values.values() or any(j < 0 for j in self.generation_positions or ()):
            raise ValueError("a selector is empty, or counts generated tokens from their end")
        if self.generation_window is not None:
            start, stop = self.generation_window
            if start < 0 or (stop is not None and stop <= start):
                raise ValueError("generation_window must be half-open with stop > start")
        return self

    def selects(self, n_prompt: int, n_tokens: int) -> torch.Tensor:
        """Mask of a sequence's tokens; the step of generated token j has index j."""
        place = torch.arange(n_tokens)
        decode = place >= n_prompt
        step = place - n_prompt
        mask = torch.zeros(n_tokens, dtype=torch.bool)
        if self.prompt == "all":
            mask |= ~decode
        if self.generation == "all":
            mask |= decode
        for p in self.prompt_positions or ():
            # Below 0 from the prompt's end; positions past it are clamped to its last token.
            mask |= (place == (n_prompt + p if p < 0 else min(n_prompt - 1, p))) & ~decode
        for j in self.generation_positions or ():
            mask |= (step == j) & decode
        if self.generation_window is not None:
            start, stop = self.generation_window
            mask |= decode & (step >= start) & (step < (n_tokens if stop is None else stop))
        return mask


class VectorSpec(BaseModel):
    """One vector."""

    model_config = ConfigDict(extra="forbid")
    source: str | None = None
    data: Any = None
    algorithm: str = "direct"
    scale: float = 1.0
    layers: list[int] | None = None
    normalize: bool = False
    apply: ApplySpec
    params: dict[str, Any] = {}
    name: str | None = None

    @model_validator(mode="after")
    def _validate(self) -> "VectorSpec":
        if self.layers == [] or self.params or self.data is not None:
            raise ValueError("direct has no parameters, a file and one layer or more")
        if self.source is None or "|" in self.source or not self.source.lower().endswith(".gguf"):
            raise ValueError("direct accepts only .gguf sources")
        return self

    def deltas(self) -> dict[int, torch.Tensor]:
        """What is added to the output of each layer, counted from 0."""
        found = read_gguf_directions(Path(str(self.source)))
        wanted = found if self.layers is None else {layer: found[layer] for layer in self.layers}
        return {layer: vector * self.scale for layer, vector in wanted.items()}


class SteeringSpec(BaseModel):
    """Vectors in order."""

    model_config = ConfigDict(extra="forbid")
    vectors: list[VectorSpec]
    conflict: Literal["priority", "sequential", "error"] = "priority"


def read_gguf_directions(path: Path) -> dict[int, torch.Tensor]:
    """Vectors by layer, from tensors called `direction.N`; the file's architecture is not read."""
    import gguf

    found = {}
    for tensor in gguf.GGUFReader(str(path)).tensors:
        if tensor.name.startswith("direction."):
            found[int(tensor.name.split(".")[1])] = torch.from_numpy(
                np.array(tensor.data, copy=True)
            )
    return found
