"""The runs of a study as tasks of Ray, each with the processors and memory that it needs."""

import importlib
import os
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from elicit.jobs import Plan, Planner
from elicit.sweep._one import Done, options_of
from elicit.sweep._resources import Cluster, resources, uses_gpu
from elicit.sweep.at_url import execute
from elicit.sweep.errors import SweepError
from elicit.sweep.study import Planned

RETRIES = 3
"""Times that a run whose worker was lost begins again; it goes on where it stopped."""
_ANSWERS = 10.0
"""Seconds in which the head of a cluster takes a connection."""


class NoForecastWarning(UserWarning):
    """What a run needs could not be forecast."""


def on_ray(
    runs: Sequence[Planned], *, fresh: bool, address: str, url: str | None = None
) -> Iterator[Done]:
    """Execute runs as Ray tasks, and yield each as it ends.

    Args:
        runs: The runs.
        fresh: Whether each begins anew.
        address: `local`, `auto`, or the address of a cluster.
        url: Of the study, where it is in no folder.

    Raises:
        SweepError: Ray is not installed, or there is no cluster at the address.
    """
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        _connect(ray, address)
    try:
        work = ray.remote(max_retries=RETRIES)(_work)
        cluster, planner, tasks = Cluster.of(ray.nodes()), Planner(), {}
        for run in runs:
            needs = resources(run.spec, _planned(planner, run, cluster), cluster)
            # Nodes may join a cluster; what this machine alone has not would be waited for forever.
            lacking = _lacking(needs, cluster) if address == "local" else ""
            if lacking:
                yield Done(name=run.name, digest=run.digest, status="failed", why=lacking)
                continue
            task = work.options(name=run.name, **needs).remote(
                run.command, options_of(run, fresh), run.name, url
            )
            tasks[task] = run
        waiting = list(tasks)
        while waiting:
            ready, waiting = ray.wait(waiting, num_returns=1)
            for task in ready:
                yield _ended(ray, task, tasks[task])
    finally:
        if started:
            ray.shutdown()


def _planned(planner: Planner, run: Planned, cluster: Cluster) -> Plan | None:
    """The forecast of a run on the device that it will have; where there is none, that is said."""
    device = run.spec.device
    if device == "auto":
        device = "cuda" if uses_gpu(run.spec, cluster) else "cpu"
    try:
        return planner.plan(run.spec.model_copy(update={"device": device}))
    except Exception as error:
        # The run itself says it better, and a missing forecast must not stop the study.
        why = " ".join(str(error).split())[:300] or type(error).__name__
        warnings.warn(
            f"{run.name} has no forecast ({why}), so what Ray sets aside for it is a guess: one "
            "processor, and one GPU or memory for the files of its models.",
            NoForecastWarning,
            stacklevel=2,
        )
        return None


def _lacking(needs: Mapping[str, Any], has: Cluster) -> str:
    """Why a machine can never run it; empty if it can."""
    memory, there = needs.get("memory", 0) / 2**30, has.memory / 2**30
    gpus = needs.get("num_gpus", 0)
    if gpus > has.gpus:
        many = (
            "a GPU and Ray finds none" if not has.gpus else f"{gpus} GPUs and Ray has {has.gpus:g}"
        )
        return f"it asks for {many} here. Set device: cpu, or join a cluster."
    if memory > there:
        return (
            f"it sets {memory:.3g} GiB aside and Ray has {there:.3g} GiB here. Leave --ray out, or "
            "join a larger cluster."
        )
    return ""


def _work(command: str, options: dict[str, object], name: str, url: str | None) -> Done:
    """What a worker does."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return execute(command, options, name, url)


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
