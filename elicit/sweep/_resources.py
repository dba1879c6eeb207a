"""What Ray sets aside for a run, from its forecast."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elicit.jobs import CARDS, USABLE, PairSpec, Plan

PROCESS = 2 * 2**30
"""Bytes of memory that a process takes beside its models."""
CONTEXT = 1.0
"""GiB of a GPU that a process takes beside what it computes: the driver's context, kernels."""
CPUS = 4
"""Processors for a model that gains from several threads, where a machine has as many."""
_TOGETHER = 8
"""Most runs on one GPU: they take turns, and each needs a processor to feed it."""
_HALF = 0.5
_TYPE = "accelerator_type:"
_MEMORY = {name.replace("GB", "G"): card.memory for name, card in CARDS.items()} | {
    name.partition("-")[0]: card.memory for name, card in reversed(CARDS.items()) if "-" in name
}
"""GiB of a card as Ray calls it; one that names no size has the smallest."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What the machines of a cluster have."""

    gpus: float = 0.0
    """GPUs of all machines."""
    cpus: float = 1.0
    """Processors of the largest machine."""
    memory: float = 0.0
    """Bytes that tasks of the largest machine may set aside."""
    card_gib: float | None = None
    """Memory of its smallest kind of GPU, GiB; None where a kind is not known."""

    @classmethod
    def of(cls, nodes: Iterable[Mapping[str, Any]]) -> "Cluster":
        """Read it from `ray.nodes()`.

        Args:
            nodes: Each with `Alive` and `Resources`.
        """
        has = [node["Resources"] for node in nodes if node.get("Alive", True)]
        kinds = {name.removeprefix(_TYPE) for one in has for name in one if name.startswith(_TYPE)}
        known = [_MEMORY.get(kind) for kind in kinds]
        gib = [each for each in known if each is not None]
        return cls(
            gpus=sum(one.get("GPU", 0.0) for one in has),
            cpus=max((one.get("CPU", 1.0) for one in has), default=1.0),
            memory=max((one.get("memory", 0.0) for one in has), default=0.0),
            card_gib=min(gib) if gib and len(gib) == len(known) else None,
        )


def uses_gpu(spec: PairSpec, cluster: Cluster) -> bool:
    """Whether a run will compute on GPUs: `auto` does where the cluster has any."""
    return spec.device_map is not None or gpus_named(spec, auto=cluster.gpus > 0) > 0


def gpus_named(spec: PairSpec, *, auto: bool = False) -> int:
    """GPUs on which the two models are put by name.

    Args:
        spec: Options of the run.
        auto: Whether `auto` is a GPU.
    """
    first = "cuda:0"
    alike = {"cuda": first, "auto": first if auto else "cpu"}
    names = (spec.device, spec.post_device or spec.device)
    return len({name for name in (alike.get(n, n) for n in names) if name.startswith("cuda")})


def resources(spec: PairSpec, plan: Plan | None, cluster: Cluster) -> dict[str, Any]:
    """Processors, memory and GPUs, or a share of one, that Ray sets aside for a run.

    Without a forecast: one processor; a GPU where the run uses one, else memory for the files of
    models that lie on this machine.

    Args:
        spec: Options of the run.
        plan: Its forecast on the device that it will have; None where there is none.
        cluster: What there is.
    """
    on_gpu, named = uses_gpu(spec, cluster), gpus_named(spec, auto=cluster.gpus > 0)
    if plan is None:
        nbytes = sum(_size(Path(name)) for name in (spec.base, spec.post) if name is not None)
        memory = {"memory": nbytes + PROCESS} if nbytes and not on_gpu else {}
        gpus = {"num_gpus": max(1, named)} if on_gpu else {}
        return {"num_cpus": 1, **gpus, **memory}
    threads = plan.device == "cpu" and not plan.tiny
    needs: dict[str, Any] = {"num_cpus": max(1, min(CPUS, int(cluster.cpus))) if threads else 1}
    if on_gpu:
        needs["num_gpus"] = named if named > 1 else _gpus(spec, plan.device_gib, cluster.card_gib)
    return {**needs, "memory": math.ceil(plan.host_gib * 2**30) + PROCESS}


def _gpus(spec: PairSpec, gib: float, card_gib: float | None) -> float | int:
    """GPUs of a run that needs some GiB, each filled as far as a plan fills it."""
    if card_gib is None:
        return 1
    share = (gib + CONTEXT) / (USABLE * card_gib)
    if spec.device_map is not None:
        return math.ceil(share)
    # A budget is held by measuring the device, which nobody else may use then.
    if share > _HALF or spec.budget is not None:
        return 1
    return max(math.ceil(100 * share) / 100, 1 / _TOGETHER)


def _size(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.glob("*.safetensors")) if folder.is_dir() else 0
