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
from elicit.jobs._summary import finite, row_of
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
            side: row_of(gate, "fvu l0 dead_fraction ce_recovered n_tokens n_outliers n_problems")
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
        one = row_of(conclusion, "found_by kept holds", index)
        one["injection_verdict"] = conclusion.injection[index] or None
        one["resampling_verdict"] = conclusion.resampling[index] or None
        if held is not None:
            i = held.feature.tolist().index(feature)
            one |= row_of(held, "difference control_difference auroc control_auroc p", i)
        if injection is not None and feature in injection.feature.tolist():
            i = injection.feature.tolist().index(feature)
            one |= {
                "tokens": injection.tokens[i],
                "largest_share": finite(injection.transfer[i].nan_to_num(-math.inf).max().item()),
                "largest_d": finite(injection.d[i].max().item()),
                "largest_control_d": finite(injection.control_d[i].max().item()),
            }
        if resampling is not None:
            i = resampling.feature.tolist().index(feature)
            one["recurrence"] = {
                arm: resampling.rate[i, j].to_json() for j, arm in enumerate(resampling.arm)
            }
            one["recurrence_problems"] = int(resampling.n_problems[i])
        if table is not None:
            i = table.feature.tolist().index(feature)
            one |= {**row_of(table, "density max_act", i), "link": table.link[i] or None}
        if scaling is not None:
            one["base_over_post"] = {
                target: finite(scaling.ratio[feature, j].item())
                for j, target in enumerate(scaling.target)
            }
        result[str(feature)] = one
    return result


def _transfer(found: Transfer | None) -> dict[str, object] | None:
    if found is None:
        return None
    fields = "fvu delta_fvu ce_recovered l0_ratio dead_fraction"
    return {reading: row_of(found, fields, i) for i, reading in enumerate(found.reading)}
