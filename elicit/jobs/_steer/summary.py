"""The JSON summary of a steering run."""

from typing import Any

from elicit.elicitation import DoseCurve, Steered
from elicit.jobs._steer.source import Looked, Source
from elicit.jobs._steer.spec import SteerSpec
from elicit.jobs._summary import finite, row_of
from elicit.page.elicitation import gap_text
from elicit.results import Estimate


def steer_summary(
    spec: SteerSpec, source: Source, looked: Looked, found: Steered
) -> dict[str, object]:
    """Content of `summary.json`: every arm with intervals, and why a gap share is missing."""
    test, choice = found.test, found.choice
    return {
        "steered": {
            "on": spec.on,
            "method": spec.source,
            "name": test.arm[0],
            "site": test.site,
            "where": test.where,
            **row_of(test, "norm resid_norm"),
            **finite(dict(source.facts)),
        },
        "chosen": {
            "strength": choice.strength,
            "by": choice.metric,
            "raised": choice.raised,
            "moved": choice.moved,
            "coherent": choice.coherent,
        },
        "behaviour": looked.name,
        "n_choose": test.n_choose,
        "n_test": test.n_problems,
        "level": test.level,
        "gaps": {
            name: {
                **test.gap[row].to_json(),
                "clear": bool(test.gap.clear[row]),
                "refused": gap_text(test, row),
            }
            for row, name in enumerate(test.metric)
        },
        "strongest_control": test.arm[test.strongest_control],
        "arms": {
            name: {
                "kind": test.kind[i],
                "strength": test.dose(i),
                "rate": _by_metric(test, test.rate[:, i, 0]),
                "effect": _by_metric(test, test.effect[:, i, 0]),
                "share": _by_metric(test, test.share[:, i, 0]),
                **row_of(test, "coherent log_prob truncated n_tokens", i, 0),
            }
            for i, name in enumerate(test.arm)
        },
        "unsteered_coherent": test.unsteered_coherent,
        "unsteered_log_prob": test.unsteered_log_prob,
        "references": {
            name: {
                "rate": _by_metric(test, test.reference_rate[:, i]),
                "share": _by_metric(test, test.reference_share[:, i]),
            }
            for i, name in enumerate(test.reference)
        },
    }


def _by_metric(curve: DoseCurve, values: Estimate) -> dict[str, dict[str, Any] | None]:
    """Value and interval per metric; None where it is not reported."""
    ends = {name: values[row].to_json() for row, name in enumerate(curve.metric)}
    return {name: None if three["value"] is None else three for name, three in ends.items()}
