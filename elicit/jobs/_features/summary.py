"""The `summary.json` of a features run."""

import math
from collections.abc import Mapping
from typing import TypeVar

from elicit.features import (
    TRAINED_ON,
    Conclusion,
    FeatureTable,
    Fidelity,
    HeldOut,
    LatentScaling,
    ResamplingStability,
    Sae,
    TokenInjection,
    Transfer,
)
from elicit.results import Result

R = TypeVar("R", bound=Result)


def features_summary(sae: Sae, results: Mapping[str, Result], *, model: str) -> dict[str, object]:
    """Summary of a run, for scripts."""
    conclusion = results["conclusion"]
    assert isinstance(conclusion, Conclusion)
    return {
        "sae": {
            "source": sae.name,
            "digest": sae.digest,
            "site": str(sae.site),
            "architecture": sae.architecture,
            "d_sae": sae.d_sae,
            "trained_on": sae.metadata.get(TRAINED_ON),
            "published": {
                "fvu": sae.published.fvu,
                "l0": sae.published.l0,
                "dead_fraction": sae.published.dead_fraction,
            },
        },
        "model": model,
        "n_choose": conclusion.n_choose,
        "n_test": conclusion.n_test,
        "faithful": not conclusion.failed,
        "failed": list(conclusion.failed),
        "gates": {
            side: _gate(gate)
            for side in ("base", "post")
            if (gate := _of(results, f"fidelity-{side}", Fidelity)) is not None
        },
        "candidates": _candidates(conclusion, results),
        "kept": list(conclusion.survivors),
        "transfer": _transfer(_of(results, "transfer", Transfer)),
    }


def _of(results: Mapping[str, Result], name: str, kind: type[R]) -> R | None:
    result = results.get(name)
    return result if isinstance(result, kind) else None


def _gate(gate: Fidelity) -> dict[str, object]:
    return {
        "fvu": gate.fvu.to_json(),
        "l0": gate.l0.to_json(),
        "dead_fraction": gate.dead_fraction,
        "ce_recovered": gate.ce_recovered.to_json(),
        "n_tokens": gate.n_tokens,
        "n_outliers": gate.n_outliers,
        "n_problems": gate.n_problems,
    }


def _candidates(
    conclusion: Conclusion, results: Mapping[str, Result]
) -> dict[str, dict[str, object]]:
    held = _of(results, "held-out", HeldOut)
    injection = _of(results, "injection", TokenInjection)
    resampling = _of(results, "resampling", ResamplingStability)
    table = _of(results, "table", FeatureTable)
    scaling = _of(results, "scaling", LatentScaling)
    result: dict[str, dict[str, object]] = {}
    for index, feature in enumerate(conclusion.feature.tolist()):
        one: dict[str, object] = {
            "found_by": conclusion.found_by[index],
            "kept": bool(conclusion.kept[index]),
            "holds": bool(conclusion.holds[index]),
            "injection_verdict": conclusion.injection[index] or None,
            "resampling_verdict": conclusion.resampling[index] or None,
        }
        if held is not None:
            i = held.feature.tolist().index(feature)
            one |= {
                "difference": held.difference[i].to_json(),
                "control_difference": held.control_difference[i].to_json(),
                "auroc": plain(held.auroc[i].item()),
                "control_auroc": plain(held.control_auroc[i].item()),
                "p": plain(held.p[i].item()),
            }
        if injection is not None and feature in injection.feature.tolist():
            i = injection.feature.tolist().index(feature)
            one |= {
                "tokens": injection.tokens[i],
                "largest_share": plain(injection.transfer[i].nan_to_num(-math.inf).max().item()),
                "largest_d": plain(injection.d[i].max().item()),
                "largest_control_d": plain(injection.control_d[i].max().item()),
            }
        if resampling is not None:
            i = resampling.feature.tolist().index(feature)
            one["recurrence"] = {
                arm: resampling.rate[i, j].to_json() for j, arm in enumerate(resampling.arm)
            }
            one["recurrence_problems"] = int(resampling.n_problems[i])
        if table is not None:
            i = table.feature.tolist().index(feature)
            one |= {
                "density": plain(table.density[i].item()),
                "max_act": plain(table.max_act[i].item()),
                "link": table.link[i] or None,
            }
        if scaling is not None:
            one["base_over_post"] = {
                target: plain(scaling.ratio[feature, j].item())
                for j, target in enumerate(scaling.target)
            }
        result[str(feature)] = one
    return result


def _transfer(found: Transfer | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {
        reading: {
            "fvu": found.fvu[i].to_json(),
            "delta_fvu": found.delta_fvu[i].to_json(),
            "ce_recovered": found.ce_recovered[i].to_json(),
            "l0_ratio": plain(found.l0_ratio[i].item()),
            "dead_fraction": plain(found.dead_fraction[i].item()),
        }
        for i, reading in enumerate(found.reading)
    }


def plain(value: float) -> float | None:
    """A number for JSON; None if it is NaN or infinite."""
    return value if math.isfinite(value) else None
