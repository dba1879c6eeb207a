"""Numbers of a finished run for an experiment tracker: wandb, trackio, MLflow, or one's own."""

import importlib
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

from elicit.jobs._faults import SpecError
from elicit.jobs._spec import PairSpec

PROJECT = "elicit"
"""Project, or experiment, under which runs are sent."""
_LONGEST = 250


@runtime_checkable
class Tracker(Protocol):
    """Anything that takes numbers by name; a run of wandb or trackio is one."""

    def log(self, data: dict[str, Any]) -> Any:
        """Take numbers by name."""
        ...

    def finish(self) -> Any:
        """End the run there."""
        ...


def numbers_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """Every number of a summary by its place, such as `roles/facts/gap/value`.

    Args:
        summary: Content of `summary.json`.
    """
    found: dict[str, float] = {}
    waiting: list[tuple[str, object]] = [("", summary)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(f"{place}/{name}".strip("/"), inner) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{place}/{i}", inner) for i, inner in enumerate(value)]
        elif isinstance(value, int | float) and math.isfinite(value) and len(place) <= _LONGEST:
            found[place] = float(value)
    return dict(sorted(found.items()))


def tracker_of(name: str, spec: PairSpec) -> Tracker:
    """A run of a tracker, begun with the options of a job.

    Args:
        name: `wandb`, `trackio` or `mlflow`; where it sends is told by its own settings.
        spec: Options of the job.

    Raises:
        SpecError: There is no such tracker, it is not installed, or it cannot be reached.
    """
    if name not in TRACKERS:
        raise SpecError(
            f"track is {name!r}, which is no tracker that is known. Choose one of "
            f"{', '.join(TRACKERS)}."
        )
    config = spec.model_dump(mode="json", exclude={"out", "fresh"}, exclude_defaults=True)
    config["command"] = spec.command
    try:
        return TRACKERS[name](spec.out.name, config)
    except ImportError as error:
        raise SpecError(
            f"track is {name!r}, and the package {name} is not installed, so nothing could be sent "
            f"there. Run: python -m pip install {name}"
        ) from error
    except Exception as error:  # each has errors of its own
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise SpecError(
            f"{name} could not begin a run ({type(error).__name__}: {why}), so nothing could be "
            "sent there. Log in, set it to work offline, or leave track out."
        ) from error


def send_summary(summary: Mapping[str, Any], tracker: Tracker) -> None:
    """Send a summary's numbers and end the tracker's run.

    Args:
        summary: Content of `summary.json`.
        tracker: Where they go.

    Raises:
        SpecError: The tracker did not take them; the run itself is whole.
    """
    try:
        tracker.log(numbers_of(summary))
        tracker.finish()
    except Exception as error:  # each has errors of its own
        end_tracker(tracker)
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise SpecError(
            f"the tracker did not take the numbers ({type(error).__name__}: {why}). The run is "
            "finished and its files are whole; the same command sends them again."
        ) from error


def end_tracker(tracker: Tracker | None) -> None:
    """End a tracker's run whose job failed; whatever that raises hides no error of the job."""
    if tracker is not None:
        with suppress(Exception):
            tracker.finish()


class _Mlflow:
    """A run of MLflow."""

    def __init__(self, name: str, config: Mapping[str, object]) -> None:
        self.mlflow = importlib.import_module("mlflow")
        self.mlflow.set_experiment(PROJECT)
        self.mlflow.start_run(run_name=name)
        self.mlflow.log_params(dict(config))

    def log(self, data: dict[str, Any]) -> None:
        self.mlflow.log_metrics(data)

    def finish(self) -> None:
        self.mlflow.end_run()


def _wandb(name: str, config: dict[str, Any]) -> Tracker:
    return importlib.import_module("wandb").init(project=PROJECT, name=name, config=config)


def _trackio(name: str, config: dict[str, Any]) -> Tracker:
    return importlib.import_module("trackio").init(PROJECT, name=name, config=config)


TRACKERS: dict[str, Callable[[str, dict[str, Any]], Tracker]] = {
    "wandb": _wandb,
    "trackio": _trackio,
    "mlflow": _Mlflow,
}
"""What begins a run of each tracker, by its name; further ones may be added. They are tools of the
user and no dependencies of this package, so they are imported by name."""
