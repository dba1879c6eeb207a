"""The runs of a study as tasks of Ray, each with the processors and memory that it needs."""

import importlib
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from elicit.jobs import PairSpec
from elicit.sweep._one import Done, execute_one
from elicit.sweep.errors import SweepError
from elicit.sweep.study import Planned

RETRIES = 3
"""Times that a run whose worker was lost begins again; it goes on where it stopped."""
_ANSWERS = 10.0
"""Seconds in which the head of a cluster takes a connection."""
_OVERHEAD = 2 * 2**30
"""Bytes that a process takes beside its models."""


def on_ray(runs: Sequence[Planned], *, fresh: bool, address: str) -> Iterator[Done]:
    """Execute runs as Ray tasks, and yield each as it ends.

    Args:
        runs: The runs.
        fresh: Whether each begins anew.
        address: `local`, `auto`, or the address of a cluster.

    Raises:
        SweepError: Ray is not installed, or there is no cluster at the address.
    """
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        _connect(ray, address)
    try:
        work = ray.remote(max_retries=RETRIES)(_work)
        has, tasks = ray.cluster_resources(), {}
        for run in runs:
            needs = resources(run.spec, gpus=bool(has.get("GPU")))
            # Nodes may join a cluster; what this machine alone has not would be waited for forever.
            lacking = _lacking(needs, has) if address == "local" else ""
            if lacking:
                yield Done(name=run.name, digest=run.digest, status="failed", why=lacking)
                continue
            options = {**run.spec.model_dump(mode="json", exclude_unset=True), "fresh": fresh}
            task = work.options(name=run.name, **needs).remote(run.command, options, run.name)
            tasks[task] = run
        waiting = list(tasks)
        while waiting:
            ready, waiting = ray.wait(waiting, num_returns=1)
            for task in ready:
                yield _ended(ray, task, tasks[task])
    finally:
        if started:
            ray.shutdown()


def resources(spec: PairSpec, *, gpus: bool = False) -> dict[str, Any]:
    """Processors and memory that Ray sets aside for a run.

    A model that lies on this machine counts with the size of its files, for base and post alike.

    Args:
        spec: Options of the run.
        gpus: Whether the cluster has GPUs, of which `auto` then takes one; a pair on two devices
            takes two.
    """
    needs: dict[str, Any] = {"num_cpus": 1}
    named = {spec.device, spec.post_device or spec.device}
    n_gpus = sum(name.startswith("cuda") or (gpus and name == "auto") for name in named)
    n_gpus = n_gpus or int(spec.device_map is not None)
    if n_gpus:
        needs["num_gpus"] = n_gpus
    nbytes = sum(_size(Path(name)) for name in (spec.base, spec.post) if name is not None)
    if nbytes and not n_gpus:
        needs["memory"] = nbytes + _OVERHEAD
    return needs


def _lacking(needs: Mapping[str, Any], has: Mapping[str, float]) -> str:
    """Why a machine can never run it; empty if it can."""
    memory = needs.get("memory", 0) / 2**30
    if needs.get("num_gpus", 0) > has.get("GPU", 0):
        return "it asks for a GPU and Ray finds none here. Set device: cpu, or join a cluster."
    if memory > has.get("memory", 0) / 2**30:
        return (
            f"it sets {memory:.3g} GiB aside and Ray has {has.get('memory', 0) / 2**30:.3g} GiB "
            "here. Leave --ray out, or join a larger cluster."
        )
    return ""


def _work(command: str, options: dict[str, object], name: str) -> Done:
    """What a worker does."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return execute_one(command, options, name)


def _ended(ray: Any, task: Any, run: Planned) -> Done:
    try:
        return ray.get(task)
    except ray.exceptions.RayError as error:
        what = " ".join(str(error).split())[:200]
        why = (
            f"Ray lost it ({type(error).__name__}: {what}), and it was begun again up to {RETRIES} "
            "times. What it had finished is kept: run the study again to go on."
        )
        return Done(name=run.name, digest=run.digest, status="failed", why=why)


def _ray() -> Any:
    try:
        importlib.import_module("ray.exceptions")
        return importlib.import_module("ray")
    except ImportError as error:
        raise SweepError(
            "Ray is not installed, so runs cannot be spread over machines. Install it with `pip "
            "install 'elicit-interp[ray]'`, or leave --ray out to run here, one after the other."
        ) from error


def _connect(ray: Any, address: str) -> None:
    where = None if address == "local" else address
    try:
        # Ray itself asks a silent address again and again for minutes.
        _reach(address)
        ray.init(
            address="local" if where is None else where,
            include_dashboard=False if where is None else None,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (OSError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())[:200]
        raise SweepError(
            f"there is no Ray cluster at {address!r} ({why}), so nothing was run. Start one with "
            "`ray start --head`, pass its address, or pass --ray local."
        ) from error


def _reach(address: str) -> None:
    """Open a connection to HOST:PORT, with or without `ray://` before it, and close it."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWERS).close()


def _size(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.glob("*.safetensors")) if folder.is_dir() else 0
