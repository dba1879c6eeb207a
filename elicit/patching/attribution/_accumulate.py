"""Accumulation of per-problem values over batches, and fields common to all attributions."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.pair import weights_digest
from elicit.patching.errors import PatchError
from elicit.patching.plan import Batch, Plan, batches_of
from elicit.patching.values import UNITS
from elicit.results import Estimate, digest_json
from elicit.runs import NoCheckpoint
from elicit.stats import bootstrap_mean

Measure = Callable[[Batch], dict[str, Tensor]]
"""Values of a batch, the last axis over its rows: `cells`, `host` and `donor`, and any others."""


class Gathered:
    """Values per problem, measured batch by batch; finished batches are checkpointed."""

    def __init__(self, plan: Plan, measure: Measure, *, key: Mapping[str, object]) -> None:
        """Measure every batch of a plan."""
        self._plan = plan
        checkpoint, progress = plan.execution.checkpoint, plan.execution.progress
        kept = not isinstance(checkpoint, NoCheckpoint)
        origin = digest_json([_origin(plan), key]) if kept else ""
        parts, problems = [], []
        for batch in batches_of(plan):

            def compute(batch: Batch = batch) -> dict[str, Tensor]:
                return {name: value.detach().cpu() for name, value in measure(batch).items()}

            name = f"attribution-{digest_json([origin, batch.problem])}"
            parts.append(checkpoint.get_or_compute(name, compute))
            problems += batch.problem
            progress.advance(len(batch.problem))
        progress.stop()
        order = torch.argsort(torch.tensor(problems))
        self._values = {
            name: np.ascontiguousarray(
                torch.cat([part[name] for part in parts], dim=-1)[..., order].double().numpy().T
            )
            for name in parts[0]
        }

    def table(self, name: str = "cells") -> Float[np.ndarray, "problem cell"]:
        """Values in problem order.

        Raises:
            PatchError: A value is NaN or infinite.
        """
        values = self._values[name]
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            name = self._plan.contrast.id[int(bad[0, 0])]
            raise PatchError(
                f"{len(bad)} of {values.size} scores are NaN or infinite (first problem: "
                f"{name!r}), and one such value makes every mean meaningless. Load the models in "
                "float32, or leave that problem out."
            )
        return values

    @property
    def host(self) -> Float[np.ndarray, " problem"]:
        """Metric of the host."""
        return self._values["host"]

    @property
    def donor(self) -> Float[np.ndarray, " problem"]:
        """Metric of the donor."""
        return self._values["donor"]


def _origin(plan: Plan) -> dict[str, object]:
    """All that the values of a batch depend on, but for the kind of attribution."""
    models = {name: weights_digest(plan.pair.side(name).bridge) for name in set(plan.swap.models)}
    return {
        "models": models,
        "contrast": plan.contrast.digest,
        "question": plan.swap.question,
        "direction": plan.swap.direction,
        "model": plan.swap.model,
        "metric": list(plan.metric),
        "sites": [str(site) for site in plan.sites],
        "positions": list(plan.columns.label),
    }


def common_fields(plan: Plan, gathered: Gathered, arguments: dict[str, object]) -> dict[str, Any]:
    """Fields common to all attributions."""
    host, donor = gathered.host, gathered.donor
    swap, inference, (metric,) = plan.swap, plan.inference, plan.metric
    gap = bootstrap_mean(donor - host, **vars(inference))
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
