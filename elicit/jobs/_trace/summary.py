"""Content of `summary.json` for written thoughts: the verdict, then every number."""

from collections.abc import Mapping

from elicit.jobs._summary import finite
from elicit.results import Estimate, Result
from elicit.traces import Measures, Reach, Thoughts
from elicit.verdicts import Scorecard


def trace_summary(
    results: Mapping[str, Result], thoughts: Mapping[str, Thoughts]
) -> dict[str, object]:
    """Content of `summary.json`."""
    card = results["scorecard"]
    assert isinstance(card, Scorecard)
    return {
        "verdict": card.verdict,
        "reason": card.reason,
        "detectable": finite(card.detectable),
        "n_problems": card.n_problems,
        "thoughts": {
            "source": card.source,
            **{
                name: {
                    "n": len(found),
                    "left_out": found.n_left_out,
                    "truncated": sum(item.truncated for item in found.items),
                }
                for name, found in thoughts.items()
            },
        },
        "primaries": {
            name: {
                "unit": card.unit[i],
                **_models(card.value[i]),
                "diff": card.difference[i].to_json(),
                "p": finite(float(card.p[i])),
                "note": card.note[i] or None,
            }
            for i, name in enumerate(card.primary)
        },
        "covariates": {
            name: _models(card.covariate_value[i]) for i, name in enumerate(card.covariate)
        },
        "problems": dict(zip(card.item_verdict, finite(card.item_share.tolist()), strict=True)),
        "reach": _reach(results.get("reach")),
        **{
            name: _measures(found) for name, found in results.items() if isinstance(found, Measures)
        },
    }


def _reach(found: Result | None) -> dict[str, object] | None:
    """pass@k, its floor, and coverage, by k."""
    if not isinstance(found, Reach):
        return None
    parts = {name: getattr(found, name) for name in ("passed", "floor", "above", "verified")}
    return {
        "k": found.k.tolist(),
        "n_samples": found.n_samples,
        "n_solved": found.n_solved,
        **{name: _models(value) for name, value in parts.items()},
        "valid": _models(found.valid),
        "coverage": found.coverage.to_json(),
        "coverage_above": found.coverage_above.to_json(),
        "crossover": finite(found.crossover.to_json()),
    }


def _models(value: Estimate) -> dict[str, object]:
    return {"base": value[0].to_json(), "post": value[1].to_json()}


def _measures(found: Measures) -> dict[str, object]:
    return {
        name: {
            "unit": found.unit[i],
            **_models(found.estimate[i]),
            "diff": found.difference[i].to_json(),
            "median": finite(found.median[i].tolist()),
            "n": found.n[i].tolist(),
        }
        for i, name in enumerate(found.metric)
    }
