"""Inputs of a steering job."""

from dataclasses import dataclass

from elicit.jobs._steer.source import Loaded, Looked
from elicit.tasks import Task


@dataclass(frozen=True)
class SteerInputs:
    """Steering vector or SAE, and the problems."""

    task: Task
    loaded: Loaded
    looked: Looked
