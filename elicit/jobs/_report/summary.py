"""Content of `summary.json`: verdicts, then the numbers behind them."""

from collections.abc import Sequence

from elicit.grafting import LayerRoles, WeightIG
from elicit.jobs._summary import finite, row_of
from elicit.results import Result
from elicit.weights import WeightChange, by_layer


def summarise(results: dict[str, Result]) -> dict[str, object]:
    """Content of `summary.json`: verdicts, then the numbers behind them."""
    roles, change = results["roles"], results["weights"]
    assert isinstance(roles, LayerRoles)
    assert isinstance(change, WeightChange)
    integrated = results.get("integrated")
    tasks = [_task(roles, t) for t in range(len(roles.task))]
    parts = [_part(roles, change, integrated, p) for p in range(len(roles.part))]
    return finite(
        {
            "changed_layers": list(roles.changed_layers),
            "corrupted_layers": list(roles.corrupted_layers),
            "skill_layers": list(roles.skill_layers),
            "damage": _of_role(tasks, "damage"),
            "skill": _of_role(tasks, "skill"),
            "tasks": tasks,
            "layers": [part for part in parts if part["kind"] == "layer"],
            "parts": [part for part in parts if part["kind"] != "layer"],
            "level": roles.level,
            "margin": roles.margin,
            "share_margin": roles.share_margin,
        }
    )


def _of_role(tasks: Sequence[dict[str, object]], role: str) -> dict[str, object] | None:
    """The task of a role with the largest gap, if any."""
    own = [task for task in tasks if task["role"] == role]
    return max(own, key=lambda task: abs(task["gap"]["value"]), default=None)  # pyright: ignore[reportIndexIssue, reportArgumentType]


def _task(a: LayerRoles, t: int) -> dict[str, object]:
    return {
        "name": a.task[t],
        "role": a.role[t],
        "unit": a.unit[t],
        "n": int(a.n_problems[t]),
        "base": a.base_score[t].item(),
        "post": a.post_score[t].item(),
        "gap": a.gap[t].to_json(),
    }


def _part(
    a: LayerRoles, change: WeightChange, integrated: Result | None, p: int
) -> dict[str, object]:
    effects: dict[str, object] = {}
    for t, task in enumerate(a.task):
        effects[task] = row_of(a, "revert graft control_revert control_graft", t, p)
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
        "verdict": [verdict.word for verdict in a.verdict[p]],
        "changed": bool(a.changed[p]),
        "reason": a.reason[p] or None,
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
