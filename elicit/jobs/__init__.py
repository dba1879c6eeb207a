"""Jobs: everything that a command of `elicit` does, from Python.

`jobs.patch(jobs.PatchSpec(pair="organism:rl", out="run"))` does what `elicit patch` does: it leaves
the page, `summary.json`, `run.yaml` and every result, and returns a `Run`.
"""

from typing import TYPE_CHECKING

from elicit.results import lazily

if TYPE_CHECKING:
    from elicit.jobs._audit.run import audit
    from elicit.jobs._audit.spec import AuditSpec
    from elicit.jobs._exists.run import exists
    from elicit.jobs._exists.spec import ExistsSpec
    from elicit.jobs._faults import parse_yaml
    from elicit.jobs._features.run import features
    from elicit.jobs._features.spec import FeaturesSpec
    from elicit.jobs._forecast import duration
    from elicit.jobs._frame import Run
    from elicit.jobs._graft.run import graft
    from elicit.jobs._graft.spec import GraftSpec
    from elicit.jobs._mechanisms.run import mechanisms
    from elicit.jobs._mechanisms.spec import MechanismsSpec
    from elicit.jobs._option import PANELS, Option
    from elicit.jobs._patch.run import patch
    from elicit.jobs._patch.spec import PatchSpec
    from elicit.jobs._plan.cards import CARDS, Card
    from elicit.jobs._plan.fits import USABLE, Fit
    from elicit.jobs._plan.plan import Plan, Planner, plan
    from elicit.jobs._report.run import report
    from elicit.jobs._report.spec import ReportSpec
    from elicit.jobs._revise.run import revise
    from elicit.jobs._revise.spec import ReviseSpec
    from elicit.jobs._spec import PairSpec, SpecError, read_yaml
    from elicit.jobs._steer.run import steer
    from elicit.jobs._steer.spec import SteerSpec
    from elicit.jobs._trace.run import trace
    from elicit.jobs._trace.spec import TraceSpec
    from elicit.jobs._track import TRACKERS, Tracker, end_tracker, send_summary, tracker_of
    from elicit.jobs.registry import COMMANDS, Command, register

__all__ = [
    "AuditSpec",
    "CARDS",
    "COMMANDS",
    "Card",
    "Command",
    "ExistsSpec",
    "FeaturesSpec",
    "Fit",
    "GraftSpec",
    "MechanismsSpec",
    "Option",
    "PANELS",
    "PairSpec",
    "PatchSpec",
    "Plan",
    "Planner",
    "ReportSpec",
    "ReviseSpec",
    "Run",
    "SpecError",
    "TRACKERS",
    "Tracker",
    "SteerSpec",
    "TraceSpec",
    "USABLE",
    "audit",
    "duration",
    "end_tracker",
    "exists",
    "features",
    "graft",
    "mechanisms",
    "parse_yaml",
    "patch",
    "plan",
    "read_yaml",
    "register",
    "report",
    "revise",
    "send_summary",
    "steer",
    "trace",
    "tracker_of",
]

__getattr__ = lazily(__name__, __file__)
