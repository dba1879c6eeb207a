"""Jobs: everything that a command of `elicit` does, from Python.

`jobs.patch(jobs.PatchSpec(pair="organism:rl", out="run"))` does what `elicit patch` does: it leaves
the page, `summary.json`, `run.yaml` and every result, and returns a `Run`.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elicit.jobs._exists.run import exists
    from elicit.jobs._exists.spec import ExistsSpec
    from elicit.jobs._features.run import features
    from elicit.jobs._features.spec import FeaturesSpec
    from elicit.jobs._frame import Run
    from elicit.jobs._graft.run import graft
    from elicit.jobs._graft.spec import GraftSpec
    from elicit.jobs._option import PANELS, Option
    from elicit.jobs._patch.run import patch
    from elicit.jobs._patch.spec import PatchSpec
    from elicit.jobs._report.run import report
    from elicit.jobs._report.spec import ReportSpec
    from elicit.jobs._revise.run import revise
    from elicit.jobs._revise.spec import ReviseSpec
    from elicit.jobs._spec import PairSpec, SpecError, read_yaml
    from elicit.jobs._steer.run import steer
    from elicit.jobs._steer.spec import SteerSpec
    from elicit.jobs.registry import COMMANDS, Command, register

_HOMES = {
    "COMMANDS": "registry",
    "Command": "registry",
    "ExistsSpec": "_exists.spec",
    "FeaturesSpec": "_features.spec",
    "GraftSpec": "_graft.spec",
    "Option": "_option",
    "PANELS": "_option",
    "PairSpec": "_spec",
    "PatchSpec": "_patch.spec",
    "ReportSpec": "_report.spec",
    "ReviseSpec": "_revise.spec",
    "Run": "_frame",
    "SpecError": "_spec",
    "SteerSpec": "_steer.spec",
    "exists": "_exists.run",
    "features": "_features.run",
    "graft": "_graft.run",
    "patch": "_patch.run",
    "read_yaml": "_spec",
    "register": "registry",
    "report": "_report.run",
    "revise": "_revise.run",
    "steer": "_steer.run",
}
__all__ = [
    "COMMANDS",
    "Command",
    "ExistsSpec",
    "FeaturesSpec",
    "GraftSpec",
    "Option",
    "PANELS",
    "PairSpec",
    "PatchSpec",
    "ReportSpec",
    "ReviseSpec",
    "Run",
    "SpecError",
    "SteerSpec",
    "exists",
    "features",
    "graft",
    "patch",
    "read_yaml",
    "register",
    "report",
    "revise",
    "steer",
]


def __getattr__(name: str) -> object:
    """Import the module that defines `name` on first access."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
