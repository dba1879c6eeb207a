"""Accumulation of per-problem values over batches, and fields common to all attributions."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.patching.errors import PatchError
from elicit.patching.plan import Plan
from elicit.patching.values import UNITS
from elicit.results import Estimate
from elicit.stats import bootstrap_mean


class Gathered:
    """Per-problem values accumulated over batches."""

    def __init__(self) -> None:
        """Start empty."""
        self._parts: list[tuple[tuple[int, ...], Tensor, Tensor, Tensor]] = []

    def add(
        self,
        problem: tuple[int, ...],
        cells: Float[Tensor, "cell row"],
        host: Float[Tensor, " row"],
        donor: Float[Tensor, " row"],
    ) -> None:
        """Add a batch."""
        self._parts.append((problem, cells.cpu(), host.detach().cpu(), donor.cpu()))

    def _joined(self, which: int) -> np.ndarray:
        order = torch.argsort(torch.tensor([p for part in self._parts for p in part[0]]))
        joined = torch.cat([part[which] for part in self._parts], dim=-1)[..., order]  # pyright: ignore[reportCallIssue, reportArgumentType]
        return np.ascontiguousarray(joined.double().numpy().T)

    def table(self, plan: Plan) -> Float[np.ndarray, "problem cell"]:
        """Values in problem order.

        Raises:
            PatchError: A value is NaN or infinite.
        """
        found = self._joined(1)
        bad = np.argwhere(~np.isfinite(found))
        if len(bad):
            name = plan.contrast.id[int(bad[0, 0])]
            raise PatchError(
                f"{len(bad)} of {found.size} scores are NaN or infinite (first problem: "
                f"{name!r}), and one such value makes every mean meaningless. Load the models in "
                "float32, or leave that problem out."
            )
        return found

    @property
    def host(self) -> Float[np.ndarray, " problem"]:
        """Metric of the host."""
        return self._joined(2)

    @property
    def donor(self) -> Float[np.ndarray, " problem"]:
        """Metric of the donor."""
        return self._joined(3)


def common_fields(plan: Plan, gathered: Gathered, arguments: dict[str, object]) -> dict[str, Any]:
    """Fields common to all attributions."""
    host, donor = gathered.host, gathered.donor
    swap, inference, (metric,) = plan.swap, plan.inference, plan.metric
    gap = bootstrap_mean(
        donor - host, level=inference.level, n_resamples=inference.n_resamples, seed=inference.seed
    )
    arguments = {
        "question": swap.question,
        "model": swap.model,
        "direction": swap.direction,
        "metric": metric,
        "level": inference.level,
        "n_resamples": inference.n_resamples,
        **arguments,
    }
    return {
        "provenance": plan.pair.provenance(
            inference.seed, arguments, task_digests={"contrast": plan.contrast.digest}
        ),
        "metric": metric,
        "unit": UNITS[metric],
        "question": swap.question,
        "direction": swap.direction,
        "host": swap.runs[0],
        "donor": swap.runs[1],
        "n_problems": plan.n_problems,
        "level": inference.level,
        "host_score": float(host.mean()),
        "donor_score": float(donor.mean()),
        "gap": Estimate.of_intervals([gap])[0],
    }
