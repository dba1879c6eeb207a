"""Plan of a sweep, laid out in batches before any model runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from elicit.capture import Work
from elicit.pair import Encoded, ModelPair, device_of
from elicit.patching._continuations import Rows
from elicit.patching._reading import read_columns
from elicit.patching.columns import Columns
from elicit.patching.contrast import Contrast
from elicit.patching.swap import Swap
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference

Engine = Literal["lanes", "loop"]
Control = Literal["other_prompt", "noise"]
CONTROLS: tuple[Control, ...] = ("other_prompt", "noise")


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """Validated definition of a sweep."""

    pair: ModelPair
    """The two models."""
    contrast: Contrast
    """Prompts and answers."""
    swap: Swap
    """Direction, sites, positions and metrics."""
    sites: tuple[Site, ...]
    """Rows of the grid."""
    columns: Columns
    """Columns of the grid."""
    width: tuple[int, ...] = (1,)
    """Layers patched together, from the site's own on."""
    control: tuple[Control, ...] = CONTROLS
    """Controls, run at width 1."""
    engine: Engine = "lanes"
    """`loop` runs one whole forward pass per cell."""
    inference: Inference = Inference()
    """Coverage and resamples of the intervals, and the seed of the controls."""
    execution: Execution = Execution()
    """Tokens per forward pass, memory, checkpoint and progress."""
    work: Work = field(default_factory=Work)
    """Counts the work of the lanes."""

    @property
    def host(self) -> nn.Module:
        """Host bridge, whose layers run downstream of the patch."""
        return self.pair.base if self.swap.models[0] == "base" else self.pair.post

    @property
    def donor(self) -> nn.Module:
        """Donor bridge."""
        return self.pair.base if self.swap.models[1] == "base" else self.pair.post

    @property
    def host_rows(self) -> Rows:
        """Host prompt of each problem."""
        return getattr(self.contrast, self.swap.prompts[0])

    @property
    def donor_rows(self) -> Rows:
        """Donor prompt of each problem, of the same length."""
        return getattr(self.contrast, self.swap.prompts[1])

    @property
    def metric(self) -> tuple[str, ...]:
        """Names of the metrics."""
        return tuple(self.swap.metrics)

    @property
    def n_problems(self) -> int:
        """Number of problems, the unit of every interval."""
        return len(self.contrast)


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """Problems with equal prompt lengths and equal answer lengths."""

    problem: tuple[int, ...]
    host: Encoded
    donor: Encoded
    answer: Int[Tensor, "row read"]
    wrong: Int[Tensor, " row"] | None
    span: Int[Tensor, "row pos two"]
    reads: Int[Tensor, "row read"]
    other: Encoded | None
    """Donor prompts of other problems of the same lengths; None if some problem has none."""


def n_lanes(plan: Plan) -> int:
    """Number of patched forward passes in a sweep, controls included."""
    each = len(plan.sites) * len(plan.columns.label)
    return each * len(plan.host_rows) * (len(plan.width) + len(controls_of(plan, batches_of(plan))))


def controls_of(plan: Plan, batches: Sequence[Batch]) -> tuple[Control, ...]:
    """Controls that can be run; `other_prompt` needs another prompt of the same length."""
    alone = any(batch.other is None for batch in batches)
    return tuple(name for name in plan.control if name == "noise" or not alone)


def batches_of(plan: Plan) -> list[Batch]:
    """Batches of problems of equal lengths, within the token budget."""
    alike: dict[tuple[int, int], list[int]] = {}
    for place, (row, answer) in enumerate(zip(plan.host_rows, plan.contrast.answer, strict=True)):
        alike.setdefault((len(row), len(answer)), []).append(place)
    found = []
    for (n_prompt, n_answer), places in sorted(alike.items()):
        room = max(1, plan.execution.max_tokens // (n_prompt + n_answer - 1))
        partners = _partners(plan, places)
        for part in np.array_split(np.array(places), -(-len(places) // room)):
            found.append(_batch(plan, [int(p) for p in part], n_prompt, n_answer, partners))
    return found


def _batch(
    plan: Plan, places: list[int], n_prompt: int, n_answer: int, partners: dict[int, int]
) -> Batch:
    contrast = plan.contrast
    device = device_of(plan.host)

    def encoded(rows: tuple[tuple[int, ...], ...], of: Sequence[int] = places) -> Encoded:
        ids = torch.tensor([[*rows[p], *contrast.answer[p][:-1]] for p in of], device=device)
        pos = torch.arange(ids.shape[1], device=device).expand_as(ids).contiguous()
        return Encoded(ids, torch.ones_like(ids), pos)

    others = None
    if all(p in partners for p in places):
        others = encoded(plan.donor_rows, [partners[p] for p in places])
    wrong = None
    if contrast.wrong is not None:
        wrong = torch.tensor([contrast.wrong[p][0] for p in places], device=device)
    return Batch(
        problem=tuple(places),
        host=encoded(plan.host_rows),
        donor=encoded(plan.donor_rows),
        answer=torch.tensor([contrast.answer[p] for p in places], device=device),
        wrong=wrong,
        span=_span(plan, places, n_prompt + n_answer - 1).to(device),
        reads=read_columns(n_prompt, n_answer, len(places), device),
        other=others,
    )


def _span(plan: Plan, places: list[int], n_pos: int) -> Int[Tensor, "row pos two"]:
    """Patched token columns of the batch; `all` includes the answer."""
    span = plan.columns.span[places].clone()
    if plan.columns.whole:
        span[..., 1] = n_pos
    return span


def _partners(plan: Plan, places: list[int]) -> dict[int, int]:
    """For each problem, the next one of the same lengths with a different donor prompt.

    Chosen among all problems, so that batch size does not matter; problems without one are left
    out.
    """
    n, rows, found = len(places), plan.donor_rows, {}
    for at, place in enumerate(places):
        turned = (places[(at + step) % n] for step in range(1, n))
        other = next((p for p in turned if rows[p] != rows[place]), None)
        if other is not None:
            found[place] = other
    return found


def groups_of(plan: Plan) -> tuple[tuple[Site, ...], ...]:
    """Groups of sites patched together: every site at width 1, then at each larger width."""
    n_layers = len(plan.host.blocks)  # pyright: ignore[reportArgumentType]
    return tuple(
        tuple(
            Site(site.kind, layer, site.head)
            for layer in range(site.layer, min(site.layer + width, n_layers))
        )
        for width in plan.width
        for site in plan.sites
    )
