"""Results by group of problems, where options name a key."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from elicit.jobs._spec import PairSpec
from elicit.jobs._summary import finite
from elicit.results import Result
from elicit.stats import GroupError, GroupMeans, by_group
from elicit.tasks import Task

PREFIX = "by_group"
"""What folders of such results begin with."""


def grouped(
    spec: PairSpec,
    task: Task,
    values: Mapping[str, Float[Tensor, " problem"]],
    *,
    of: str,
    unit: str = "share",
    problems: Sequence[str] | None = None,
    minus: tuple[str, str] | None = ("post", "base"),
) -> tuple[dict[str, Result], list[str]]:
    """Means of each measure by group, and remarks; nothing where no key is named.

    Args:
        spec: Options, whose `group_by` names the key.
        task: The problems.
        values: One value a problem for each measure, such as `base` and `post`.
        of: What was measured.
        unit: Unit of the values.
        problems: Ids that the values belong to; None: all, in order.
        minus: Two measures whose paired difference is added; None adds none.
    """
    by = getattr(spec, "group_by", None)
    if by is None:
        return {}, []
    of_id = {problem.id: problem.difficulty for problem in task}
    groups = [of_id[name] for name in (problems if problems is not None else of_id)]
    try:
        found = by_group(
            values,
            groups,
            by=by,
            of=f"{of} ({task.name})",
            unit=unit,
            minus=minus,
            inference=spec.inference,
        )
    except GroupError as error:
        return {}, [f"No results by {by}: {error}"]
    return {f"{PREFIX}_{task.name}": found}, []


def grouped_summary(results: Mapping[str, Result]) -> dict[str, Any]:
    """Content of `summary.json` about groups; empty without any."""
    found = {n: r for n, r in results.items() if isinstance(r, GroupMeans)}
    if not found:
        return {}
    rows = {
        name.removeprefix(f"{PREFIX}_"): {
            "by": each.by,
            "of": each.of,
            "unit": each.unit,
            "groups": {
                group: {
                    "n": int(each.n[g]),
                    **{
                        measure: {
                            **finite(each.mean[m, g].to_json()),
                            "apart": finite(each.apart[m, g].to_json()),
                        }
                        for m, measure in enumerate(each.measure)
                    },
                }
                for g, group in enumerate(each.group)
            },
        }
        for name, each in found.items()
    }
    return {"by_group": rows}
