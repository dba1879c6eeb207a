"""A run about features as `summary.json` holds it."""

import math
from collections.abc import Mapping
from typing import TypeVar

from elicit.features import (
    Conclusion,
    FeatureTable,
    Fidelity,
    HeldOut,
    LatentScaling,
    Regeneration,
    Sae,
    TokenInjection,
    Transfer,
)
from elicit.features.reading import TRAINED_ON
from elicit.results import Result

R = TypeVar("R", bound=Result)


def features_summary(sae: Sae, results: Mapping[str, Result], *, on: str) -> dict[str, object]:
    """What a script needs of a run.

    Args:
        sae: The dictionary.
        results: Everything that was measured.
        on: Side of the pair whose features were searched.
    """
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
        "on": on,
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
        "kept": list(conclusion.stays),
        "transfer": _transfer(_of(results, "transfer", Transfer)),
    }


def _of(results: Mapping[str, Result], name: str, kind: type[R]) -> R | None:
    found = results.get(name)
    return found if isinstance(found, kind) else None


def _gate(gate: Fidelity) -> dict[str, object]:
    return {
        "fvu": told(gate.fvu, gate.fvu_low, gate.fvu_high),
        "l0": told(gate.l0, gate.l0_low, gate.l0_high),
        "dead_fraction": gate.dead_fraction,
        "ce_recovered": told(gate.ce_recovered, gate.ce_recovered_low, gate.ce_recovered_high),
        "n_tokens": gate.n_tokens,
        "n_outliers": gate.n_outliers,
        "n_problems": gate.n_problems,
    }


def _candidates(
    conclusion: Conclusion, results: Mapping[str, Result]
) -> dict[str, dict[str, object]]:
    held = _of(results, "held-out", HeldOut)
    injection = _of(results, "injection", TokenInjection)
    again = _of(results, "regeneration", Regeneration)
    table = _of(results, "table", FeatureTable)
    scaling = _of(results, "scaling", LatentScaling)
    found: dict[str, dict[str, object]] = {}
    for place, feature in enumerate(conclusion.feature.tolist()):
        one: dict[str, object] = {
            "found_by": conclusion.found_by[place],
            "kept": bool(conclusion.kept[place]),
            "holds": bool(conclusion.holds[place]),
            "tokens_verdict": conclusion.tokens[place] or None,
            "again_verdict": conclusion.again[place] or None,
        }
        if held is not None:
            i = held.feature.tolist().index(feature)
            one |= {
                "difference": _told_at(held, "difference", i),
                "control_difference": _told_at(held, "control_difference", i),
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
        if again is not None:
            i = again.feature.tolist().index(feature)
            one["again"] = {arm: _told_at(again, "again", i, j) for j, arm in enumerate(again.arm)}
            one["again_problems"] = int(again.n_problems[i])
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
        found[str(feature)] = one
    return found


def _transfer(found: Transfer | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {
        reading: {
            "fvu": _told_at(found, "fvu", i),
            "delta_fvu": _told_at(found, "delta_fvu", i),
            "ce_recovered": _told_at(found, "ce_recovered", i),
            "l0_ratio": plain(found.l0_ratio[i].item()),
            "dead_fraction": plain(found.dead_fraction[i].item()),
        }
        for i, reading in enumerate(found.reading)
    }


def _told_at(found: Result, name: str, *cell: int) -> dict[str, float | None]:
    value, low, high = (
        getattr(found, f"{name}{end}")[cell].item() for end in ("", "_low", "_high")
    )
    return told(value, low, high)


def told(value: float, low: float, high: float) -> dict[str, float | None]:
    """A value with its ends as JSON carries them.

    Args:
        value: The value.
        low: Lower end.
        high: Upper end.
    """
    return {"value": plain(value), "low": plain(low), "high": plain(high)}


def plain(value: float) -> float | None:
    """A number as JSON carries it; None for what is no number, or is infinite.

    Args:
        value: Any float.
    """
    return value if math.isfinite(value) else None
