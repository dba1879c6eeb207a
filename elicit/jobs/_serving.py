"""Options of jobs whose texts and readings an engine can take over."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from elicit.jobs._option import MACHINE, Option
from elicit.jobs._spec import PairSpec

if TYPE_CHECKING:
    from elicit.pair import ModelPair


class ServedSpec(PairSpec):
    """Options of a job that writes texts or reads activations of plain or steered models."""

    engine: Annotated[
        Literal["native", "interp-engine"],
        Option("What writes texts and reads activations: native or interp-engine.", MACHINE),
    ] = "native"
    engine_backend: Annotated[
        Literal["eager", "vllm", "vllm-static"],
        Option("Backend of interp-engine: eager, or vllm and vllm-static on GPUs.", MACHINE),
    ] = "eager"
    engine_gpus: Annotated[int, Option("GPUs over which vLLM splits each model.", MACHINE, "N")] = (
        Field(default=1, ge=1)
    )


@contextmanager
def served_by(spec: PairSpec, pair: "ModelPair") -> Iterator[list[str]]:
    """A block in which the engine of a specification serves both models, with remarks on it.

    Raises:
        EngineError: It is not installed, or does not compute what the models compute.
    """
    if not isinstance(spec, ServedSpec) or spec.engine == "native":
        yield []
        return
    from elicit.capture import served

    with served(pair, backend=spec.engine_backend, n_gpus=spec.engine_gpus) as notes:
        yield notes
