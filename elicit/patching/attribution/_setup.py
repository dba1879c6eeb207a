"""Setup of attribution: a validated plan, and batches with the donor's values."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture import Decomposed, Inputs, UnknownArchitectureError, decompose
from elicit.pair import Encoded, ModelPair
from elicit.patching._checks import prepare
from elicit.patching._reading import Reader, at_columns, end_log_probs
from elicit.patching.attribution._forward import run_from
from elicit.patching.columns import Positions
from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.patching.plan import Batch, Plan
from elicit.patching.swap import Swap
from elicit.runs import Execution
from elicit.sites import Kind, Site
from elicit.stats import Inference


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """A batch of problems of equal lengths, with the donor's values and the metric's reader."""

    host: Decomposed
    """The model that is attributed."""
    problem: tuple[int, ...]
    """Problem index of each row."""
    inputs: Inputs
    """Masks and rotary angles of the host."""
    reader: Reader
    """Computes the metric from the host's output."""
    reads: Int[Tensor, "row read"]
    """Columns read."""
    inside: Float[Tensor, "row column pos"]
    """1 at the positions of each column of the result, float64."""
    n_prompt: int
    """Prompt length; the answer follows."""
    given: Mapping[Site, Tensor]
    """The donor's values at whole sites."""
    donor_score: Float[Tensor, " row"]
    """Metric of the donor."""

    def score(self, resid: Float[Tensor, "row pos d_model"]) -> Float[Tensor, " row"]:
        """Differentiable metric of each row."""
        rows = torch.arange(len(self.reads), device=self.reads.device)
        return self.reader.from_resid(resid[rows[:, None], self.reads], rows)[0]


def attribution_plan(
    pair: ModelPair,
    contrast: Contrast,
    swap: Swap,
    *,
    sites: Sequence[Site | str],
    positions: Positions = "each",
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Plan:
    """Plan of a sweep over the same cells, with the same validation.

    Raises:
        PatchError: The swap or the contrast does not fit, or a model cannot be decomposed.
        SiteError: The models do not have a site.
    """
    if len(swap.metrics) != 1:
        raise PatchError(
            f"metrics are {list(swap.metrics)}, and attribution differentiates one. Pass one."
        )
    swap = replace(
        swap,
        sites=sites if swap.sites is None else swap.sites,
        positions=positions if swap.positions is None else swap.positions,
    )
    plan = prepare(pair, contrast, swap, controls=(), inference=inference, execution=execution)
    for bridge in dict.fromkeys((plan.host, plan.donor)):
        try:
            decompose(bridge)
        except UnknownArchitectureError as error:
            raise PatchError(
                f"{error} Attribution needs gradients inside each layer, which one whole forward "
                "pass does not give: sweep exactly with patch instead."
            ) from error
    return plan


def case_maker(plan: Plan, sites: Iterable[Site]) -> Callable[[Batch], Case]:
    """Runs the donor on a batch, keeping its values at some sites.

    Raises:
        PatchError: Of a batch: a donor's value is NaN or infinite.
    """
    host, donor = decompose(plan.host), decompose(plan.donor)
    requested = {site.whole for site in sites} | {Site("resid_pre", 0)}

    def make(batch: Batch) -> Case:
        with torch.no_grad():
            return _case(plan, batch, host, donor, requested)

    return make


def _case(
    plan: Plan, batch: Batch, host: Decomposed, donor: Decomposed, requested: set[Site]
) -> Case:
    given: dict[Site, Tensor] = {}

    def keep(kind: Kind, layer: int, value: Tensor) -> Tensor:
        if (site := Site(kind, layer)) in requested:
            # Differences and gradients are taken at the host's values, on its device.
            given[site] = value.to(host.device)
        return value

    inputs = _begun(donor, batch.donor)
    leaving, _ = run_from(donor, inputs, inputs.resid, keep)
    _refuse_infinite(given, batch, plan.contrast)
    end = at_columns(leaving, batch.reads)
    rows = torch.arange(len(batch.problem), device=end.device)
    log_probs = None
    if "kl" in plan.metric:
        log_probs = end_log_probs(donor.unembed, end[:, 0], plan.pair.d_vocab)

    def reader(model: Decomposed) -> Reader:
        return Reader(
            unembed=model.unembed,
            metric=plan.metric,
            answer=batch.answer,
            wrong=batch.wrong,
            d_vocab=plan.pair.d_vocab,
            donor=log_probs,
        ).on(model.device)

    at = torch.arange(batch.host.ids.shape[1], device=batch.span.device)
    low, high = batch.span[..., :1], batch.span[..., 1:]
    return Case(
        host=host,
        problem=batch.problem,
        inputs=_begun(host, batch.host),
        reader=reader(host),
        reads=batch.reads,
        inside=((at >= low) & (at < high)).double(),
        n_prompt=int(batch.reads[0, 0]) + 1,
        given=given,
        donor_score=reader(donor).from_resid(end, rows)[0].to(host.device),
    )


def _begun(decomposed: Decomposed, batch: Encoded) -> Inputs:
    return decomposed.begin(batch.ids, batch.mask, batch.position_ids)


def _refuse_infinite(given: Mapping[Site, Tensor], batch: Batch, contrast: Contrast) -> None:
    for site, value in given.items():
        bad = ~value.isfinite().flatten(1).all(dim=1)
        if bool(bad.any()):
            place = batch.problem[int(bad.nonzero()[0])]
            raise PatchError(
                f"the donor's {site} is NaN or infinite on problem {contrast.id[place]!r}, so "
                "every score would be too. Load the models in float32, or leave the problem out."
            )
