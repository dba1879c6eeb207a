"""Content of `summary.json`: verdicts first, then every number behind them."""

import math
from collections.abc import Sequence

from elicit.grafting import Attribution, WeightIG
from elicit.results import Result
from elicit.weights import WeightChange
from elicit.weights.figures import by_layer


def summarise(results: dict[str, Result]) -> dict[str, object]:
    """Content of `summary.json`: verdicts first, then every number behind them."""
    attribution, change = results["attribution"], results["weights"]
    assert isinstance(attribution, Attribution)
    assert isinstance(change, WeightChange)
    integrated = results.get("integrated")
    tasks = [_task(attribution, t) for t in range(len(attribution.task))]
    parts = [_part(attribution, change, integrated, p) for p in range(len(attribution.part))]
    return _finite(
        {
            "changed_layers": list(attribution.changed_layers),
            "corrupted_layers": list(attribution.corrupted_layers),
            "skill_layers": list(attribution.skill_layers),
            "damage": _of_role(tasks, "damage"),
            "skill": _of_role(tasks, "skill"),
            "tasks": tasks,
            "layers": [part for part in parts if part["kind"] == "layer"],
            "parts": [part for part in parts if part["kind"] != "layer"],
            "level": attribution.level,
            "margin": attribution.margin,
            "share_margin": attribution.share_margin,
        }
    )  # pyright: ignore[reportReturnType]


def _of_role(tasks: Sequence[dict[str, object]], role: str) -> dict[str, object] | None:
    """The task of a role with the widest gap, if there is one."""
    own = [task for task in tasks if task["role"] == role]
    return max(own, key=lambda task: abs(task["gap"]["value"]), default=None)  # pyright: ignore[reportIndexIssue, reportArgumentType]


def _task(a: Attribution, t: int) -> dict[str, object]:
    return {
        "name": a.task[t],
        "role": a.role[t],
        "unit": a.unit[t],
        "n": int(a.n_problems[t]),
        "base": a.base_score[t].item(),
        "post": a.post_score[t].item(),
        "gap": {"value": a.gap[t].item(), "low": a.gap_low[t].item(), "high": a.gap_high[t].item()},
    }


def _part(
    a: Attribution, change: WeightChange, integrated: Result | None, p: int
) -> dict[str, object]:
    effects: dict[str, object] = {}
    for t, task in enumerate(a.task):
        effects[task] = {
            name: {
                end or "value": getattr(a, f"{name}_{end}" if end else name)[t, p].item()
                for end in ("", "low", "high")
            }
            for name in ("revert", "graft", "control_revert", "control_graft")
        }
        if (
            isinstance(integrated, WeightIG)
            and task in integrated.task
            and a.part[p] in integrated.part
        ):
            row, column = integrated.task.index(task), integrated.part.index(a.part[p])
            effects[task]["integrated"] = integrated.attribution[row, column].item()  # pyright: ignore[reportIndexIssue]
    own: dict[str, object] = {
        "part": a.part[p],
        "kind": a.kind[p],
        "verdict": a.verdict[p],
        "changed": bool(a.changed[p]),
    }
    if a.kind[p] == "layer":
        norms = by_layer(change)
        row = norms.layer.tolist().index(int(a.layer[p]))
        own |= {
            "layer": int(a.layer[p]),
            "relative_norm": norms.relative_norm[row].item(),
            "activation_norm": norms.activation_norm[row].item(),
        }
    return own | {"effects": effects}


def _finite(value: object) -> object:
    """The same with null where nothing was measured: JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
