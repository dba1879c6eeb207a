"""Patching of one cell at a time from donor into host, over sites and positions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import (
    Decomposed,
    Lanes,
    LaneTrunk,
    Unembed,
    UnknownArchitectureError,
    active_lanes,
    decompose,
    kept_sites,
    modifications_of,
    read_sites,
    run_lanes,
    run_trunk,
    sent,
)
from elicit.patching._loop import PlainRun, loop_sweep, plain_run
from elicit.patching._reading import Reader, at_columns, end_log_probs
from elicit.patching._warnings import MissingControlWarning, SlowSweepWarning, warn
from elicit.patching.errors import PatchError
from elicit.patching.plan import Batch, Control, Plan, batches_of, controls_of, groups_of
from elicit.patching.values import SweepValues, resolution_of
from elicit.sites import Site


def sweep(plan: Plan) -> SweepValues:
    """Every metric of every problem, unpatched and with each cell patched.

    Raises:
        PatchError: Host and donor are the same run, or a donor value is not finite.
    """
    batches = batches_of(plan)
    decomposed = _decomposed(plan)
    if decomposed is None:
        plan.execution.progress.advance(0, "one whole forward pass per cell")
    controls = controls_of(plan, batches)
    missing = [name for name in plan.control if name not in controls]
    if missing:
        warn(
            "the other_prompt control is not run: some problem has no other one with equal numbers "
            "of prompt and answer tokens. Pass at least two prompts of each length.",
            MissingControlWarning,
        )
    for model in (plan.host, plan.donor):
        touched = modifications_of(model)
        if touched is not None:
            raise PatchError(
                f"a model {touched}, so a sweep would not be one of the plain model. Leave the "
                "block of edits, take the hook off, or call model.eval()."
            )
    names = ["host", "donor", "patched", *controls]
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    n_cells = len(plan.sites) * len(plan.columns.label) * (len(plan.width) + len(controls))
    for number, batch in enumerate(batches):
        ran: list[bool] = []

        def compute(batch: Batch = batch, ran: list[bool] = ran) -> dict[str, Tensor]:
            ran.append(True)
            return _run(plan, batch, decomposed, controls)

        piece = plan.execution.checkpoint.get_or_compute(f"batch{number}", compute)
        if not ran:
            plan.execution.progress.advance(n_cells * len(batch.problem))
        for name in names:
            found[name].append(piece[name])
    order = torch.argsort(torch.tensor([p for batch in batches for p in batch.problem]))
    whole = {name: torch.cat(parts, dim=-1)[..., order] for name, parts in found.items()}
    return SweepValues(
        sites=plan.sites,
        pos=plan.columns.label,
        metric=plan.metric,
        width=plan.width,
        resolution=resolution_of(
            next(plan.host.parameters()).dtype,
            plan.metric,
            torch.cat([whole["host"], whole["donor"]], dim=1),
        ),
        **{name: whole.get(name) for name in ("host", "donor", "patched", "other_prompt", "noise")},  # pyright: ignore[reportArgumentType]
    )


def _decomposed(plan: Plan) -> tuple[Decomposed, Decomposed] | None:
    """Both models decomposed; None if cells must be run one by one."""
    if plan.engine == "loop":
        return None
    try:
        return decompose(plan.host), decompose(plan.donor)
    except UnknownArchitectureError as error:
        warn(str(error), SlowSweepWarning)
        return None


@dataclass(frozen=True, eq=False)
class _Ends:
    """Both unpatched runs of a batch, and their reader."""

    reader: Reader
    host: Float[Tensor, "metric row"]
    donor: Float[Tensor, "metric row"]


def _run(
    plan: Plan,
    batch: Batch,
    decomposed: tuple[Decomposed, Decomposed] | None,
    controls: Sequence[Control],
) -> dict[str, Tensor]:
    """All cells of one batch."""
    groups = groups_of(plan)
    with torch.no_grad():
        if decomposed is None:
            return _run_loop(plan, batch, groups, controls)
        host, donor = decomposed
        wanted = {site for sites in groups for site in sites}
        donor_run = run_trunk(donor, batch.donor, keep=wanted)
        home = host.device
        sources = {site.whole: donor_run.value(site.whole).to(home) for site in wanted}
        _check_finite(sources, batch, plan)
        trunk = run_trunk(host, batch.host, keep=kept_sites(groups))
        ends = _ends(plan, batch, trunk, donor_run)
        out = {"host": ends.host.cpu(), "donor": ends.donor.cpu()}
        out["patched"] = _fly(plan, batch, trunk, sources, groups, ends)
        singles = groups[: len(plan.sites)]
        if "other_prompt" in controls:
            assert batch.other is not None
            found = read_sites(donor, batch.other, {site for sites in singles for site in sites})
            others = {site: value.to(home) for site, value in found.items()}
            out["other_prompt"] = _fly(plan, batch, trunk, others, singles, ends)[0]
        if "noise" in controls:
            noise = noise_like(plan, batch, trunk, sources)
            out["noise"] = _fly(plan, batch, trunk, noise, singles, ends)[0]
        return out


def _ends(plan: Plan, batch: Batch, host: LaneTrunk, donor: LaneTrunk) -> _Ends:
    """Metrics of both unpatched runs."""
    ends = [at_columns(trunk.resid[-1], batch.reads) for trunk in (host, donor)]
    log_probs = None
    if "kl" in plan.metric:
        unembed = donor.decomposed.unembed
        log_probs = end_log_probs(unembed, ends[1][:, 0], plan.pair.d_vocab)
    found = []
    for trunk, end in zip((host, donor), ends, strict=True):
        # Each model's end is read where its unembedding is.
        reader = _reader(plan, batch, trunk.decomposed.unembed, log_probs).on(end.device)
        rows = torch.arange(host.n_rows, device=end.device)
        found.append((reader, reader.from_resid(end, rows)))
    return _Ends(reader=found[0][0], host=found[0][1], donor=found[1][1])


def _reader(plan: Plan, batch: Batch, unembed: Unembed | None, donor: Tensor | None) -> Reader:
    return Reader(
        unembed=unembed,
        metric=plan.metric,
        answer=batch.answer,
        wrong=batch.wrong,
        d_vocab=plan.pair.d_vocab,
        donor=donor,
    )


def _fly(
    plan: Plan,
    batch: Batch,
    trunk: LaneTrunk,
    sources: Mapping[Site, Tensor],
    groups: tuple[tuple[Site, ...], ...],
    ends: _Ends,
) -> Float[Tensor, "width metric site pos row"]:
    """Metrics of every cell; a cell that cannot change anything equals the host exactly."""
    home, span, reads = trunk.resid[0].device, batch.span.cpu(), batch.reads.cpu()
    n_rows, n_pos = span.shape[:2]
    group = torch.arange(len(groups))
    # group × pos × row, flattened: the order of the grid.
    row = torch.arange(n_rows).repeat(len(groups) * n_pos)
    low, high = span.transpose(0, 1).reshape(-1, 2).repeat(len(groups), 1).unbind(1)
    lanes = Lanes(
        row=row,
        low=low,
        high=high,
        group=group.repeat_interleave(n_pos * n_rows),
        groups=groups,
        source_row=row,
    )
    values = ends.host.repeat(1, len(groups) * n_pos)
    leaving = active_lanes(trunk, lanes, sources, reads)
    plan.execution.progress.advance(len(lanes) - len(leaving.lanes))
    for result in run_lanes(
        trunk,
        leaving.lanes,
        sources,
        reads,
        max_tokens=plan.execution.max_tokens,
        work=plan.work,
    ):
        which = leaving.place[result.lane]
        which, rows = sent(home, which, row[which])
        values[:, which] = ends.reader.from_resid(result.resid, rows)
        plan.execution.progress.advance(len(which))
    shaped = values.reshape(len(plan.metric), -1, len(plan.sites), n_pos, n_rows)
    return shaped.transpose(0, 1).cpu()


def noise_like(
    plan: Plan, batch: Batch, trunk: LaneTrunk | PlainRun, sources: Mapping[Site, Tensor]
) -> dict[Site, Tensor]:
    """Host values plus noise with the norm of the donor-host difference.

    Each problem has a separate random stream, so batches and site order do not matter.
    """
    found = {}
    for site, theirs in sources.items():
        own = trunk.value(site)
        draws = []
        for place, n in zip(batch.problem, (own[0].numel(),) * len(own), strict=True):
            name = [plan.inference.seed, place, site.layer, sum(map(ord, site.kind))]
            rng = np.random.default_rng(name)
            draws.append(torch.from_numpy(rng.standard_normal(n, dtype=np.float32)))
        noise = torch.stack(draws).reshape(own.shape).to(own)
        length = (theirs - own).norm(dim=-1, keepdim=True)
        found[site] = own + noise * (length / noise.norm(dim=-1, keepdim=True))
    return found


def _check_finite(sources: Mapping[Site, Tensor], batch: Batch, plan: Plan) -> None:
    # One answer about all sites, for which a device is waited for once.
    found = [value.isfinite().flatten(1).all(dim=1) for value in sources.values()]
    for site, finite in zip(sources, torch.stack(found).tolist(), strict=True):
        if not all(finite):
            place = batch.problem[finite.index(False)]
            raise PatchError(
                f"the donor's {site} is NaN or infinite on problem "
                f"{plan.contrast.id[place]!r}, so every effect would be too. Load the donor in "
                "float32, or leave the problem out."
            )


def _run_loop(
    plan: Plan, batch: Batch, groups: tuple[tuple[Site, ...], ...], controls: Sequence[Control]
) -> dict[str, Tensor]:
    """As `_run`, by one whole forward pass per cell."""
    wanted = sorted({site.whole for sites in groups for site in sites})
    donor_run = plain_run(plan.donor, batch.donor, wanted, batch.reads)
    own = plain_run(plan.host, batch.host, wanted, batch.reads)
    _check_finite(donor_run.at, batch, plan)
    log_probs = None
    if "kl" in plan.metric:
        log_probs = torch.log_softmax(donor_run.logits[:, 0, : plan.pair.d_vocab].float(), dim=-1)
    reader = _reader(plan, batch, None, log_probs)
    rows = torch.arange(len(batch.problem), device=batch.host.ids.device)
    host = reader.from_logits(own.logits, rows)
    out = {"host": host.cpu(), "donor": reader.from_logits(donor_run.logits, rows).cpu()}

    def run(sources: Mapping[Site, Tensor], some: tuple[tuple[Site, ...], ...]) -> Tensor:
        values = loop_sweep(
            plan.host,
            batch.host,
            sources,
            some,
            batch.span,
            batch.reads,
            reader,
            plan.execution.progress,
        )
        shaped = values.reshape(len(plan.metric), -1, len(plan.sites), *values.shape[2:])
        return shaped.transpose(0, 1).cpu()

    out["patched"] = run(donor_run.at, groups)
    singles = groups[: len(plan.sites)]
    if "other_prompt" in controls:
        assert batch.other is not None
        others = plain_run(plan.donor, batch.other, wanted, batch.reads)
        out["other_prompt"] = run(others.at, singles)[0]
    if "noise" in controls:
        out["noise"] = run(noise_like(plan, batch, own, donor_run.at), singles)[0]
    return out
